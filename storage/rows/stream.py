"""Events as rows."""

from typing import Final

from storage.codec import Row, decode_names, encode, instant, micros
from storage.record import Entry, Recorded

#: Events of this type are listed for reprocessing.
QUARANTINED: Final = "payload.quarantined"

EVENT: Final = (
    "pos",
    "prev_pos",
    "partition",
    "at",
    "type",
    "channel",
    "key",
    "conversation",
    "queues",
    "agent",
    "identity",
    "data",
    "raw",
)


def event_row(pos: int, before: int, entry: Entry) -> Row:
    """The values of an event at ``pos`` for the columns ``EVENT``; ``before`` is the position before it in its partition."""
    return (
        pos,
        before,
        entry.partition,
        micros(entry.at),
        entry.type,
        entry.channel,
        entry.key,
        entry.conversation,
        encode(entry.queues).decode() if entry.queues else "",
        entry.agent,
        entry.identity,
        entry.data,
        entry.raw,
    )


def recorded_of(row: Row) -> Recorded:
    """From the columns ``EVENT``."""
    pos, prev_pos, partition, at, type_, channel, key, conversation, queues, agent, identity, data, raw = row
    entry = Entry(
        type=type_,
        data=data,
        partition=partition,
        at=instant(at),
        channel=channel,
        key=key,
        raw=raw,
        conversation=conversation,
        queues=decode_names(queues) if queues else (),
        agent=agent,
        identity=identity,
    )
    return Recorded(pos=pos, prev_pos=prev_pos, entry=entry)
