"""Whose address is this? Pure.

An identity that we know decides. Else another address in the same payload does, if both the payload and what we know of
it are more than a claim. Else it is a new customer. What a person merely claims never opens somebody's history.
"""

from collections.abc import Mapping
from datetime import datetime

from msgspec import Struct, structs

from connectors.event import Sender
from connectors.identity import Evidence, Identity
from routing.effect import Effect, MoveIdentities, PutCustomer, PutIdentity
from storage.ids import derive_id
from storage.record import Customer, KnownIdentity


class Identified(Struct, frozen=True, kw_only=True):
    """The customer, and what has to be written down about them."""

    customer: Customer
    known: KnownIdentity
    effects: list[Effect]


def identify(
    sender: Sender, at: datetime, known: KnownIdentity | None, customer: Customer | None, aliases: Mapping[Identity, KnownIdentity]
) -> Identified:
    """Find or make the customer behind ``sender``. ``customer`` is the owner of ``known``; ``aliases`` those in the payload we know."""
    effects: list[Effect] = []
    if known is None or known.evidence is Evidence.CLAIMED or customer is None:
        customer_id = _owner_by_alias(sender, aliases)
        if not customer_id:
            customer_id = derive_id("cus", at, str(sender.identity))
            customer = Customer(id=customer_id, name=sender.name, created_at=at, language=sender.language)
            effects.append(PutCustomer(customer=customer, new=True))
        elif customer is None or customer.id != customer_id:
            customer = Customer(id=customer_id, name="", created_at=at)
        known = KnownIdentity(
            identity=sender.identity,
            customer_id=customer_id,
            evidence=sender.evidence,
            since=at,
            name=sender.name,
            opted_out=known.opted_out if known else False,
        )
        effects.append(PutIdentity(known=known))
    else:
        effects += _refresh(sender, known, customer)
        known = structs.replace(known, name=sender.name or known.name)
    effects += _aliases(sender, at, customer, aliases)
    return Identified(customer=customer, known=known, effects=effects)


def _owner_by_alias(sender: Sender, aliases: Mapping[Identity, KnownIdentity]) -> str:
    for identity, evidence in sender.aliases:
        owner = aliases.get(identity)
        if owner is not None and _proved(evidence) and _proved(owner.evidence):
            return owner.customer_id
    return ""


def _refresh(sender: Sender, known: KnownIdentity, customer: Customer) -> list[Effect]:
    """Newer names and languages; an empty one never erases a known one."""
    effects: list[Effect] = []
    if sender.name and sender.name != known.name:
        effects.append(PutIdentity(known=structs.replace(known, name=sender.name)))
    fresher = structs.replace(
        customer,
        name=sender.name if sender.name and customer.name in {"", known.name} else customer.name,
        language=customer.language or sender.language,
    )
    if fresher != customer:
        effects.append(PutCustomer(customer=fresher))
    return effects


def _aliases(sender: Sender, at: datetime, customer: Customer, aliases: Mapping[Identity, KnownIdentity]) -> list[Effect]:
    effects: list[Effect] = []
    for identity, evidence in sender.aliases:
        owner = aliases.get(identity)
        if owner is None or (_proved(evidence) and not _proved(owner.evidence)):
            effects.append(PutIdentity(known=KnownIdentity(identity=identity, customer_id=customer.id, evidence=evidence, since=at)))
        elif owner.customer_id != customer.id and _proved(evidence) and _proved(owner.evidence):
            effects.append(MoveIdentities(from_id=owner.customer_id, into_id=customer.id, at=at))
    return effects


def _proved(evidence: Evidence) -> bool:
    return evidence is not Evidence.CLAIMED
