"""What an Instagram account can send: limits with their sources, and the Send API's calls. Pure."""

from collections.abc import Sequence
from typing import Final

from connectors.capabilities import Capabilities, Limits, MediaRule, Window
from connectors.content import MediaKind
from connectors.contract import Call, Outbound, Outcome, Reply
from connectors.instagram.settings import Settings
from connectors.meta_messaging.outbound import HUMAN_AGENT, Style, able_with, read_answer, render_message
from connectors.text import Unit

#: Bytes (…/instagram-messaging/features/attachment-upload, read 2026-11).
FILE_BYTES: Final = 25_000_000
IMAGE_BYTES: Final = 8_000_000
_DAY: Final = 86_400
_SENDS: Final = frozenset({"text", "media", "choices"})

CAPABILITIES: Final = Capabilities(
    limits=Limits(
        # "UTF-8 and 1000 bytes or less" (…/instagram/features/send-message).
        text=1000,
        unit=Unit.BYTES,
        # …/instagram/features/quick-replies; 20 characters, so 20 bytes always fit.
        choices=13,
        choice_label=20,
        media=(
            MediaRule(kind=MediaKind.IMAGE, mimes=("image/jpeg", "image/png", "image/gif"), max_bytes=IMAGE_BYTES, caption=False),
            MediaRule(
                kind=MediaKind.VIDEO,
                mimes=("video/mp4", "video/ogg", "video/x-msvideo", "video/quicktime", "video/webm"),
                max_bytes=FILE_BYTES,
                caption=False,
            ),
            MediaRule(
                kind=MediaKind.AUDIO,
                mimes=("audio/aac", "audio/mp4", "audio/x-m4a", "audio/wav"),
                max_bytes=FILE_BYTES,
                caption=False,
            ),
            MediaRule(kind=MediaKind.FILE, mimes=("application/pdf",), max_bytes=FILE_BYTES, caption=False),
        ),
        upload_bytes=FILE_BYTES,
        download_bytes=FILE_BYTES,
        # Texts 300 a second, films and sound 10 (…/messenger-platform/overview/rate-limiting).
        rate=10.0,
    ),
    sends=_SENDS,
    receives=frozenset({"text", "media", "location", "chosen", "referral", "unsupported"}),
    windows=(
        Window(name="standard", seconds=_DAY, sends=_SENDS),
        Window(name=HUMAN_AGENT, seconds=7 * _DAY, sends=frozenset({"text", "media"}), human_only=True),
    ),
    public=True,
    # As long as in the app; Graph names no limit for answers to comments. Words only
    # (…/instagram-graph-api/reference/ig-comment/replies, read 2026-11).
    public_limits=Limits(text=2200, unit=Unit.UTF16),
    public_sends=frozenset({"text"}),
    edits=True,
    deletions=True,
    reactions=True,
    # Instagram tells what was read, and nothing of what only arrived.
    read=True,
    redelivers=True,
)

STYLE: Final = Style(private=CAPABILITIES, answers="replies", metadata=False)


def capabilities_for(settings: Settings) -> Capabilities:
    """Answers after the first day need a permission of Meta's."""
    return able_with(CAPABILITIES, settings)


def render(message: Outbound, settings: Settings) -> Sequence[Call]:
    """The calls of one message, in order. Raises ``Inexpressible`` before anything is sent."""
    return render_message(message, settings, STYLE, settings.page_id or settings.account_id)


def read_reply(call: Call, reply: Reply, settings: Settings) -> Outcome:
    """What the answer means."""
    return read_answer(call, reply, settings)
