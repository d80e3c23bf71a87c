"""Does everything add up? What this process has counted, and what the stream itself says, which survives restarts."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from connectors.event import MessageReceived, PayloadQuarantined, Status, decode_event
from gateway.web import channels
from gateway.web.route import Call, Input, Nothing
from gateway.web.shapes import ReconcileView, Shape
from routing.delivery import FINAL, WORKING
from routing.router import CONSUMER
from storage.ids import derive_id
from storage.protocol import WHOLE, Transaction
from storage.record import MessageKind, Recorded

_RECEIVED: Final = str(MessageReceived.__struct_config__.tag)
_QUARANTINED: Final = str(PayloadQuarantined.__struct_config__.tag)
_MOST_DIFFERENCES: Final = 100


class ReconcileQuery(Input, frozen=True, kw_only=True):
    """A window of the stream: ``limit`` events after position ``after``. Without ``after``: the newest."""

    after: Annotated[int, Meta(ge=0)] | None = None
    limit: Annotated[int, Meta(ge=1, le=5000)] = 1000


class StreamView(Shape, frozen=True, kw_only=True):
    """One channel's events in the window. Messages received = lines + joined + waiting + failed."""

    channel: str
    #: Events by type.
    events: dict[str, int]
    #: Messages received that have a line of their own in a history, that became part of another line (an album), that the router has
    #: not come to yet, and that it had to pass over (``routing.failed`` says why).
    lines: int = 0
    joined: int = 0
    waiting: int = 0
    failed: int = 0
    #: Unreadable payloads: those that still wait for a reader, and those that were read again.
    quarantined: int = 0
    reprocessed: int = 0
    #: Replies accepted, by how far they have come.
    replies: dict[str, int]


class ReconcileAnswer(Shape, frozen=True, kw_only=True):
    """``balanced``: everything adds up; else ``differences`` says what does not."""

    balanced: bool
    differences: list[str]
    #: What this process has counted since it started; the sum over several processes is what Prometheus is for.
    items: list[ReconcileView]
    #: What the stream says about the events after ``after`` up to ``to``; the same on every node.
    stream: list[StreamView]
    after: int
    to: int
    #: Give it as ``after`` to go on; null at the end of the stream.
    next_after: int | None
    as_of_pos: int


async def reconcile(call: Call[Nothing, ReconcileQuery]) -> ReconcileAnswer:
    """Compare what came in with what became of it. Reads at most ``limit`` events and, for messages, their lines."""
    counted = await channels.reconcile(call)
    window = await call.view(lambda tx: look(tx, call.query.after, call.query.limit))
    differences = [
        f"channel {one.channel}: {one.received} received since the process started, which its outcomes do not add up to"
        for one in counted.items
        if not one.balanced
    ] + window.differences
    return ReconcileAnswer(
        balanced=not differences,
        differences=differences[:_MOST_DIFFERENCES],
        items=counted.items,
        stream=[_view(channel, tally) for channel, tally in sorted(window.tallies.items())],
        after=window.after,
        to=window.to,
        next_after=window.to if window.to < window.head else None,
        as_of_pos=window.head,
    )


@dataclass(slots=True)
class Tally:
    """One channel, while it is counted."""

    events: Counter[str] = field(default_factory=Counter)
    messages: Counter[str] = field(default_factory=Counter)
    replies: Counter[str] = field(default_factory=Counter)
    quarantined: int = 0


@dataclass(slots=True)
class Window:
    """What was found."""

    after: int
    to: int
    head: int
    tallies: dict[str, Tally] = field(default_factory=dict)
    differences: list[str] = field(default_factory=list)

    def of(self, channel: str) -> Tally:
        return self.tallies.setdefault(channel, Tally())


