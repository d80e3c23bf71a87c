"""``sportello demo``: everything on one machine, with a shop, two agents and a phone; no account anywhere is needed."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from aiohttp import web
from msgspec.structs import replace

from config import ChannelConfig, Config
from config.address import origin_of
from connectors.abilities import Provisioner
from gateway import simulated
from gateway.credentials import issue_link
from gateway.server import Occasion
from gateway.services import Services
from gateway.work.actor import GATEWAY, command_id
from routing.command import PutAgent, SetMember
from storage.record import Agent, Role

DATA_DIR: Final = "var/demo"
WEB: Final = "web"
_STAFF: Final = (("Ada", "ada@example.org", Role.ADMIN), ("Ben", "ben@example.org", Role.AGENT))


def occasion(say: Callable[[str], None]) -> Occasion:
    """The demo as a variation of the server; ``say`` gets the text for the terminal."""
    providers = simulated.providers()

    async def ready(services: Services) -> None:
        links = await seed(services)
        await connect(services)
        say(welcome(services.config.public_url, links, Path(services.config.data_dir)))

    def prepare(config: Config) -> Config:
        return with_channels(config, providers)

    def mount(app: web.Application, public_url: str) -> None:
        simulated.mount(app, public_url, providers)

    return Occasion(demo=True, prepare=prepare, mount=mount, ready=ready)


def with_channels(config: Config, providers: Sequence[simulated.Simulated]) -> Config:
    """The demo's channels, at the address that the gateway has got."""
    settings = {"origins": [origin_of(config.public_url)], "mail_channel": "email", "mail_after": 30}
    chat = ChannelConfig(kind="webchat", title="Shop chat", settings=settings)
    channels = {WEB: chat, **{one.kind: one.channel(config.public_url) for one in providers}}
    # The providers' files lie on this very server.
    media = replace(config.media, allow_private_hosts=(*config.media.allow_private_hosts, f"{config.server.host}:{config.server.port}"))
    return replace(config, channels=channels, media=media)


async def seed(services: Services) -> dict[str, str]:
    """The agents, made once; returns a fresh one-time log-in link for each name."""
    links = {}
    queue = await services.store.view(lambda tx: tx.queues.default())
    for name, email, role in _STAFF:
        agent = await _agent(services, name, email, role)
        member = SetMember(id=command_id(services.clock()), actor=GATEWAY, queue_id=queue.id, agent_id=agent.id, member=True)
        await services.router.handle(member)
        links[name] = await _link(services, agent)
    return links


async def _agent(services: Services, name: str, email: str, role: Role) -> Agent:
    known = await services.store.view(lambda tx: tx.agents.by_email(email))
    if known is not None:
        return known
    made = await services.router.handle(PutAgent(id=command_id(services.clock()), actor=GATEWAY, name=name, email=email, role=role))
    assert isinstance(made, Agent)
    return made


async def _link(services: Services, agent: Agent) -> str:
    secret = await services.store.transact(lambda tx: issue_link(tx, agent.id, services.clock()))
    return f"{services.config.public_url}/inbox/#login={secret}"


async def connect(services: Services) -> None:
    """Register the webhooks, as ``sportello channel connect`` does."""
    for channel in services.channels.values():
        if isinstance(channel.client, Provisioner):
            await channel.client.provision(f"{services.config.public_url}/webhooks/{channel.id}")


def welcome(url: str, links: dict[str, str], data_dir: Path) -> str:
    """What the person at the terminal reads."""
    agents = "\n".join(f"  Inbox as {name:<14} {link}" for name, link in links.items())
    return f"""
Sportello is running. Stop it with Ctrl+C; what happened is kept in {data_dir}.

  Shop with web chat      {url}/
  Phone of a shopper      {url}/phone/
{agents}
  (each log-in link works once, within an hour; start the demo again for new ones)

Try this:
  1. Open the shop and write in the chat; open the phone and write there too, by WhatsApp, SMS, e-mail, …
  2. Open Ada's inbox: all conversations wait in one queue. Accept one and answer.
  3. The answer appears in the shop's chat, or on the phone, with its status in the inbox.
"""


def say(text: str) -> None:
    """On standard output, at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
