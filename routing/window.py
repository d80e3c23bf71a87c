"""Until when a shopper may be answered, and with what. Pure; which windows there are is the channel's to say."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from connectors.capabilities import Window, open_window
from connectors.content import AnyPart
from routing.errors import WindowClosed
from storage.record import Conversation

#: Parts that go out as text where a channel, or its open window, does not have them.
AS_TEXT: Final = frozenset({"choices", "location", "contact"})
#: Parts that only tell the channel how to send the others.
SILENT: Final = frozenset({"envelope"})


class OpenWindow(NamedTuple):
    """What may be sent now."""

    #: As in ``connectors.capabilities.Window``; empty: none is open.
    name: str
    #: When it closes, or when the last one closed; None: never.
    closes_at: datetime | None
    #: Part types that may be sent.
    sends: frozenset[str]


def window_of(conversation: Conversation, windows: tuple[Window, ...], now: datetime, *, automatic: bool = False) -> OpenWindow | None:
    """The window that a reply of now falls into; None on a channel without windows, where everything goes for ever."""
    if not windows:
        return None
    since = conversation.last_private_at
    window = open_window(windows, None if since is None else (now - since).total_seconds(), automatic=automatic)
    if window is None:
        return OpenWindow("", _closing(conversation, windows), frozenset())
    return OpenWindow(window.name, _closing(conversation, (window,)), window.sends)


def kinds_of(parts: Iterable[AnyPart], sends: frozenset[str]) -> frozenset[str]:
    """Types of ``parts`` as they go out where only ``sends`` can be sent."""
    kinds = {str(part.__struct_config__.tag) for part in parts} - (SILENT - sends)
    return frozenset("text" if kind in AS_TEXT and kind not in sends else kind for kind in kinds)


def closed(
    conversation: Conversation, windows: tuple[Window, ...], parts: tuple[AnyPart, ...], now: datetime, *, automatic: bool
) -> WindowClosed | None:
    """Why ``parts`` may not be sent now, and what may; None if they may."""
    current = window_of(conversation, windows, now, automatic=automatic)
    if current is None or (current.name and kinds_of(parts, current.sends) <= current.sends):
        return None
    wide = tuple(one for one in windows if kinds_of(parts, one.sends) <= one.sends and not (automatic and one.human_only))
    closed_at = _closing(conversation, wide)
    if conversation.last_private_at is None:
        told = "This person has not written in private yet"
    elif closed_at is not None:
        told = f"The time for such a reply ended on {closed_at:%Y-%m-%d} at {closed_at:%H:%M} UTC"
    else:
        told = "The channel never allows such a reply"
    rest = (
        f"; until they write, only this may be sent: {', '.join(sorted(current.sends))}." if current.sends else "; wait until they write."
    )
    return WindowClosed(told + rest, closed_at, current.sends)


def _closing(conversation: Conversation, windows: tuple[Window, ...]) -> datetime | None:
    if conversation.last_private_at is None or not windows or any(not window.seconds for window in windows):
        return None
    return conversation.last_private_at + timedelta(seconds=max(window.seconds for window in windows))
