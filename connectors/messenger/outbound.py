"""What a page can send: limits with their sources, and the Send API's calls. Pure."""

from collections.abc import Sequence
from typing import Final

from connectors.capabilities import Capabilities, Limits, MediaRule, Window
from connectors.content import MediaKind
from connectors.contract import Call, Outbound, Outcome, Reply
from connectors.messenger.settings import Settings
from connectors.meta_messaging.outbound import HUMAN_AGENT, Style, able_with, read_answer, render_message
from connectors.text import Unit

#: Bytes of a file of any kind (…/messenger-platform/send-messages/saving-assets, updated 2026-04, read 2026-11). That images may have
#: 8 MB is said of those that Meta fetches by their address; ours go with the message.
FILE_BYTES: Final = 25_000_000
_DAY: Final = 86_400
#: Everything but templates, which we do not use here.
_SENDS: Final = frozenset({"text", "media", "choices"})

#: A comment's length as the page's own composer has it; Graph names none. One photo as ``source``, with or without words; that field and
#: the photo's size are not confirmed on a page of Meta's (looked up 2026-11: …/reference/object/comments shows neither in our copies).
COMMENT_CHARS: Final = 8000
PHOTO_BYTES: Final = 4_000_000
COMMENT: Final = Limits(
    text=COMMENT_CHARS,
    caption=COMMENT_CHARS,
    unit=Unit.UTF16,
    media=(MediaRule(kind=MediaKind.IMAGE, mimes=("image/jpeg", "image/png", "image/gif"), max_bytes=PHOTO_BYTES),),
    upload_bytes=PHOTO_BYTES,
)

CAPABILITIES: Final = Capabilities(
    limits=Limits(
        # "2000 characters"; counted in UTF-16 an emoji is two, so it fits however they count (…/reference/send-api).
        text=2000,
        unit=Unit.UTF16,
        # …/send-messages/quick-replies.
        choices=13,
        choice_label=20,
        media=(
            MediaRule(kind=MediaKind.IMAGE, mimes=("image/jpeg", "image/png", "image/gif"), max_bytes=FILE_BYTES, caption=False),
            MediaRule(
                kind=MediaKind.VIDEO,
                mimes=("video/mp4", "video/ogg", "video/x-msvideo", "video/quicktime", "video/webm"),
                max_bytes=FILE_BYTES,
                caption=False,
            ),
            MediaRule(
                kind=MediaKind.AUDIO,
                mimes=("audio/aac", "audio/mp4", "audio/x-m4a", "audio/wav", "audio/mpeg"),
                max_bytes=FILE_BYTES,
                caption=False,
            ),
            MediaRule(kind=MediaKind.FILE, max_bytes=FILE_BYTES, caption=False),
        ),
        upload_bytes=FILE_BYTES,
        download_bytes=FILE_BYTES,
        # Texts 300 a second, films and sound 10; above 40 messages a second the page's own inbox stops (…/overview/rate-limiting).
        rate=10.0,
    ),
    sends=_SENDS,
    receives=frozenset({"text", "media", "location", "chosen", "referral", "unsupported"}),
    # …/messenger-platform/policy/policy-overview: answers for a day; by people, with the tag, for a week.
    windows=(
        Window(name="standard", seconds=_DAY, sends=_SENDS),
        Window(name=HUMAN_AGENT, seconds=7 * _DAY, sends=frozenset({"text", "media"}), human_only=True),
    ),
    public=True,
    public_limits=COMMENT,
    public_sends=frozenset({"text", "media"}),
    edits=True,
    deletions=True,
    reactions=True,
    delivered=True,
    read=True,
    redelivers=True,
)

STYLE: Final = Style(private=CAPABILITIES, answers="comments", metadata=True)


def capabilities_for(settings: Settings) -> Capabilities:
    """Answers after the first day need a permission of Meta's."""
    return able_with(CAPABILITIES, settings)


def render(message: Outbound, settings: Settings) -> Sequence[Call]:
    """The calls of one message, in order. Raises ``Inexpressible`` before anything is sent."""
    return render_message(message, settings, STYLE, settings.page_id)


def read_reply(call: Call, reply: Reply, settings: Settings) -> Outcome:
    """What the answer means."""
    return read_answer(call, reply, settings)
