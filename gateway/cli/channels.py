"""``channel`` and ``reprocess``: the world outside."""

from typing import Annotated

import aiohttp
from cyclopts import App, Parameter

from config import Config
from connectors.abilities import Provisioner
from connectors.contract import ClientContext
from gateway.channels import PlannedChannel, plan_channels
from gateway.cli.common import STANDARD, Common, UserError, perform, say, show_table


def register(app: App) -> None:
    """Add these commands."""
    channels = App(name="channel", help="The configured channels: list, connect.")
    channels.command(list_channels, name="list")
    channels.command(connect)
    app.command(channels)
    app.command(reprocess)


def list_channels(*, common: Common = STANDARD) -> None:
    """List the configured channels and the addresses where their providers call."""
    config = common.load()
    rows = [
        [plan.id, plan.connector.kind, "yes" if plan.section.enabled else "no", _webhook(config, plan.id)] for plan in plan_channels(config)
    ]
    show_table(["ID", "KIND", "ENABLED", "WEBHOOK"], rows)


async def connect(
    channel: Annotated[str, Parameter(help="The channel's id: the name of its section.")],
    *,
    common: Common = STANDARD,
) -> None:
    """Prepare the provider's side: check the credentials, register the webhook, and say what was found."""
    config = common.load()
    plan = _find(plan_channels(config), channel)
    async with aiohttp.ClientSession(trust_env=False) as session:
        client = plan.connector.client(plan.settings, ClientContext(session=session, channel=plan.id, read_file=_no_file))
        try:
            if not isinstance(client, Provisioner):
                raise UserError(f"channel {channel} needs no preparation; its provider calls {_webhook(config, channel)}")
            say(await client.provision(_webhook(config, channel)))
        finally:
            await client.close()


async def reprocess(
    *,
    channel: Annotated[str, Parameter(help="Only this channel.")] = "",
    common: Common = STANDARD,
) -> None:
    """Read quarantined payloads again, after a fix of their connector."""
    done = await perform(common.load(), "reprocess", channel=channel)
    say(", ".join(f"{name}: {number}" for name, number in done.items()) or "Nothing was in quarantine.")


def _webhook(config: Config, channel: str) -> str:
    return f"{config.public_url}/webhooks/{channel}"


def _find(planned: list[PlannedChannel], channel: str) -> PlannedChannel:
    for plan in planned:
        if plan.id == channel:
            return plan
    raise UserError(f"there is no channel {channel!r}; configured: {', '.join(plan.id for plan in planned) or 'none'}")


async def _no_file(stored: str) -> bytes:
    raise FileNotFoundError(stored)
