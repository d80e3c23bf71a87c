"""What the operator decided about routing: plain values, read once at start."""

from collections.abc import Mapping
from datetime import timedelta

from msgspec import Struct

from connectors.capabilities import Flood, Limits, Window
from routing.link import Links


class ChannelRules(Struct, frozen=True, kw_only=True):
    """Rules for one channel."""

    #: Name of the queue where its conversations start; empty means the default queue.
    queue: str = ""
    #: Agent id of the bot that holds new conversations first; empty means none.
    bot: str = ""
    #: What the channel can send, for refusing early; empty means anything.
    sends: frozenset[str] = frozenset()
    #: Until when one may answer, and with what; empty: for ever, with anything.
    windows: tuple[Window, ...] = ()
    #: Can a message be public?
    public: bool = False
    #: For telling which questions go out as numbered text; None: none do.
    limits: Limits | None = None
    #: Beyond this many messages of one sender none asks for work.
    flood: Flood = Flood()


class Rules(Struct, frozen=True, kw_only=True):
    """Rules for the whole installation."""

    channels: Mapping[str, ChannelRules] = {}
    #: A resolved conversation is reopened, and not begun anew, when the shopper comes back within this time.
    reopen_within: timedelta = timedelta(hours=24)
    #: A reply that could not be sent within this time expires.
    reply_life: timedelta = timedelta(hours=24)
    #: Attempts with an unknown outcome after which a reply is given up.
    max_unknowns: int = 3
    #: Reads the tokens of links by which shoppers go on elsewhere; None: there are none.
    links: Links | None = None

    def channel(self, channel: str) -> ChannelRules:
        return self.channels.get(channel, ChannelRules())
