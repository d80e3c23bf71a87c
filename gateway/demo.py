"""``sportello demo``: everything on one machine, with a shop, two agents and a phone; no account anywhere is needed."""

import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Final

from aiohttp import web
from msgspec.structs import replace

from config import ChannelConfig, Config
from connectors.abilities import Provisioner
from gateway.credentials import issue_link
from gateway.server import Occasion
from gateway.services import Services
from gateway.work.actor import GATEWAY, command_id
from routing.command import PutAgent, SetMember
from storage.record import Agent, Role

DATA_DIR: Final = "var/demo"
WEB: Final = "web"
TELEGRAM: Final = "telegram"
SIMULATOR: Final = "/sim/telegram"
#: Opens nothing but the simulator in this very process.
_TOKEN: Final = "1000001:demo-token-for-the-simulator-only-000"  # noqa: S105
_WEBHOOK_SECRET: Final = "demo-webhook-secret-for-the-simulator"  # noqa: S105
_STAFF: Final = (("Ada", "ada@example.org", Role.ADMIN), ("Ben", "ben@example.org", Role.AGENT))


def occasion(say: Callable[[str], None]) -> Occasion:
    """The demo as a variation of the server; ``say`` gets the text for the terminal."""

    async def ready(services: Services) -> None:
        links = await seed(services)
        await _connect_bot(services)
        say(welcome(services.config.public_url, links, Path(services.config.data_dir)))

    return Occasion(demo=True, prepare=prepare, mount=mount, ready=ready)


def prepare(config: Config) -> Config:
    """The demo's two channels, at the address that the gateway has got."""
    bot = {"token": _TOKEN, "secret_token": _WEBHOOK_SECRET, "mode": "webhook", "api_base": config.public_url + SIMULATOR}
    channels = {
        WEB: ChannelConfig(kind="webchat", title="Shop chat", settings={}),
        TELEGRAM: ChannelConfig(kind="telegram", title="Telegram (simulated)", settings=bot),
    }
    return replace(config, channels=channels)


def mount(app: web.Application) -> None:
    """The provider's side, in the same server. It forgets everybody at its end, and the gateway does not: each start has new people."""
    first_user = 7_000_000_000 + int(time.time()) * 100
    # By name: the other commands need not wait for the provider's SDK to load.
    simulator = import_module("connectors.telegram.simulator")
    app.add_subapp(SIMULATOR, simulator.create_simulator_app(token=_TOKEN, first_user=first_user))
    listed = [{"kind": TELEGRAM, "title": "Bottega Sportello", "base": SIMULATOR}]

    async def simulators(_: web.Request) -> web.Response:
        return web.json_response(listed)

    app.router.add_get("/sim", simulators)


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


async def _connect_bot(services: Services) -> None:
    client = services.channels[TELEGRAM].client
    if isinstance(client, Provisioner):
        await client.provision(f"{services.config.public_url}/webhooks/{TELEGRAM}")


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
  1. Open the shop and write in the chat; open the phone and write there too.
  2. Open Ada's inbox: both conversations wait in one queue. Accept one and answer.
  3. The answer appears in the shop's chat, or on the phone, with its status in the inbox.
"""


def say(text: str) -> None:
    """On standard output, at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
