"""Customers: who they are, and which of them are one person."""

from typing import Annotated

from msgspec import Meta

from gateway.web.errors import not_found
from gateway.web.route import Call, Input, Nothing
from gateway.web.shapes import CustomerAnswer, CustomerDetail
from gateway.web.windows import shown
from routing.command import MergeCustomers, UnmergeCustomers
from storage.access import Scope
from storage.protocol import Transaction
from storage.record import Customer


class FromCustomer(Input, frozen=True, kw_only=True):
    from_id: Annotated[str, Meta(min_length=1, max_length=128)]


async def get_customer(call: Call[Nothing, Nothing]) -> CustomerDetail:
    """A customer with their addresses, and those of their conversations that the caller may see."""
    scope = call.principal.scope

    async def work(tx: Transaction) -> CustomerDetail:
        customer = await visible_customer(tx, call.path("id"), scope)
        conversations = await tx.conversations.of_customer(customer.id, scope)
        return CustomerDetail(
            customer=customer,
            identities=await tx.customers.identities(customer.id),
            conversations=[shown(call.services, conversation, customer.name) for conversation in conversations],
            as_of_pos=await tx.stream.head(),
        )

    return await call.view(work)


async def merge(call: Call[FromCustomer, Nothing]) -> CustomerAnswer:
    """Two customers are one person: the other's addresses and history come here."""
    into_id, from_id, scope = call.path("id"), call.body.from_id, call.principal.scope

    async def check(tx: Transaction) -> None:
        await visible_customer(tx, into_id, scope)
        await visible_customer(tx, from_id, scope)

    await call.view(check)
    customer = await call.command(MergeCustomers(id=call.command_id, actor=call.principal.actor, from_id=from_id, into_id=into_id))
    return CustomerAnswer(customer=customer)


async def unmerge(call: Call[FromCustomer, Nothing]) -> CustomerAnswer:
    """Undo a merge: what came with it goes back."""
    into_id, from_id, scope = call.path("id"), call.body.from_id, call.principal.scope
    await call.view(lambda tx: visible_customer(tx, into_id, scope))
    customer = await call.command(UnmergeCustomers(id=call.command_id, actor=call.principal.actor, from_id=from_id, into_id=into_id))
    return CustomerAnswer(customer=customer)


async def visible_customer(tx: Transaction, customer_id: str, scope: Scope) -> Customer:
    """The customer, if at least one of their conversations is the caller's to see. Raises Refusal 404."""
    customer = await tx.customers.get(customer_id)
    if customer is None or not (scope.everything or await tx.conversations.of_customer(customer_id, scope)):
        raise not_found()
    return customer