async def look(tx: Transaction, after: int | None, limit: int) -> Window:
    """Count the events after ``after`` (None: the newest ``limit``) and look up what became of them."""
    head = await tx.stream.head()
    after = max(0, head - limit) if after is None else after
    events = await tx.stream.read(WHOLE, after, limit)
    window = Window(after, events[-1].pos if events else after, head)
    unexplained: list[Recorded] = []
    for recorded in events:
        entry = recorded.entry
        if entry.channel:
            window.of(entry.channel).events[entry.type] += 1
        if entry.channel and entry.type == _RECEIVED:
            became = await _became(tx, recorded)
            window.of(entry.channel).messages[became] += 1
            if not became:
                unexplained.append(recorded)
        elif entry.type == "message.added":
            await _reply(tx, recorded, window)
    await _explain(tx, unexplained, events, window, limit)
    await _quarantine(tx, window)
    return window


async def _became(tx: Transaction, recorded: Recorded) -> str:
    """``lines``, ``joined``, ``waiting``, or empty: then it was passed over, or something is wrong."""
    entry = recorded.entry
    event = decode_event(entry.data)
    assert isinstance(event, MessageReceived)
    if await tx.messages.get(derive_id("msg", entry.at, entry.channel, event.key)) is not None:
        return "lines"
    if await tx.messages.by_provider_id(entry.channel, event.message_id) is not None:
        return "joined"
    # One process reads the whole stream, several read its partitions.
    routed = max([await tx.stream.cursor(CONSUMER, partition) for partition in (WHOLE, entry.partition)])
    return "waiting" if recorded.pos > routed else ""


async def _explain(tx: Transaction, unexplained: Sequence[Recorded], events: Sequence[Recorded], window: Window, limit: int) -> None:
    """The router notes what it passes over a little later than where it was."""
    if not unexplained:
        return
    later = [*events, *await tx.stream.read(WHOLE, window.to, limit)]
    passed = {_failures.decode(one.entry.data).pos for one in later if one.entry.type == "routing.failed"}
    for recorded in unexplained:
        tally = window.of(recorded.entry.channel)
        tally.messages[""] -= 1
        if recorded.pos in passed:
            tally.messages["failed"] += 1
        else:
            where = f"channel {recorded.entry.channel}, event {recorded.pos}"
            window.differences.append(f"{where}: a message was received and routed, and is in no history")


async def _reply(tx: Transaction, recorded: Recorded, window: Window) -> None:
    line = _added.decode(recorded.entry.data).message
    if line.kind is not MessageKind.OUTBOUND or line.status is not Status.QUEUED:
        return  # not by us, or not through us
    message, item = await tx.messages.get(line.id), await tx.outbox.get(line.id)
    where = f"channel {line.channel}, event {recorded.pos}"
    if message is None or message.status is None:
        window.differences.append(f"{where}: the accepted reply {line.id} is in no history")
        return
    window.of(line.channel).replies[message.status.value] += 1
    if item is None:
        window.differences.append(f"{where}: the accepted reply {line.id} is not in the outbox, and will never be sent")
    elif item.status in FINAL and message.status in WORKING:
        window.differences.append(f"{where}: the reply {line.id} has ended ({item.status.value}), and its agents do not see it")


async def _quarantine(tx: Transaction, window: Window) -> None:
    number = sum(tally.events[_QUARANTINED] for tally in window.tallies.values())
    if number:
        for recorded in await tx.stream.quarantined(window.after, number):
            if recorded.pos <= window.to:
                window.of(recorded.entry.channel).quarantined += 1


def _view(channel: str, tally: Tally) -> StreamView:
    return StreamView(
        channel=channel,
        events={type_: number for type_, number in sorted(tally.events.items()) if number},
        lines=tally.messages["lines"],
        joined=tally.messages["joined"],
        waiting=tally.messages["waiting"],
        failed=tally.messages["failed"],
        quarantined=tally.quarantined,
        reprocessed=tally.events[_QUARANTINED] - tally.quarantined,
        replies=dict(sorted(tally.replies.items())),
    )


class _Line(Struct):
    id: str
    kind: MessageKind
    channel: str
    status: Status | None


class _Added(Struct):
    message: _Line


class _Failure(Struct):
    pos: int


_added: Final[msgspec.json.Decoder[_Added]] = msgspec.json.Decoder(_Added)
_failures: Final[msgspec.json.Decoder[_Failure]] = msgspec.json.Decoder(_Failure)
