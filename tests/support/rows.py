"""Rows for storage tests: valid ones, of which a test names only what it is about."""

from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from connectors.content import Text
from connectors.event import Status
from connectors.identity import Evidence, Identity
from storage.access import Scope
from storage.protocol import Transaction
from storage.record import (
    Agent,
    Author,
    AuthorKind,
    Conversation,
    Customer,
    Entry,
    KnownIdentity,
    Message,
    MessageKind,
    OutboxItem,
    Role,
    State,
)

T = TypeVar("T")

#: With microseconds, so that a store which drops them is found out.
NOW = datetime(2026, 11, 21, 20, 15, 30, 123457, tzinfo=UTC)
ALL = Scope(everything=True)
ADA = Identity("telegram", "bot", "ada")
BEN = Identity("tel", "", "+48501")


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def _made(type_: type[T], fields: dict[str, Any]) -> T:
    return type_(**fields)


def entry(key: str = "", **changes: Any) -> Entry:
    return _made(
        Entry, {"type": "message.received", "data": b"{}", "partition": 0, "at": NOW, "channel": "tg" if key else "", "key": key} | changes
    )


def customer(id_: str = "cus_1", **changes: Any) -> Customer:
    return _made(Customer, {"id": id_, "name": "Ada", "created_at": NOW} | changes)


def known(identity: Identity = ADA, **changes: Any) -> KnownIdentity:
    return _made(KnownIdentity, {"identity": identity, "customer_id": "cus_1", "evidence": Evidence.PROVIDER, "since": NOW} | changes)


def agent(id_: str = "agt_1", **changes: Any) -> Agent:
    return _made(Agent, {"id": id_, "name": "Eve", "email": f"{id_}@shop.example", "role": Role.AGENT, "created_at": NOW} | changes)


def conversation(number: int = 1, **changes: Any) -> Conversation:
    fields = {
        "id": f"cnv_{number}",
        "number": number,
        "channel": "tg",
        "identity": ADA,
        "customer_id": "cus_1",
        "thread": "42",
        "state": State.QUEUED,
        "queue_id": "que_1",
        "created_at": NOW,
        "updated_at": NOW,
    }
    return _made(Conversation, fields | changes)


def message(pos: int, **changes: Any) -> Message:
    fields = {
        "id": f"msg_{pos}",
        "pos": pos,
        "conversation_id": "cnv_1",
        "customer_id": "cus_1",
        "kind": MessageKind.INBOUND,
        "author": Author(kind=AuthorKind.CUSTOMER, id="cus_1", name="Ada"),
        "parts": (Text(text=f"line {pos}"),),
        "at": NOW,
        "received_at": NOW,
        "channel": "tg",
    }
    return _made(Message, fields | changes)


def item(number: int, **changes: Any) -> OutboxItem:
    fields = {
        "message_id": f"msg_{number}",
        "conversation_id": "cnv_1",
        "channel": "tg",
        "thread": "42",
        "reply_to": "",
        "parts": (Text(text="hello"),),
        "status": Status.QUEUED,
        "attempts": 0,
        "unknowns": 0,
        "part_from": 0,
        "next_at": NOW,
        "expires_at": after(3600),
        "accepted_at": NOW,
    }
    return _made(OutboxItem, fields | changes)


async def one_conversation(tx: Transaction) -> Conversation:
    """A customer with one identity and one conversation."""
    await tx.customers.put(customer())
    await tx.customers.put_identity(known())
    await tx.conversations.insert(conversation())
    return conversation()
