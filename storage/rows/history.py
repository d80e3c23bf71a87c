"""Conversations and messages as rows."""

from typing import Final

from connectors.event import Status
from connectors.identity import Identity
from storage.codec import Row, decode_parts, decode_reactions, encode, instant, instant_or_none, micros, micros_or_none
from storage.piece import Piece
from storage.record import Author, AuthorKind, Conversation, Message, MessageKind, State

CONVERSATION: Final = (
    "id",
    "number",
    "channel",
    "scheme",
    "scope",
    "value",
    "customer_id",
    "thread",
    "state",
    "queue_id",
    "created_at",
    "updated_at",
    "assignee_id",
    "waiting_since",
    "snoozed_until",
    "preview",
    "last_pos",
    "last_inbound_pos",
    "seen_pos",
    "customer_seen_pos",
    "last_private_at",
)


def conversation_row(conversation: Conversation) -> Row:
    """Its values for the columns ``CONVERSATION``."""
    identity = conversation.identity
    return (
        conversation.id,
        conversation.number,
        conversation.channel,
        identity.scheme,
        identity.scope,
        identity.value,
        conversation.customer_id,
        conversation.thread,
        conversation.state.value,
        conversation.queue_id,
        micros(conversation.created_at),
        micros(conversation.updated_at),
        conversation.assignee_id,
        micros_or_none(conversation.waiting_since),
        micros_or_none(conversation.snoozed_until),
        conversation.preview,
        conversation.last_pos,
        conversation.last_inbound_pos,
        conversation.seen_pos,
        conversation.customer_seen_pos,
        micros_or_none(conversation.last_private_at),
    )


def conversation_of(row: Row) -> Conversation:
    """From the columns ``CONVERSATION``."""
    return Conversation(
        id=row[0],
        number=row[1],
        channel=row[2],
        identity=Identity(*row[3:6]),
        customer_id=row[6],
        thread=row[7],
        state=State(row[8]),
        queue_id=row[9],
        created_at=instant(row[10]),
        updated_at=instant(row[11]),
        assignee_id=row[12],
        waiting_since=instant_or_none(row[13]),
        snoozed_until=instant_or_none(row[14]),
        preview=row[15],
        last_pos=row[16],
        last_inbound_pos=row[17],
        seen_pos=row[18],
        customer_seen_pos=row[19],
        last_private_at=instant_or_none(row[20]),
    )


#: ``pos`` comes first: where a message stands in the stream never changes, so an update leaves it out.
MESSAGE: Final = (
    "pos",
    "id",
    "conversation_id",
    "customer_id",
    "kind",
    "author_kind",
    "author_id",
    "author_name",
    "at",
    "received_at",
    "channel",
    "reply_to",
    "album",
    "forwarded_from",
    "edited_at",
    "deleted",
    "status",
    "problem",
    "possible_duplicate",
    "reactions",
    "parts",
    "public",
    "automatic",
    "pieces",
    "sent_at",
)


def message_row(message: Message) -> Row:
    """Its values for the columns ``MESSAGE``."""
    return (
        message.pos,
        message.id,
        message.conversation_id,
        message.customer_id,
        message.kind.value,
        message.author.kind.value,
        message.author.id,
        message.author.name,
        micros(message.at),
        micros(message.received_at),
        message.channel,
        message.reply_to,
        message.group,
        message.forwarded_from,
        micros_or_none(message.edited_at),
        message.deleted,
        message.status.value if message.status else "",
        message.problem,
        message.possible_duplicate,
        encode(message.reactions),
        encode(message.parts),
        message.public,
        message.automatic,
        message.pieces,
        micros_or_none(message.sent_at),
    )


def message_of(row: Row) -> Message:
    """From the columns ``MESSAGE``."""
    return Message(
        pos=row[0],
        id=row[1],
        conversation_id=row[2],
        customer_id=row[3],
        kind=MessageKind(row[4]),
        author=Author(kind=AuthorKind(row[5]), id=row[6], name=row[7]),
        at=instant(row[8]),
        received_at=instant(row[9]),
        channel=row[10],
        reply_to=row[11],
        group=row[12],
        forwarded_from=row[13],
        edited_at=instant_or_none(row[14]),
        deleted=bool(row[15]),
        status=Status(row[16]) if row[16] else None,
        problem=row[17],
        possible_duplicate=bool(row[18]),
        reactions=decode_reactions(row[19]),
        parts=decode_parts(row[20]),
        public=bool(row[21]),
        automatic=bool(row[22]),
        pieces=row[23],
        sent_at=instant_or_none(row[24]),
    )


PIECE: Final = ("part", "provider_id", "status", "problem")


def piece_of(row: Row) -> Piece:
    """From the columns ``PIECE``."""
    return Piece(part=row[0], provider_id=row[1], status=Status(row[2]) if row[2] else None, problem=row[3])
