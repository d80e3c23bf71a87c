"""The gateway's side of the evidence: histories, announcements and outcomes as the database has them, through ``Store``."""

from collections.abc import Iterable
from pathlib import Path

import msgspec
from msgspec import Struct

from connectors.content import plain_text
from connectors.errors import FailureKind
from connectors.event import Status
from gateway.credentials import CREDENTIAL_ENDED
from storage.access import Scope
from storage.protocol import WHOLE, Store
from storage.record import Conversation, Message, MessageKind, Recorded
from tests.chaos.agents import RESYNC
from tests.chaos.check import FeedLog, Line, Turn, named
from tests.chaos.ledger import Delivered, Seen, read_ledger

_PAGE = 1000
_ALL = Scope(everything=True)


class _Message(Struct):
    id: str
    status: Status | None = None


class _Data(Struct):
    message: _Message


_data = msgspec.json.Decoder(_Data).decode


async def lines_of(store: Store) -> list[Line]:
    """Every question and answer of every conversation."""
    found: list[Line] = []
    before = 0
    while page := await _conversations(store, before):
        for conversation in page:
            found += await _lines(store, conversation)
        before = page[-1].last_pos
    return found


async def _conversations(store: Store, before: int) -> list[Conversation]:
    return await store.view(lambda tx: tx.conversations.page(_ALL, states=[], queue_id="", assignee_id="", before=before, limit=_PAGE))


async def _lines(store: Store, conversation: Conversation) -> list[Line]:
    found: list[Line] = []
    after = 0
    while page := await _messages(store, conversation.id, after):
        after = page[-1].pos
        for message in page:
            if message.kind in {MessageKind.INBOUND, MessageKind.OUTBOUND}:
                line = await _line(store, message)
                found += [line] if line is not None else []
    return found


async def _messages(store: Store, conversation_id: str, after: int) -> list[Message]:
    return await store.view(lambda tx: tx.messages.of_conversation(conversation_id, after, 0, _PAGE))


async def _line(store: Store, message: Message) -> Line | None:
    name = named(plain_text(message.parts))
    if name is None:
        return None
    _, chat, number = name
    if message.kind is MessageKind.INBOUND:
        return Line(message.pos, inbound=True, chat=chat, number=number)
    unknowns = 0
    if message.possible_duplicate:
        attempts = await store.view(lambda tx: tx.outbox.attempts(message.id))
        unknowns = sum(attempt.outcome in {"", FailureKind.UNKNOWN.value} for attempt in attempts)
    return Line(
        message.pos,
        inbound=False,
        chat=chat,
        number=number,
        message_id=message.id,
        status=message.status,
        flagged=message.possible_duplicate,
        unknowns=unknowns,
    )


async def announced(store: Store) -> tuple[list[Turn], list[int]]:
    """From the stream itself: every status that was announced, and all that an agent who sees everything is shown.

    Raises AssertionError if positions are not gapless.
    """
    turns: list[Turn] = []
    visible: list[int] = []
    pos = 0
    while page := await store.read(WHOLE, pos, _PAGE):
        for recorded in page:
            pos += 1
            if recorded.pos != pos:
                raise AssertionError(f"the stream goes from pos {pos - 1} to {recorded.pos}")
            if _is_shown(recorded):
                visible.append(pos)
            if recorded.entry.type == "message.status_changed":
                message = _data(recorded.entry.data).message
                if message.status is not None:
                    turns.append(Turn(pos, message.id, message.status))
    return turns, visible


def _is_shown(recorded: Recorded) -> bool:
    entry = recorded.entry
    if entry.channel or entry.type == CREDENTIAL_ENDED:
        return False
    return _ALL.admits(queues=entry.queues, identity=entry.identity, agent=entry.agent)


def feed_log(path: Path, visible: Iterable[int]) -> tuple[FeedLog, int]:
    """What a reader noted beside what there was; and how often it was asked to load everything anew, which is no hole."""
    seen: list[int] = []
    excused: list[tuple[int, int]] = []
    asked = False
    for one in read_ledger(path, Seen):
        if one.pos == RESYNC:
            asked = True
            continue
        if asked:
            excused.append((seen[-1] if seen else 0, one.pos))
            asked = False
        seen.append(one.pos)
    last = seen[-1] if seen else 0
    expected = [pos for pos in visible if pos <= last and not any(low < pos < high for low, high in excused)]
    return FeedLog(seen=seen, visible=expected), len(excused)


def deliveries(folder: Path) -> list[Delivered]:
    """Everything that any bot's Telegram took; the order counts within a chat, and a chat has one bot."""
    return [one for path in sorted(folder.glob("delivered-*")) for one in read_ledger(path, Delivered)]
