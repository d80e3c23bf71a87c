"""Customers, agents and queues as rows."""

from typing import Final

import msgspec

from connectors.identity import Evidence, Identity
from storage.access import Credential
from storage.codec import Row, decode_candidates, encode, instant, instant_or_none, micros, micros_or_none
from storage.record import Agent, Customer, Decision, KnownIdentity, Presence, Queue, Role

decode_identities: Final = msgspec.json.Decoder(list[Identity]).decode

CUSTOMER: Final = ("id", "name", "created_at", "language")


def customer_row(customer: Customer) -> Row:
    """Its values for the columns ``CUSTOMER``."""
    return (customer.id, customer.name, micros(customer.created_at), customer.language)


def customer_of(row: Row) -> Customer:
    """From the columns ``CUSTOMER``."""
    return Customer(id=row[0], name=row[1], created_at=instant(row[2]), language=row[3])


IDENTITY: Final = ("scheme", "scope", "value", "customer_id", "evidence", "since", "name", "opted_out")


def known_row(known: KnownIdentity) -> Row:
    """Its values for the columns ``IDENTITY``."""
    identity = known.identity
    return (
        identity.scheme,
        identity.scope,
        identity.value,
        known.customer_id,
        known.evidence.value,
        micros(known.since),
        known.name,
        known.opted_out,
    )


def known_of(row: Row) -> KnownIdentity:
    """From the columns ``IDENTITY``."""
    scheme, scope, value, customer_id, evidence, since, name, opted_out = row
    return KnownIdentity(
        identity=Identity(scheme, scope, value),
        customer_id=customer_id,
        evidence=Evidence(evidence),
        since=instant(since),
        name=name,
        opted_out=bool(opted_out),
    )


AGENT: Final = ("id", "name", "email", "role", "created_at", "presence", "capacity", "disabled", "last_assigned_at")


def agent_row(agent: Agent) -> Row:
    """Its values for the columns ``AGENT``."""
    return (
        agent.id,
        agent.name,
        agent.email,
        agent.role.value,
        micros(agent.created_at),
        agent.presence.value,
        agent.capacity,
        agent.disabled,
        micros_or_none(agent.last_assigned_at),
    )


def agent_of(row: Row) -> Agent:
    """From the columns ``AGENT``."""
    return Agent(
        id=row[0],
        name=row[1],
        email=row[2],
        role=Role(row[3]),
        created_at=instant(row[4]),
        presence=Presence(row[5]),
        capacity=row[6],
        disabled=bool(row[7]),
        last_assigned_at=instant_or_none(row[8]),
    )


CREDENTIAL: Final = ("id", "agent_id", "kind", "digest", "created_at", "used_at", "expires_at", "label")


def credential_row(credential: Credential) -> Row:
    """Its values for the columns ``CREDENTIAL``."""
    return (
        credential.id,
        credential.agent_id,
        credential.kind,
        credential.digest,
        micros(credential.created_at),
        micros(credential.used_at),
        micros(credential.expires_at),
        credential.label,
    )


def credential_of(row: Row) -> Credential:
    """From the columns ``CREDENTIAL``."""
    return Credential(
        id=row[0],
        agent_id=row[1],
        kind=row[2],
        digest=row[3],
        created_at=instant(row[4]),
        used_at=instant(row[5]),
        expires_at=instant(row[6]),
        label=row[7],
    )


QUEUE: Final = ("id", "name", "created_at", "is_default")


def queue_row(queue: Queue) -> Row:
    """Its values for the columns ``QUEUE``."""
    return (queue.id, queue.name, micros(queue.created_at), queue.is_default)


def queue_of(row: Row) -> Queue:
    """From the columns ``QUEUE``."""
    return Queue(id=row[0], name=row[1], created_at=instant(row[2]), is_default=bool(row[3]))


DECISION: Final = ("conversation_id", "queue_id", "at", "outcome", "agent_id", "reason", "candidates")


def decision_row(decision: Decision) -> Row:
    """Its values for the columns ``DECISION``."""
    return (
        decision.conversation_id,
        decision.queue_id,
        micros(decision.at),
        decision.outcome,
        decision.agent_id,
        decision.reason,
        encode(decision.candidates),
    )


def decision_of(row: Row) -> Decision:
    """From the columns ``DECISION``."""
    return Decision(
        conversation_id=row[0],
        queue_id=row[1],
        at=instant(row[2]),
        outcome=row[3],
        agent_id=row[4],
        reason=row[5],
        candidates=decode_candidates(row[6]),
    )
