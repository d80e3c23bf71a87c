"""Who gets what: the longest-waiting conversation goes to the eligible agent with the fewest open ones. Pure."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from msgspec import Struct, structs

from storage.record import AgentLoad, Candidate, Conversation, Decision, Presence, Role

_NEVER: Final = datetime.min.replace(tzinfo=UTC)


class Assignment(Struct, frozen=True, kw_only=True):
    """A conversation and who gets it (None: nobody is free), with the reasons."""

    conversation: Conversation
    load: AgentLoad | None
    decision: Decision


def ineligible(load: AgentLoad) -> str:
    """Why the router may not give this agent anything; empty if it may."""
    agent = load.agent
    if agent.disabled:
        return "disabled"
    if agent.role is Role.BOT:
        return "bot"
    if agent.presence is not Presence.ONLINE:
        return agent.presence.value
    if load.open_count >= agent.capacity:
        return "at capacity"
    return ""


def free_places(members: Mapping[str, Sequence[AgentLoad]]) -> int:
    """How many conversations the members of these queues could take together: an upper bound for what must be looked at."""
    loads = {load.agent.id: load for queue in members.values() for load in queue}
    return sum(load.agent.capacity - load.open_count for load in loads.values() if not ineligible(load))


def assign(
    waiting: Sequence[Conversation], members: Mapping[str, Sequence[AgentLoad]], fresh: frozenset[str], now: datetime
) -> list[Assignment]:
    """Match ``waiting`` conversations (of several queues) with the ``members`` of their queues.

    A waiting conversation without an eligible agent appears in the result only if it is ``fresh``, so that a record
    exists of why it waits, but not a new one at every look.
    """
    loads = {load.agent.id: load for queue in members.values() for load in queue}
    found = []
    for conversation in sorted(waiting, key=lambda one: (one.waiting_since or _NEVER, one.number)):
        looked_at = [loads[load.agent.id] for load in members.get(conversation.queue_id, ())]
        chosen = min((load for load in looked_at if not ineligible(load)), key=_preference, default=None)
        if chosen is None and conversation.id not in fresh:
            continue
        decision = _decision(conversation, chosen, looked_at, now)
        if chosen is not None:
            agent = chosen.agent
            busier = structs.replace(agent, last_assigned_at=now)
            loads[agent.id] = AgentLoad(agent=busier, open_count=chosen.open_count + 1)
        found.append(Assignment(conversation=conversation, load=chosen, decision=decision))
    return found


def _preference(load: AgentLoad) -> tuple[int, datetime, str]:
    """Fewest open first; among equals who has waited longest for work; then by id, so that the outcome is certain."""
    return load.open_count, load.agent.last_assigned_at or _NEVER, load.agent.id


def _decision(conversation: Conversation, chosen: AgentLoad | None, looked_at: Sequence[AgentLoad], now: datetime) -> Decision:
    if chosen is not None:
        reason = f"{chosen.agent.name} is free and has the fewest open conversations ({chosen.open_count})."
    elif looked_at:
        reason = "No member of the queue is free."
    else:
        reason = "The queue has no members."
    return Decision(
        conversation_id=conversation.id,
        queue_id=conversation.queue_id,
        at=now,
        outcome="assigned" if chosen else "waiting",
        agent_id=chosen.agent.id if chosen else "",
        reason=reason,
        candidates=tuple(
            Candidate(
                agent_id=load.agent.id,
                name=load.agent.name,
                open_count=load.open_count,
                capacity=load.agent.capacity,
                eligible=not (why := ineligible(load)),
                reason=why or "eligible",
            )
            for load in looked_at
        ),
    )
