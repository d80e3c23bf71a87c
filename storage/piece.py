"""What a message of ours is at the provider: several messages there, if it was long or has files."""

from msgspec import Struct

from connectors.event import Status


class Piece(Struct, frozen=True, kw_only=True):
    """One message at the provider, of those that our message is there."""

    #: From 0; -1 if nobody knows which one it is, because it was sent twice.
    part: int
    #: Unique within the channel.
    provider_id: str
    #: What the provider has reported of it; None: only that it took it.
    status: Status | None = None
    #: Why it failed.
    problem: str = ""
