"""The states of a conversation and all moves between them, as one table. Nothing else may change a state."""

from datetime import datetime
from enum import StrEnum
from typing import Final

from msgspec import structs

from routing.errors import NotNow
from storage.record import Conversation, State


class Move(StrEnum):
    """What can happen to a conversation."""

    #: The shopper wrote.
    ARRIVE = "arrive"
    #: An agent took it, was given it by a person, or answered it.
    TAKE = "take"
    #: The router gave it to an agent.
    ASSIGN = "assign"
    #: It was handed back to its queue, or by a bot to people.
    RELEASE = "release"
    #: It was moved to another queue.
    TRANSFER = "transfer"
    #: It was set aside for a while.
    SNOOZE = "snooze"
    #: Its time has come, or the shopper wrote, and its agent is still there.
    RETURN = "return"
    #: It is done.
    RESOLVE = "resolve"
    #: It is not done after all.
    REOPEN = "reopen"


TABLE: Final[dict[tuple[State, Move], State]] = {
    (State.PENDING, Move.ARRIVE): State.PENDING,
    (State.PENDING, Move.TAKE): State.OPEN,
    (State.PENDING, Move.RELEASE): State.QUEUED,
    (State.PENDING, Move.TRANSFER): State.QUEUED,
    (State.PENDING, Move.RESOLVE): State.RESOLVED,
    (State.QUEUED, Move.ARRIVE): State.QUEUED,
    (State.QUEUED, Move.TAKE): State.OPEN,
    (State.QUEUED, Move.ASSIGN): State.OPEN,
    (State.QUEUED, Move.TRANSFER): State.QUEUED,
    (State.QUEUED, Move.SNOOZE): State.SNOOZED,
    (State.QUEUED, Move.RESOLVE): State.RESOLVED,
    (State.OPEN, Move.ARRIVE): State.OPEN,
    (State.OPEN, Move.TAKE): State.OPEN,
    (State.OPEN, Move.RELEASE): State.QUEUED,
    (State.OPEN, Move.TRANSFER): State.QUEUED,
    (State.OPEN, Move.SNOOZE): State.SNOOZED,
    (State.OPEN, Move.RESOLVE): State.RESOLVED,
    (State.SNOOZED, Move.ARRIVE): State.QUEUED,
    (State.SNOOZED, Move.RETURN): State.OPEN,
    (State.SNOOZED, Move.TAKE): State.OPEN,
    (State.SNOOZED, Move.RELEASE): State.QUEUED,
    (State.SNOOZED, Move.TRANSFER): State.QUEUED,
    (State.SNOOZED, Move.SNOOZE): State.SNOOZED,
    (State.SNOOZED, Move.RESOLVE): State.RESOLVED,
    (State.RESOLVED, Move.ARRIVE): State.QUEUED,
    (State.RESOLVED, Move.REOPEN): State.QUEUED,
}


def after(state: State, move: Move) -> State:
    """The state that ``move`` leads to. Raises NotNow, naming the moves that are possible."""
    try:
        return TABLE[state, move]
    except KeyError:
        possible = ", ".join(sorted(known.value for (at, known) in TABLE if at is state and known not in _NOT_BY_HAND))
        raise NotNow(state.value, f"The conversation is {state.value}; it cannot {move.value} now. Possible: {possible}.") from None


_NOT_BY_HAND: Final = frozenset({Move.ARRIVE, Move.ASSIGN, Move.RETURN})


def back_to_queue(conversation: Conversation, now: datetime) -> Conversation:
    """Handed back by its agent, or because there is none any more: it waits again, at its old place."""
    return structs.replace(
        conversation,
        state=after(conversation.state, Move.RELEASE),
        assignee_id="",
        snoozed_until=None,
        waiting_since=conversation.waiting_since or now,
        updated_at=now,
    )


def diagram() -> str:
    """The table as a Mermaid state diagram, for the README."""
    arrows: dict[tuple[State, State], list[str]] = {}
    for (source, move), target in TABLE.items():
        if source is not target:
            arrows.setdefault((source, target), []).append(move.value)
    lines = ["stateDiagram-v2", "    [*] --> queued: arrive", "    [*] --> pending: arrive, with a bot"]
    lines += [f"    {source.value} --> {target.value}: {', '.join(moves)}" for (source, target), moves in arrows.items()]
    return "\n".join(lines)
