"""Agents, queues and customers: ``decide(command, snapshot, now) -> effects``. Pure."""

from datetime import datetime

from msgspec import structs

from routing.command import Actor, MergeCustomers, PutAgent, PutQueue, SetMember, SetPresence, UnmergeCustomers
from routing.effect import (
    ChangeConversation,
    Effect,
    MoveIdentities,
    Rebalance,
)
from routing.effect import PutAgent as WriteAgent
from routing.effect import PutQueue as WriteQueue
from routing.effect import SetMember as WriteMember
from routing.errors import Forbidden, Invalid, NotNow, Unknown
from routing.line import activity
from routing.snapshot import Snapshot
from routing.state import back_to_queue
from storage.ids import derive_id
from storage.record import Agent, Conversation, Presence, Queue, Role, State

StaffCommand = SetPresence | PutAgent | PutQueue | SetMember | MergeCustomers | UnmergeCustomers

MAX_CAPACITY = 1000


def decide(command: StaffCommand, snapshot: Snapshot, now: datetime) -> list[Effect]:
    """The effects of a command about people or queues; raises Refused."""
    match command:
        case SetPresence():
            return _presence(command, snapshot)
        case PutAgent():
            return _agent(command, snapshot, now)
        case PutQueue():
            return _queue(command, snapshot, now)
        case SetMember():
            return _member(command, snapshot, now)
        case MergeCustomers() | UnmergeCustomers():
            return _merge(command, snapshot, now)


def _presence(command: SetPresence, snapshot: Snapshot) -> list[Effect]:
    if command.agent_id != command.actor.agent_id:
        _require(command.actor, Role.SUPERVISOR)
    agent = _known_agent(snapshot)
    if agent.presence is command.presence:
        return []
    effects: list[Effect] = [WriteAgent(agent=structs.replace(agent, presence=command.presence))]
    if command.presence is Presence.ONLINE:
        effects.append(Rebalance(queue_ids=snapshot.agent_queues))
    return effects


def _agent(command: PutAgent, snapshot: Snapshot, now: datetime) -> list[Effect]:
    _require(command.actor, Role.ADMIN if command.role or command.disabled is not None or not command.agent_id else Role.SUPERVISOR)
    if command.agent_id:
        agent = _known_agent(snapshot)
    else:
        if not command.name or not command.email:
            raise Invalid("missing", "A new agent needs a name and an e-mail address.", "name" if not command.name else "email")
        agent = Agent(id=derive_id("agt", now, command.id), name=command.name, email=command.email, role=Role.AGENT, created_at=now)
    email = agent.email if command.email is None else command.email.strip().lower()
    if email.count("@") != 1 or any(char.isspace() for char in email):
        raise Invalid("bad_email", "That is no e-mail address.", "email")
    if snapshot.namesake is not None and snapshot.namesake.id != agent.id:
        raise NotNow("email_taken", "Another agent signs in with this e-mail address.")
    if command.capacity is not None and not 0 <= command.capacity <= MAX_CAPACITY:
        raise Invalid("out_of_range", f"The capacity must lie between 0 and {MAX_CAPACITY}.", "capacity")
    disabled = agent.disabled if command.disabled is None else command.disabled
    changed = structs.replace(
        agent,
        name=command.name or agent.name,
        email=email,
        role=command.role or agent.role,
        capacity=agent.capacity if command.capacity is None else command.capacity,
        disabled=disabled,
        presence=Presence.OFFLINE if disabled else agent.presence,
    )
    handed_back = _hand_back(snapshot.conversations, command.id, now) if disabled else []
    queues = snapshot.agent_queues | {one.queue_id for one in snapshot.conversations}
    return [WriteAgent(agent=changed), *handed_back, Rebalance(queue_ids=frozenset(queues))]


def _hand_back(conversations: tuple[Conversation, ...], seed: str, now: datetime) -> list[Effect]:
    """What somebody who leaves had in hand waits again, at its old place."""
    effects: list[Effect] = []
    for conversation in conversations:
        if conversation.state not in {State.OPEN, State.SNOOZED, State.PENDING}:
            continue
        back = back_to_queue(conversation, now)
        effects.append(ChangeConversation(conversation=back, event="conversation.released", reason="its agent has left"))
        effects.append(activity(back, now, seed, "released"))
    return effects


def _queue(command: PutQueue, snapshot: Snapshot, now: datetime) -> list[Effect]:
    _require(command.actor, Role.SUPERVISOR)
    if command.name is not None and not command.name.strip():
        raise Invalid("empty", "A queue needs a name.", "name")
    if command.queue_id:
        if snapshot.queue is None:
            raise Unknown("not_found", "There is no such queue.")
        queue = snapshot.queue
    else:
        if not command.name:
            raise Invalid("missing", "A new queue needs a name.", "name")
        queue = Queue(id=derive_id("que", now, command.id), name="", created_at=now)
    if command.is_default is False and queue.is_default:
        raise NotNow("default_needed", "One queue must be the default; make another one the default instead.")
    changed = structs.replace(queue, name=(command.name or queue.name).strip(), is_default=bool(command.is_default) or queue.is_default)
    effects: list[Effect] = []
    former = snapshot.default_queue
    if changed.is_default and former is not None and former.id != changed.id:
        effects.append(WriteQueue(queue=structs.replace(former, is_default=False)))
    return [*effects, WriteQueue(queue=changed)]


def _member(command: SetMember, snapshot: Snapshot, now: datetime) -> list[Effect]:
    _require(command.actor, Role.SUPERVISOR)
    agent = _known_agent(snapshot)
    if snapshot.queue is None:
        raise Unknown("not_found", "There is no such queue.")
    if (command.queue_id in snapshot.agent_queues) is command.member:
        return []
    effects: list[Effect] = [WriteMember(queue_id=command.queue_id, agent_id=agent.id, member=command.member)]
    if not command.member:
        theirs = tuple(one for one in snapshot.conversations if one.queue_id == command.queue_id)
        effects += _hand_back(theirs, command.id, now)
    return [*effects, Rebalance(queue_ids=frozenset({command.queue_id}))]


def _merge(command: MergeCustomers | UnmergeCustomers, snapshot: Snapshot, now: datetime) -> list[Effect]:
    if snapshot.customer is None or snapshot.merge_from is None:
        raise Unknown("not_found", "There is no such customer.")
    if command.from_id == command.into_id:
        raise Invalid("same", "A customer cannot be merged with themselves.", "from_id")
    return [MoveIdentities(from_id=command.from_id, into_id=command.into_id, at=now, undo=isinstance(command, UnmergeCustomers))]


def _known_agent(snapshot: Snapshot) -> Agent:
    if snapshot.agent is None:
        raise Unknown("not_found", "There is no such agent.")
    return snapshot.agent.agent


def _require(actor: Actor, role: Role) -> None:
    allowed = {Role.ADMIN} if role is Role.ADMIN else {Role.ADMIN, Role.SUPERVISOR}
    if actor.role not in allowed:
        raise Forbidden("forbidden", f"This needs the role {role.value}.")
