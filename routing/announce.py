"""The events that tell the world what was done: whole snapshots, with the audience that may see them.

Every reader of the feed can replace its copy with the one in the event, so a state and the events after it always give
the newer state.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from connectors.identity import Identity, partition_of
from storage.access import EVERY_QUEUE, SUPERVISORS_ONLY
from storage.file import StoredFile
from storage.interaction import Health
from storage.record import Agent, Conversation, Customer, Decision, Entry, KnownIdentity, Message, MessageKind, Queue

#: Audience of what every agent may know.
ALL_AGENTS = (EVERY_QUEUE,)
_PUBLIC = frozenset({MessageKind.INBOUND, MessageKind.OUTBOUND})

_encoder = msgspec.json.Encoder()


def partition(channel: str, identity: Identity) -> int:
    """The partition of everything that concerns one identity on one channel, in and out."""
    return partition_of(f"{channel}\x00{identity}")


def conversation_event(
    type_: str, conversation: Conversation, at: datetime, customer_name: str, reason: str = "", left_queue: str = ""
) -> Entry:
    """``conversation.*``: ``{conversation, customer_name, reason}``."""
    data: dict[str, Any] = {"conversation": conversation, "customer_name": customer_name, "reason": reason}
    return _entry(type_, data, conversation, at, queues=(conversation.queue_id, *((left_queue,) if left_queue else ())))


def message_event(type_: str, message: Message, conversation: Conversation, at: datetime, customer_name: str) -> Entry:
    """``message.*``: ``{message, conversation, customer_name}``. Shoppers see what was said, not notes, system lines or statuses."""
    data = {"message": message, "conversation": conversation, "customer_name": customer_name}
    public = message.kind in _PUBLIC and type_ != "message.status_changed"
    return _entry(type_, data, conversation, at, queues=(conversation.queue_id,), identity=str(conversation.identity) if public else "")


def decision_event(decision: Decision, conversation: Conversation) -> Entry:
    """``routing.decided``: ``{decision}``."""
    return _entry("routing.decided", {"decision": decision}, conversation, decision.at, queues=(conversation.queue_id,))


def customer_event(customer: Customer, identities: list[KnownIdentity], queues: tuple[str, ...], at: datetime) -> Entry:
    """``customer.changed``: ``{customer, identities}``."""
    return _plain("customer.changed", {"customer": customer, "identities": identities}, at, queues)


def merge_event(type_: str, from_id: str, into_id: str, moved: Sequence[Identity], queues: tuple[str, ...], at: datetime) -> Entry:
    """``customer.merged`` and ``customer.unmerged``: ``{from_id, into_id, identities}``, the identities being those that moved."""
    return _plain(type_, {"from_id": from_id, "into_id": into_id, "identities": moved}, at, queues)


def agent_event(agent: Agent, at: datetime) -> Entry:
    """``agent.changed``: ``{agent}``."""
    return _plain("agent.changed", {"agent": agent}, at, ALL_AGENTS, agent=agent.id)


def queue_event(queue: Queue, at: datetime) -> Entry:
    """``queue.changed``: ``{queue}``."""
    return _plain("queue.changed", {"queue": queue}, at, ALL_AGENTS)


def member_event(queue_id: str, agent_id: str, at: datetime, *, member: bool) -> Entry:
    """``queue.member_added`` and ``queue.member_removed``: ``{queue_id, agent_id}``."""
    type_ = "queue.member_added" if member else "queue.member_removed"
    return _plain(type_, {"queue_id": queue_id, "agent_id": agent_id}, at, ALL_AGENTS, agent=agent_id)


def health_event(channel_id: str, health: Health, changed: Sequence[str], at: datetime) -> Entry:
    """``channel.health_changed``: ``{channel_id, health, changed}``, the last being the components whose state is another one."""
    data = {"channel_id": channel_id, "health": health, "changed": changed}
    return _plain("channel.health_changed", data, at, (SUPERVISORS_ONLY,))


def withheld_event(file: StoredFile, at: datetime) -> Entry:
    """``file.withheld``: ``{file_id, name, size, conversation_id, uploader, finding}``; its message, if it is in one, says so too."""
    data = {
        "file_id": file.id,
        "name": file.name,
        "size": file.size,
        "conversation_id": file.conversation_id,
        "uploader": file.uploader,
        "finding": file.finding,
    }
    return _plain("file.withheld", data, at, (SUPERVISORS_ONLY,))


def failure_event(pos: int, why: str, partition_: int, at: datetime) -> Entry:
    """``routing.failed``: ``{pos, why}``; for operators, on no feed."""
    return Entry(type="routing.failed", data=_encoder.encode({"pos": pos, "why": why}), partition=partition_, at=at)


def _entry(
    type_: str, data: dict[str, Any], conversation: Conversation, at: datetime, queues: tuple[str, ...], identity: str = ""
) -> Entry:
    return Entry(
        type=type_,
        data=_encoder.encode(data),
        partition=partition(conversation.channel, conversation.identity),
        at=at,
        conversation=conversation.id,
        queues=queues,
        identity=identity,
    )


def _plain(type_: str, data: dict[str, Any], at: datetime, queues: tuple[str, ...], agent: str = "") -> Entry:
    return Entry(type=type_, data=_encoder.encode(data), partition=0, at=at, queues=queues, agent=agent)
