"""Replies on their way, and every try of them, as rows."""

from typing import Final

from connectors.event import Status
from storage.codec import Row, decode_parts, encode, instant, instant_or_none, micros, micros_or_none
from storage.record import Attempt, OutboxItem, Priority

#: An item in one of these has left the waiting part of the outbox.
FINISHED: Final = frozenset({Status.SENT, Status.DELIVERED, Status.READ, Status.FAILED, Status.EXPIRED})

ITEM: Final = (
    "message_id",
    "conversation_id",
    "channel",
    "thread",
    "reply_to",
    "status",
    "finished",
    "attempts",
    "unknowns",
    "part_from",
    "next_at",
    "expires_at",
    "accepted_at",
    "parts",
    "partition",
    "public",
    "priority",
    "automatic",
    "author",
    "window_from",
)


def item_row(item: OutboxItem) -> Row:
    """Its values for the columns ``ITEM``."""
    return (
        item.message_id,
        item.conversation_id,
        item.channel,
        item.thread,
        item.reply_to,
        item.status.value,
        item.status in FINISHED,
        item.attempts,
        item.unknowns,
        item.part_from,
        micros(item.next_at),
        micros(item.expires_at),
        micros(item.accepted_at),
        encode(item.parts),
        item.partition,
        item.public,
        item.priority.value,
        item.automatic,
        item.author,
        micros_or_none(item.window_from),
    )


def item_of(row: Row) -> OutboxItem:
    """From the columns ``ITEM``."""
    return OutboxItem(
        message_id=row[0],
        conversation_id=row[1],
        channel=row[2],
        thread=row[3],
        reply_to=row[4],
        status=Status(row[5]),
        attempts=row[7],
        unknowns=row[8],
        part_from=row[9],
        next_at=instant(row[10]),
        expires_at=instant(row[11]),
        accepted_at=instant(row[12]),
        parts=decode_parts(row[13]),
        partition=row[14],
        public=bool(row[15]),
        priority=Priority(row[16]),
        automatic=bool(row[17]),
        author=row[18],
        window_from=instant_or_none(row[19]),
    )


#: The key comes last, as in the ``UPDATE`` that ends an attempt.
ATTEMPT: Final = ("started_at", "finished_at", "outcome", "code", "detail", "message_id", "number")


def attempt_row(attempt: Attempt) -> Row:
    """Its values for the columns ``ATTEMPT``."""
    return (
        micros(attempt.started_at),
        micros_or_none(attempt.finished_at),
        attempt.outcome,
        attempt.code,
        attempt.detail,
        attempt.message_id,
        attempt.number,
    )


def attempt_of(row: Row) -> Attempt:
    """From the columns ``ATTEMPT``."""
    return Attempt(
        started_at=instant(row[0]),
        finished_at=instant_or_none(row[1]),
        outcome=row[2],
        code=row[3],
        detail=row[4],
        message_id=row[5],
        number=row[6],
    )
