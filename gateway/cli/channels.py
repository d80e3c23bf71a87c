"""``channel`` and ``reprocess``: the world outside."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

import aiohttp
from cyclopts import App, Parameter

from config import Config
from connectors.abilities import Prober, Provisioner
from connectors.contract import Client, ClientContext
from gateway.channels import PlannedChannel, plan_channels, secrets_in
from gateway.cli import channel_log
from gateway.cli.common import FAILED, STANDARD, Common, UserError, perform, say, show_table
from gateway.redact import Redactor
from gateway.work.probe import probe


def register(app: App) -> None:
    """Add these commands."""
    channels = App(name="channel", help="The configured channels: list, check, connect, log.")
    channels.command(list_channels, name="list")
    channels.command(check)
    channels.command(connect)
    channels.command(channel_log.show, name="log")
    app.command(channels)
    app.command(reprocess)


def list_channels(*, common: Common = STANDARD) -> None:
    """List the configured channels and the addresses where their providers call."""
    config = common.load()
    rows = [
        [plan.id, plan.connector.kind, "yes" if plan.section.enabled else "no", _webhook(config, plan.id)] for plan in plan_channels(config)
    ]
    show_table(["ID", "KIND", "ENABLED", "WEBHOOK"], rows)


async def check(
    *channels: Annotated[str, Parameter(help="Ids of channels; all enabled ones if none is given.")],
    common: Common = STANDARD,
) -> int:
    """Ask the providers whether credentials and set-up are right, and say how to mend what is not (exit status 1).

    Uses the configuration as it is now, also beside a gateway that still runs with an older one, and changes nothing.
    """
    config = common.load()
    planned = plan_channels(config)
    chosen = [_find(planned, channel) for channel in channels] or [plan for plan in planned if plan.section.enabled]
    if not chosen:
        raise UserError("no channel is configured and enabled; see sportello settings")
    well = True
    for plan in chosen:
        well = await _check_one(config, plan) and well
    return 0 if well else FAILED


async def _check_one(config: Config, plan: PlannedChannel) -> bool:
    off = "" if plan.section.enabled else ", disabled"
    async with _client(plan) as client:
        if not isinstance(client, Prober):
            say(f"{plan.id} ({plan.connector.kind}{off}): its settings are right; its connector has no probe")
            return True
        findings, error = await probe(client, _webhook(config, plan.id))
    say(f"{plan.id} ({plan.connector.kind}{off}):")
    hide = Redactor(secrets_in(plan.settings)).words
    if error:
        say(f"  FAIL  {error}")
        say("        Look whether this machine reaches the provider: its address, a firewall, a proxy.")
    for finding in findings:
        say(f"  {'ok' if finding.ok else 'FAIL':<4}  {finding.component.value}: {hide(finding.detail)}")
        if finding.remedy and not finding.ok:
            say(f"        {hide(finding.remedy)}")
    return not error and all(finding.ok for finding in findings)


async def connect(
    channel: Annotated[str, Parameter(help="The channel's id: the name of its section.")],
    *,
    common: Common = STANDARD,
) -> int:
    """Prepare the provider's side (register the webhook), then look whether all is well (exit status 1 if not)."""
    config = common.load()
    plan = _find(plan_channels(config), channel)
    async with _client(plan) as client:
        if not isinstance(client, Provisioner):
            raise UserError(
                f"channel {channel} needs no preparation by us. If its provider calls, it calls {_webhook(config, channel)}: "
                "enter that where the provider asks for a webhook"
            )
        say(await client.provision(_webhook(config, channel)))
    return 0 if await _check_one(config, plan) else FAILED


async def reprocess(
    *,
    channel: Annotated[str, Parameter(help="Only this channel.")] = "",
    common: Common = STANDARD,
) -> None:
    """Read quarantined payloads again, after a fix of their connector."""
    done = await perform(common.load(), "reprocess", channel=channel)
    say(", ".join(f"{name}: {number}" for name, number in done.items()) or "Nothing was in quarantine.")


@asynccontextmanager
async def _client(plan: PlannedChannel) -> AsyncIterator[Client]:
    async with aiohttp.ClientSession(trust_env=False) as session:
        client = plan.connector.client(plan.settings, ClientContext(session=session, channel=plan.id, read_file=_no_file))
        try:
            yield client
        finally:
            await client.close()


def _webhook(config: Config, channel: str) -> str:
    return f"{config.public_url}/webhooks/{channel}"


def _find(planned: list[PlannedChannel], channel: str) -> PlannedChannel:
    for plan in planned:
        if plan.id == channel:
            return plan
    raise UserError(f"there is no channel {channel!r}; configured: {', '.join(plan.id for plan in planned) or 'none'}")


async def _no_file(stored: str) -> bytes:
    raise FileNotFoundError(stored)
