"""Topics that every node knows, what is told on them, and who listens within this process."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec

from storage.bus import Hear
from storage.record import Recorded

#: Told after a commit: where partitions of the stream end now.
HEAD: Final = "head"
#: Told by the relay: up to where the mirror has them.
MIRRORED: Final = "mirrored"

#: Told by a node that begins to spool: what comes in elsewhere may be behind that.
SPOOLING: Final = "spooling"

_decoder: Final = msgspec.json.Decoder(dict[int, int])


def encode_heads(heads: Mapping[int, int]) -> bytes:
    """JSON of partition -> pos."""
    return msgspec.json.encode(heads)


def decode_heads(data: bytes) -> dict[int, int]:
    """The inverse; empty for what is no such thing, as it comes from outside."""
    try:
        return _decoder.decode(data)
    except msgspec.DecodeError:
        return {}


def merge_heads(older: bytes, newer: bytes) -> bytes:
    """One message that says what both say: the furthest of each partition."""
    heads = decode_heads(older)
    for partition, pos in decode_heads(newer).items():
        heads[partition] = max(pos, heads.get(partition, 0))
    return encode_heads(heads)


def heads_of(events: Sequence[Recorded]) -> dict[int, int]:
    """Where these events, in the order of ``pos``, lead each of their partitions."""
    return {event.entry.partition: event.pos for event in events}


class Ears:
    """Who listens to what. Used within one event loop."""

    def __init__(self) -> None:
        self._ears: dict[str, dict[object, Hear]] = {}

    def hear(self, topic: str, hear: Hear) -> Callable[[], None]:
        """See ``Bus.hear``."""
        ear = object()
        self._ears.setdefault(topic, {})[ear] = hear

        def end() -> None:
            ears = self._ears.get(topic, {})
            ears.pop(ear, None)
            if not ears:
                self._ears.pop(topic, None)

        return end

    def tell(self, topic: str, data: bytes) -> None:
        """Call each listener soon, by itself: an error in one reaches neither the teller nor the others."""
        ears = self._ears.get(topic)
        if ears:
            loop = asyncio.get_running_loop()
            for ear in ears:
                loop.call_soon(self._call, topic, ear, data)

    def _call(self, topic: str, ear: object, data: bytes) -> None:
        hear = self._ears.get(topic, {}).get(ear)
        if hear is not None:
            hear(data)
