"""The newest part of the log, copied to one Redis stream per partition.

An entry's id is ``<pos>-0``, its one field is named by the log, its value is the event as a MessagePack array. Beside the streams
there is one marker: up to where all of them were copied, and where each ended then. It is written after them, as no transaction
covers several servers of a cluster; comparing it with the streams tells what a server has lost.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

import msgspec
from msgspec import Struct

from connectors.identity import PARTITIONS
from storage.protocol import WHOLE
from storage.record import Entry, Recorded
from storage.redis_bus.address import Address
from storage.redis_bus.line import Line
from storage.redis_bus.scripts import DELETE, GET, MIRROR, READ, SET, TOP
from storage.redis_bus.servers import Call, Servers
from storage.redis_bus.wire import Reply

#: Grows when an entry's form changes: nodes of another version then do not read it.
_FORM: Final = "1"
#: Bytes of events per reply and per call; one event may be larger.
_MOST_BYTES: Final = 2_000_000


class Row(Struct, frozen=True, array_like=True):
    """An event as the mirror has it."""

    pos: int
    prev_pos: int
    partition: int
    at: datetime
    type: str
    data: bytes
    channel: str
    key: str
    raw: bytes
    conversation: str
    queues: tuple[str, ...]
    agent: str
    identity: str


class Marker(Struct, frozen=True):
    """Up to where the mirror was complete, and the newest ``pos`` of each partition then."""

    log: str
    pos: int
    tops: tuple[int, ...]


_encoder: Final = msgspec.msgpack.Encoder()
_rows: Final = msgspec.msgpack.Decoder(list[Row])
_marker: Final = msgspec.msgpack.Decoder(Marker)


def encode_event(event: Recorded) -> bytes:
    """The same bytes for the same event, always: the mirror compares them."""
    entry = event.entry
    return _encoder.encode(
        Row(
            event.pos,
            event.prev_pos,
            entry.partition,
            entry.at,
            entry.type,
            entry.data,
            entry.channel,
            entry.key,
            entry.raw,
            entry.conversation,
            entry.queues,
            entry.agent,
            entry.identity,
        )
    )


def _recorded(row: Row) -> Recorded:
    entry = Entry(
        type=row.type,
        data=row.data,
        partition=row.partition,
        at=row.at,
        channel=row.channel,
        key=row.key,
        raw=row.raw,
        conversation=row.conversation,
        queues=row.queues,
        agent=row.agent,
        identity=row.identity,
    )
    return Recorded(pos=row.pos, prev_pos=row.prev_pos, entry=entry)


def decode_rows(reply: object) -> list[Row]:
    """Rows of one reply; empty for what is not one of ours."""
    if not isinstance(reply, bytes):
        return []
    try:
        return _rows.decode(reply)
    except msgspec.DecodeError:
        return []


def unbroken(rows: Sequence[Row], after: int) -> list[Row]:
    """Of one partition: those that follow ``after`` without a hole."""
    known = after
    for count, row in enumerate(rows):
        # Nothing of this partition lies between prev_pos and pos: so nothing is missing if prev_pos is not beyond what is known.
        if row.prev_pos > known or row.pos <= known:
            return list(rows[:count])
        known = row.pos
    return list(rows)


def unbroken_whole(rows: Iterable[Row], after: int) -> list[Row]:
    """Of all partitions, in any order: those that follow ``after`` without a hole."""
    found = []
    for expected, row in enumerate(sorted(rows, key=lambda row: row.pos), start=after + 1):
        if row.pos != expected:
            break
        found.append(row)
    return found


class Mirror:
    """One installation's mirror. ``log`` names the log that is mirrored."""

    def __init__(self, line: Line, address: Address) -> None:
        self._line = line
        self._prefix = address.prefix
        self._keep = address.keep
        self.log = ""

    @property
    def _field(self) -> str:
        return f"{_FORM}:{self.log}"

    def _stream(self, partition: int) -> str:
        return f"{self._prefix}:ev:{partition}"

    @property
    def _mark(self) -> str:
        return f"{self._prefix}:mirrored"

    async def copy(self, events: Sequence[Recorded]) -> None:
        """See ``Bus.mirror``."""
        for part in _portions(events):
            if not await self._line.ask(lambda servers, part=part: self._copy(servers, part), otherwise=False):  # type: ignore[misc]
                return

    async def _copy(self, servers: Servers, events: Sequence[tuple[Recorded, bytes]]) -> bool:
        given: dict[int, list[bytes]] = {}
        for event, data in events:
            given.setdefault(event.entry.partition, []).extend((b"%d" % event.pos, data))
        copies = [Call(MIRROR, self._stream(partition), (self._field, self._keep, *pairs)) for partition, pairs in given.items()]
        replies = await servers.call_all([*copies, *self._top_calls()])
        mark = Marker(self._field, events[-1][0].pos, _tops(replies[len(copies) :]))
        await servers.call(SET, self._mark, _encoder.encode(mark))
        return True

    def _top_calls(self) -> list[Call]:
        return [Call(TOP, self._stream(partition), (self._field,)) for partition in range(PARTITIONS)]

    async def end(self) -> int:
        """See ``Bus.mirrored``."""
        return await self._line.ask(self._end, otherwise=0)

    async def _end(self, servers: Servers) -> int:
        # The marker first: with another relay at work the streams may only be further than it says.
        mark = self._read_marker(await servers.call(GET, self._mark))
        tops = _tops(await servers.call_all(self._top_calls()))
        # A stream that ends earlier than it did has lost its end: everything after that end is copied again.
        return min([mark.pos, *(top for top, was in zip(tops, mark.tops, strict=True) if top < was)])

    def _read_marker(self, reply: object) -> Marker:
        nothing = Marker(self._field, 0, (0,) * PARTITIONS)
        if not isinstance(reply, bytes):
            return nothing
        try:
            marker = _marker.decode(reply)
        except msgspec.DecodeError:
            return nothing
        return marker if marker.log == self._field and len(marker.tops) == PARTITIONS else nothing

    async def read(self, partition: int, after: int, limit: int) -> list[Recorded]:
        """See ``Bus.read``."""
        if limit <= 0:
            return []
        wanted = range(PARTITIONS) if partition == WHOLE else [partition]
        # Of the whole stream no more than ``limit`` positions can be among the answer.
        last = f"{after + limit}-0" if partition == WHOLE else "+"
        calls = [Call(READ, self._stream(of), (self._field, f"{after + 1}-0", last, limit, _MOST_BYTES // len(wanted))) for of in wanted]
        nothing: list[Reply] = []
        replies = await self._line.ask(lambda servers: servers.call_all(calls), otherwise=nothing)
        rows = [decode_rows(reply) for reply in replies]
        if partition == WHOLE:
            return [_recorded(row) for row in unbroken_whole((row for some in rows for row in some), after)]
        return [_recorded(row) for some in rows for row in unbroken(some, after)]

    async def drop(self) -> None:
        """See ``Bus.reset``."""
        # The marker first: a relay that is stopped in between then begins anew.
        await self._line.ask(lambda servers: servers.call(DELETE, self._mark), otherwise=None)
        calls = [Call(DELETE, self._stream(partition)) for partition in range(PARTITIONS)]
        nothing: list[Reply] = []
        await self._line.ask(lambda servers: servers.call_all(calls), otherwise=nothing)


def _tops(replies: Sequence[Reply]) -> tuple[int, ...]:
    return tuple(int(reply) if isinstance(reply, bytes) else 0 for reply in replies)


def _portions(events: Sequence[Recorded]) -> list[list[tuple[Recorded, bytes]]]:
    """In order, and small enough for one call each."""
    portions: dict[int, list[tuple[Recorded, bytes]]] = {}
    size = 0
    for event in events:
        data = encode_event(event)
        size += len(data)
        portions.setdefault(size // _MOST_BYTES, []).append((event, data))
    return list(portions.values())
