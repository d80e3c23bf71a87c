"""Files of people, as rows: those to fetch, and those that we hold. Times are aware UTC."""

from enum import StrEnum

from msgspec import Struct

from connectors.event import Instant


class Verdict(StrEnum):
    """What a scanner said of a file."""

    #: Nobody has looked: there was no scanner.
    NONE = ""
    #: Nobody has looked yet; until somebody has, nobody may have it.
    WAITING = "waiting"
    CLEAN = "clean"
    #: Something was found: nobody may ever have it.
    WITHHELD = "withheld"


class MediaJob(Struct, frozen=True, kw_only=True):
    """A file at a provider that we want a copy of, or one of ours that a scanner has to look at."""

    #: Id of the copy, ``med_…``.
    id: str
    #: Empty for an upload: we have the bytes, ``ref`` is the file's id.
    channel: str
    #: Empty for an upload that is in no message.
    message_id: str
    #: Index of the part in the message.
    part: int
    ref: str
    attempts: int
    next_at: Instant


class StoredFile(Struct, frozen=True, kw_only=True):
    """A copy that we hold. The bytes lie in the media folder under ``sha256``."""

    id: str
    sha256: str
    #: Media type by signature, not by claim; ``application/octet-stream`` if unknown.
    mime: str
    name: str
    size: int
    created_at: Instant
    #: Who may fetch it: those who may see this conversation. Empty for an upload that is not in a message yet.
    conversation_id: str = ""
    #: The agent or identity who uploaded it; empty for fetched media.
    uploader: str = ""
    verdict: Verdict = Verdict.NONE
    #: What the scanner calls what it found, or why it has not looked yet.
    finding: str = ""
