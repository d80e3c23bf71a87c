"""Telegram bots: private chats, and the private chats of connected business accounts."""

from typing import Final

from connectors.contract import Connector
from connectors.telegram.client import TelegramClient
from connectors.telegram.inbound import parse, verify
from connectors.telegram.outbound import CAPABILITIES, read_reply, render
from connectors.telegram.settings import Settings

CONNECTOR: Final = Connector(
    kind="telegram",
    settings=Settings,
    capabilities=CAPABILITIES,
    verify=verify,
    parse=parse,
    render=render,
    read_reply=read_reply,
    client=TelegramClient,
    sources=(
        "https://core.telegram.org/bots/api (Bot API 10.0, read 2026-11)",
        "https://core.telegram.org/bots/faq (limits, read 2026-11)",
    ),
)

__all__ = ["CAPABILITIES", "CONNECTOR", "Settings"]
