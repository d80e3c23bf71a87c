"""Conversations: lists, and what agents do with them."""

from datetime import timedelta
from typing import Annotated, Any

from msgspec import Meta

from connectors.event import Instant
from gateway.services import Services
from gateway.web.errors import Refusal, not_found
from gateway.web.route import Call, Input, Nothing
from gateway.web.shapes import ConversationAnswer, ConversationDetail, ConversationView, DecisionList, Page
from gateway.web.windows import shown
from gateway.whisper import TTL, Whisper
from routing.command import Accept, Assign, Command, MarkSeen, Reopen, Resolve, Snooze, Transfer
from storage.access import Scope
from storage.protocol import Transaction
from storage.record import Conversation, State

_DECISIONS = 50
_LONGEST_SNOOZE = timedelta(days=366)


class ListQuery(Input, frozen=True, kw_only=True):
    """Empty filters mean all."""

    #: States, separated by commas.
    state: str = ""
    #: Queue id.
    queue: Annotated[str, Meta(max_length=128)] = ""
    #: ``me``, ``none`` or an agent id.
    assignee: Annotated[str, Meta(max_length=128)] = ""
    after: str = ""
    limit: Annotated[int, Meta(ge=1, le=200)] = 50


class AssignTo(Input, frozen=True, kw_only=True):
    #: Null hands it back to its queue.
    agent_id: Annotated[str, Meta(max_length=128)] | None


class TransferTo(Input, frozen=True, kw_only=True):
    queue_id: Annotated[str, Meta(min_length=1, max_length=128)]


class SnoozeUntil(Input, frozen=True, kw_only=True):
    until: Instant


class ReadUpTo(Input, frozen=True, kw_only=True):
    pos: Annotated[int, Meta(ge=0)]


async def list_conversations(call: Call[Nothing, ListQuery]) -> Page[ConversationView]:
    """Newest activity first."""
    query, principal = call.query, call.principal
    states = read_states(query.state)
    assignee = {"me": principal.agent.id}.get(query.assignee, query.assignee)
    audience = f"conversations {principal.agent.id} {query.state} {query.queue} {query.assignee}"
    before = call.state.cursors.open(query.after, audience)

    async def work(tx: Transaction) -> tuple[list[ConversationView], int]:
        found = await tx.conversations.page(
            principal.scope, states=states, queue_id=query.queue, assignee_id=assignee, before=before, limit=query.limit + 1
        )
        return [await with_name(call.services, tx, conversation) for conversation in found], await tx.stream.head()

    items, head = await call.view(work)
    more = len(items) > query.limit
    items = items[: query.limit]
    cursor = call.state.cursors.seal(items[-1].last_pos, audience) if more else None
    return Page(items=items, next=cursor, as_of_pos=head)


async def get_conversation(call: Call[Nothing, Nothing]) -> ConversationDetail:
    """One conversation with its customer."""

    async def work(tx: Transaction) -> ConversationDetail:
        conversation = await visible(tx, call.path("id"), call.principal.scope)
        customer = await tx.customers.get(conversation.customer_id)
        return ConversationDetail(
            conversation=shown(call.services, conversation, customer.name if customer else ""),
            customer=customer,
            as_of_pos=await tx.stream.head(),
        )

    return await call.view(work)


async def list_decisions(call: Call[Nothing, Nothing]) -> DecisionList:
    """Why the router gave it to whom: candidates and reasons."""

    async def work(tx: Transaction) -> DecisionList:
        conversation = await visible(tx, call.path("id"), call.principal.scope)
        return DecisionList(items=await tx.queues.decisions(conversation.id, _DECISIONS))

    return await call.view(work)


async def accept(call: Call[Nothing, Nothing]) -> ConversationAnswer:
    """Take a waiting conversation."""
    return await _do(call, Accept(**_common(call)))


async def assign(call: Call[AssignTo, Nothing]) -> ConversationAnswer:
    """Give it to a colleague, or back to its queue."""
    return await _do(call, Assign(**_common(call), agent_id=call.body.agent_id or ""))


async def transfer(call: Call[TransferTo, Nothing]) -> ConversationAnswer:
    """Move it to another queue."""
    return await _do(call, Transfer(**_common(call), queue_id=call.body.queue_id))


async def snooze(call: Call[SnoozeUntil, Nothing]) -> ConversationAnswer:
    """Set it aside until a time."""
    if not call.now < call.body.until < call.now + _LONGEST_SNOOZE:
        raise Refusal(422, "bad_time", "The time must lie in the future, at most a year ahead.", field="$.until")
    return await _do(call, Snooze(**_common(call), until=call.body.until))


async def resolve(call: Call[Nothing, Nothing]) -> ConversationAnswer:
    """Done."""
    return await _do(call, Resolve(**_common(call)))


async def reopen(call: Call[Nothing, Nothing]) -> ConversationAnswer:
    """Not done after all."""
    return await _do(call, Reopen(**_common(call)))


async def mark_read(call: Call[ReadUpTo, Nothing]) -> ConversationAnswer:
    """An agent has seen everything up to a position."""
    answer = await _do(call, MarkSeen(**_common(call), pos=call.body.pos))
    call.state.background.start(call.state.courtesies.seen(answer.conversation, call.body.pos))
    return answer


async def typing(call: Call[Nothing, Nothing]) -> None:
    """Tell the shopper that the caller is typing, where the channel can show it. Kept nowhere; our own web chat shows it for six seconds.

    Repeat it every three seconds or so while it lasts; more often is passed over. The next message ends it.
    """
    agent, now, whispers = call.principal.agent, call.now, call.services.hub.whispers
    conversation = await call.view(lambda tx: visible(tx, call.path("id"), call.principal.scope))
    if whispers.may(f"{agent.id} {conversation.id}", now):
        identity = str(conversation.identity)
        whispers.say(Whisper(conversation_id=conversation.id, until=now + TTL, identity=identity, author=agent.name))
        call.state.background.start(call.state.courtesies.typing(conversation))


async def visible(tx: Transaction, conversation_id: str, scope: Scope) -> Conversation:
    """The conversation, if it is the caller's to see. Raises Refusal 404."""
    conversation = await tx.conversations.get(conversation_id, scope)
    if conversation is None:
        raise not_found()
    return conversation


async def with_name(services: Services, tx: Transaction, conversation: Conversation) -> ConversationView:
    """Add the customer's name."""
    customer = await tx.customers.get(conversation.customer_id)
    return shown(services, conversation, customer.name if customer else "")


def read_states(text: str) -> list[State]:
    """``queued,open`` as states. Raises Refusal 400."""
    try:
        return [State(word) for word in text.split(",") if word]
    except ValueError:
        raise Refusal(400, "bad_query", f"state: one or more of {', '.join(State)}, separated by commas", field="state") from None


def _common(call: Call[Any, Any]) -> dict[str, Any]:
    return {"id": call.command_id, "actor": call.principal.actor, "conversation_id": call.path("id")}


async def _do(call: Call[Any, Any], command: Command) -> ConversationAnswer:
    conversation: Conversation = await call.command(command)
    return ConversationAnswer(conversation=await call.view(lambda tx: with_name(call.services, tx, conversation)))
