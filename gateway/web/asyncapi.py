"""The description of the feed, AsyncAPI 3.0, made from the structs that its events hold."""

from typing import Any, Final

import msgspec
from msgspec import Struct

from connectors.abilities import Component
from gateway.web.openapi import product_version
from gateway.web.route import PREFIX
from storage.interaction import Health
from storage.record import Agent, Conversation, Customer, Decision, KnownIdentity, Message, Queue

_REF: Final = "#/components/schemas/{name}"


class MessageData(Struct, frozen=True, kw_only=True):
    message: Message
    conversation: Conversation
    customer_name: str


class ConversationData(Struct, frozen=True, kw_only=True):
    conversation: Conversation
    customer_name: str
    reason: str = ""


class CustomerData(Struct, frozen=True, kw_only=True):
    customer: Customer
    identities: list[KnownIdentity]


class MergeData(Struct, frozen=True, kw_only=True):
    from_id: str
    into_id: str


class AgentData(Struct, frozen=True, kw_only=True):
    agent: Agent


class QueueData(Struct, frozen=True, kw_only=True):
    queue: Queue


class MemberData(Struct, frozen=True, kw_only=True):
    queue_id: str
    agent_id: str


class HealthData(Struct, frozen=True, kw_only=True):
    channel_id: str
    health: Health
    changed: list[Component]


class WithheldData(Struct, frozen=True, kw_only=True):
    file_id: str
    name: str
    size: int
    conversation_id: str
    uploader: str
    finding: str


class DecisionData(Struct, frozen=True, kw_only=True):
    decision: Decision


#: Type of event -> shape of its data.
EVENTS: Final[dict[str, type[Struct]]] = {
    "message.added": MessageData,
    "message.changed": MessageData,
    "message.status_changed": MessageData,
    **{
        f"conversation.{word}": ConversationData
        for word in (
            "opened",
            "queued",
            "assigned",
            "released",
            "transferred",
            "snoozed",
            "resolved",
            "reopened",
            "seen",
            "updated",
        )
    },
    "customer.changed": CustomerData,
    "customer.merged": MergeData,
    "customer.unmerged": MergeData,
    "agent.changed": AgentData,
    "queue.changed": QueueData,
    "queue.member_added": MemberData,
    "queue.member_removed": MemberData,
    "routing.decided": DecisionData,
    "channel.health_changed": HealthData,
    "file.withheld": WithheldData,
}

_CONTROL: Final = {
    "hello": ("First frame: where the feed begins.", {"pos": {"type": "integer"}}),
    "resync_required": ("Load everything anew; the feed goes on.", {"reason": {"type": "string"}}),
    "typing": (
        "The shopper of a conversation is typing, until a time at most. Not in the stream: without a position, never sent again.",
        {"conversation_id": {"type": "string"}, "until": {"type": "string", "format": "date-time"}},
    ),
    "restart": ("Last frame before close code 1012: come back after so many seconds.", {"retry_after": {"type": "number"}}),
    "ping": ("Every 20 seconds.", {}),
}


def describe(public_url: str) -> dict[str, Any]:
    """The whole document."""
    types = list(dict.fromkeys(EVENTS.values()))
    schemas, components = msgspec.json.schema_components(types, ref_template=_REF)
    data = dict(zip(types, schemas, strict=True))
    messages = {name: _event(name, data[type_]) for name, type_ in EVENTS.items()}
    messages |= {name: _control(name, text, fields) for name, (text, fields) in _CONTROL.items()}
    scheme, _, host = public_url.partition("://")
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Sportello feed",
            "version": product_version(),
            "description": "Every event carries whole snapshots: a client just replaces its copies.",
        },
        "servers": {"gateway": {"host": host, "protocol": "wss" if scheme == "https" else "ws"}},
        "channels": {
            "feed": {
                "address": f"{PREFIX}/feed",
                "description": "`?after=<pos>` continues after a position. Also as Server-Sent Events, with `Accept: text/event-stream`.",
                "messages": {name.replace(".", "_"): {"$ref": f"#/components/messages/{name.replace('.', '_')}"} for name in messages},
            }
        },
        "operations": {"follow": {"action": "receive", "channel": {"$ref": "#/channels/feed"}}},
        "components": {"messages": {name.replace(".", "_"): message for name, message in messages.items()}, "schemas": components},
    }


def _event(name: str, data: dict[str, Any]) -> dict[str, Any]:
    properties = {"type": {"const": name}, "pos": {"type": "integer"}, "at": {"type": "string", "format": "date-time"}, "data": data}
    payload = {"type": "object", "properties": properties, "required": list(properties)}
    return {"name": name, "contentType": "application/json", "payload": payload}


def _control(name: str, text: str, fields: dict[str, Any]) -> dict[str, Any]:
    properties = {"type": {"const": name}, **fields}
    payload = {"type": "object", "properties": properties, "required": list(properties)}
    return {"name": name, "summary": text, "contentType": "application/json", "payload": payload}
