"""Telegram bots: private chats, and the private chats of connected business accounts."""

from typing import Final

from connectors.capabilities import Capabilities, Limits
from connectors.contract import Connector
from connectors.telegram.client import TelegramClient
from connectors.telegram.inbound import parse, verify
from connectors.telegram.media import UPLOAD_BYTES
from connectors.telegram.outbound import CAPTION_LIMIT, CHOICES_LIMIT, TEXT_LIMIT, read_reply, render
from connectors.telegram.parts import DOWNLOAD_BYTES
from connectors.telegram.settings import Settings
from connectors.text import Unit

CAPABILITIES: Final = Capabilities(
    limits=Limits(
        text=TEXT_LIMIT,
        caption=CAPTION_LIMIT,
        unit=Unit.UTF16,
        choices=CHOICES_LIMIT,
        upload_bytes=UPLOAD_BYTES,
        download_bytes=DOWNLOAD_BYTES,
        # "Exact limits are unspecified"; these two are the FAQ's.
        rate=30.0,
        bucket_rate=1.0,
    ),
    sends=frozenset({"text", "media", "location", "contact", "choices"}),
    receives=frozenset({"text", "media", "location", "contact", "chosen", "unsupported"}),
    edits=True,
    # Only business accounts report them.
    deletions=True,
    reactions=True,
    redelivers=True,
)

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
