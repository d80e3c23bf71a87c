"""Queues and their members."""

from typing import Annotated

from msgspec import Meta

from gateway.web.errors import not_found
from gateway.web.route import Call, Input, Nothing
from gateway.web.shapes import AgentView, Page, QueueAnswer, QueueView, agent_view, queue_view
from routing.command import PutQueue, SetMember
from storage.protocol import Transaction
from storage.record import Queue

Name = Annotated[str, Meta(min_length=1, max_length=100)]


class NewQueue(Input, frozen=True, kw_only=True):
    name: Name
    is_default: bool | None = None


class QueueChange(Input, frozen=True, kw_only=True):
    name: Name | None = None
    #: Only true: to unset the default, set another.
    is_default: bool | None = None


async def list_queues(call: Call[Nothing, Nothing]) -> Page[QueueView]:
    """All queues by name, with numbers for those whose conversations the caller may see."""
    principal = call.principal

    async def work(tx: Transaction) -> Page[QueueView]:
        counts = await tx.conversations.counts(principal.scope)
        views = [queue_view(queue, counts, principal.scope.queues) for queue in await tx.queues.all()]
        return Page(items=views, as_of_pos=await tx.stream.head())

    return await call.view(work)


async def add_queue(call: Call[NewQueue, Nothing]) -> QueueAnswer:
    """Create a queue."""
    command = PutQueue(id=call.command_id, actor=call.principal.actor, name=call.body.name, is_default=call.body.is_default)
    return await _answer(call, await call.command(command))


async def change_queue(call: Call[QueueChange, Nothing]) -> QueueAnswer:
    """Rename a queue, or make it the default."""
    command = PutQueue(
        id=call.command_id,
        actor=call.principal.actor,
        queue_id=call.path("id"),
        name=call.body.name,
        is_default=call.body.is_default,
    )
    return await _answer(call, await call.command(command))


async def list_members(call: Call[Nothing, Nothing]) -> Page[AgentView]:
    """Who works in a queue."""

    async def work(tx: Transaction) -> Page[AgentView]:
        if await tx.queues.get(call.path("id")) is None:
            raise not_found()
        loads = await tx.queues.members(call.path("id"))
        return Page(items=[agent_view(load.agent, load.open_count) for load in loads], as_of_pos=await tx.stream.head())

    return await call.view(work)


async def add_member(call: Call[Nothing, Nothing]) -> None:
    """Let an agent work in a queue."""
    await _set_member(call, member=True)


async def remove_member(call: Call[Nothing, Nothing]) -> None:
    """Take an agent out of a queue; their feeds stop showing it within a second."""
    await _set_member(call, member=False)


async def _set_member(call: Call[Nothing, Nothing], *, member: bool) -> None:
    await call.command(
        SetMember(id=call.command_id, actor=call.principal.actor, queue_id=call.path("id"), agent_id=call.path("agent_id"), member=member)
    )


async def _answer(call: Call[NewQueue, Nothing] | Call[QueueChange, Nothing], queue: Queue) -> QueueAnswer:
    counts = await call.view(lambda tx: tx.conversations.counts(call.principal.scope))
    return QueueAnswer(queue=queue_view(queue, counts, call.principal.scope.queues))
