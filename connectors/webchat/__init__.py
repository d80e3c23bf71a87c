"""Our own chat on a shop's pages: visitors write through the gateway's socket, and read the same stream as the agents."""

from typing import Final

from connectors.capabilities import Capabilities, Limits
from connectors.contract import Connector
from connectors.text import Unit
from connectors.webchat.client import LoopBack
from connectors.webchat.inbound import MAX_TEXT, kept_headers, parse, verify
from connectors.webchat.outbound import MAX_CHOICES, MAX_LABEL, read_reply, render
from connectors.webchat.settings import Settings

CAPABILITIES: Final = Capabilities(
    limits=Limits(text=MAX_TEXT, unit=Unit.CHARS, choices=MAX_CHOICES, choice_label=MAX_LABEL),
    sends=frozenset({"text", "media", "choices"}),
    receives=frozenset({"text", "media", "chosen"}),
    # One line of the page, whatever is in it.
    bundles=True,
    delivered=True,
    read=True,
    # The visitor's page sends a frame again until it is acknowledged; a repeated reply has the same id.
    redelivers=True,
    idempotent=True,
)

CONNECTOR: Final = Connector(
    kind="webchat",
    settings=Settings,
    capabilities=CAPABILITIES,
    verify=verify,
    parse=parse,
    render=render,
    read_reply=read_reply,
    client=LoopBack,
    keeps=kept_headers,
)

__all__ = ["CAPABILITIES", "CONNECTOR", "Settings"]
