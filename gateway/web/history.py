"""Histories, of one conversation and of a whole customer; and writing into one."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Literal, NamedTuple

from msgspec import Meta

from connectors.compose import Note as ComposeNote
from connectors.content import AnyPart
from connectors.contract import Outbound
from gateway.web.conversations import visible
from gateway.web.customers import visible_customer
from gateway.web.errors import Refusal
from gateway.web.parts import MAX_PARTS, AnyInPart, Expressed, InText, express, read_parts
from gateway.web.route import Call, Input, Nothing
from gateway.web.shapes import MessageAnswer, MessagePage, Shape, WindowView
from gateway.web.templates import checked
from gateway.web.windows import window_view
from routing.command import Note, Reply
from storage.protocol import Transaction
from storage.record import Conversation, Message, Priority


class HistoryQuery(Input, frozen=True, kw_only=True):
    """Without ``before`` and ``after``: the newest."""

    before: Annotated[int, Meta(ge=0)] = 0
    after: Annotated[int, Meta(ge=0)] = 0
    limit: Annotated[int, Meta(ge=1, le=200)] = 50


class NewMessage(Input, frozen=True, kw_only=True):
    """Either ``text`` or ``parts``."""

    text: str | None = None
    parts: Annotated[tuple[AnyInPart, ...], Meta(min_length=1, max_length=MAX_PARTS)] | None = None
    #: Private, among agents.
    note: bool = False
    #: Our id of the quoted message.
    reply_to: Annotated[str, Meta(max_length=128)] = ""
    #: Refuse with 409 ``stale`` if the shopper has written something newer than this position.
    if_last_pos: Annotated[int, Meta(ge=0)] | None = None
    #: Where everybody can read it: below the public message that ``reply_to`` names.
    public: bool = False
    #: ``bulk``: everything else goes first.
    priority: Literal["bulk"] | None = None


class Plan(Shape, frozen=True, kw_only=True):
    """What the shopper would get."""

    #: One entry for each message at the provider.
    messages: list[tuple[AnyPart, ...]]
    #: What will look different from what was written.
    notes: tuple[ComposeNote, ...]
    #: What the provider will count: segments of an SMS, else messages.
    segments: int
    #: The reply window that it falls into; null on channels without.
    window: WindowView | None


class Draft(NamedTuple):
    """A reply that could be sent."""

    command: Reply
    expressed: Expressed
    conversation: Conversation


async def list_messages(call: Call[Nothing, HistoryQuery]) -> MessagePage:
    """The lines of one conversation, oldest first."""

    async def page(tx: Transaction, after: int, before: int, limit: int) -> list[Message]:
        conversation = await visible(tx, call.path("id"), call.principal.scope)
        return await tx.messages.of_conversation(conversation.id, after, before, limit)

    return await _history(call, page)


async def list_customer_history(call: Call[Nothing, HistoryQuery]) -> MessagePage:
    """The lines of one customer over all channels, oldest first: those in conversations that the caller may see."""

    async def page(tx: Transaction, after: int, before: int, limit: int) -> list[Message]:
        customer = await visible_customer(tx, call.path("id"), call.principal.scope)
        return await tx.messages.of_customer(customer.id, call.principal.scope, after, before, limit)

    return await _history(call, page)


async def write_message(call: Call[NewMessage, Nothing]) -> MessageAnswer:
    """Answer the shopper, or write a note."""
    body, who = call.body, call.principal
    conversation, parts = await call.view(lambda tx: _read(tx, call, _given(body)))
    if body.note:
        message = await call.command(Note(id=call.command_id, actor=who.actor, conversation_id=conversation.id, parts=parts))
        notes: tuple[ComposeNote, ...] = ()
    else:
        draft = await _draft(call, conversation, parts)
        message = await call.command(draft.command)
        notes = draft.expressed.composition.notes
    call.services.hub.whispers.rested(f"{who.agent.id} {conversation.id}")
    return MessageAnswer(message=message, notes=notes)


async def plan_message(call: Call[NewMessage, Nothing]) -> Plan:
    """What the shopper would get of the same body as a reply: its messages and what is lost on the way. Refused as the reply would be."""
    if call.body.note:
        raise Refusal(422, "note", "A note is not sent to anybody.", field="$.note")
    conversation, parts = await call.view(lambda tx: _read(tx, call, _given(call.body)))
    draft = await _draft(call, conversation, parts)
    await call.services.router.rehearse(draft.command)
    composition, calls = draft.expressed
    return Plan(
        messages=list(composition.messages),
        notes=composition.notes,
        segments=sum(one.segments for one in calls),
        window=window_view(call.services, conversation),
    )


def _given(body: NewMessage) -> tuple[AnyInPart, ...]:
    given = body.parts if body.parts is not None else (InText(text=body.text),) if body.text is not None else ()
    if not given or (body.parts is not None and body.text is not None):
        raise Refusal(422, "empty", "Give either a text or a list of parts.", field="$.text")
    return given


async def _read(tx: Transaction, call: Call[NewMessage, Nothing], given: tuple[AnyInPart, ...]) -> tuple[Conversation, tuple[AnyPart, ...]]:
    conversation = await visible(tx, call.path("id"), call.principal.scope)
    quoted = await tx.messages.get(call.body.reply_to) if call.body.reply_to else None
    if call.body.reply_to and (quoted is None or quoted.conversation_id != conversation.id):
        raise Refusal(422, "unknown_message", "The quoted message is not in this conversation.", field="$.reply_to")
    return conversation, await read_parts(tx, given, call.principal, conversation.id)


async def _draft(call: Call[NewMessage, Nothing], conversation: Conversation, parts: tuple[AnyPart, ...]) -> Draft:
    """The command, if the channel can send it. Raises Refusal 409, 422 before anything is accepted."""
    channel = call.services.channels.get(conversation.channel)
    if channel is None or not channel.enabled:
        raise Refusal(409, "channel_off", f"The channel {conversation.channel} is switched off; nothing can be sent by it.")
    body = call.body
    parts = await checked(call.state.templates, channel, parts)
    window = window_view(call.services, conversation)
    quoted = await call.view(lambda tx: tx.messages.provider_ids(channel.id, body.reply_to)) if body.reply_to else []
    outbound = Outbound(
        id=call.command_id,
        to=conversation.thread,
        parts=parts,
        # As the outbox will say it: a public answer without its comment is none.
        reply_to=quoted[0] if quoted else "",
        at=call.now,
        author=call.principal.agent.name,
        public=body.public,
        window=window.name if window else "",
        callback=f"{call.services.config.public_url}/webhooks/{channel.id}",
    )
    expressed = express(channel, outbound)
    command = Reply(
        id=call.command_id,
        actor=call.principal.actor,
        conversation_id=conversation.id,
        parts=parts,
        reply_to=body.reply_to,
        if_last_pos=body.if_last_pos,
        public=body.public,
        priority=Priority.BULK if body.priority == "bulk" else None,
        pieces=len(expressed.calls),
    )
    return Draft(command, expressed, conversation)


async def _history(
    call: Call[Nothing, HistoryQuery], page: Callable[[Transaction, int, int, int], Awaitable[list[Message]]]
) -> MessagePage:
    query = call.query
    if query.before and query.after:
        raise Refusal(400, "bad_query", "Give before or after, not both.", field="before")

    async def work(tx: Transaction) -> MessagePage:
        found = await page(tx, query.after, query.before, query.limit + 1)
        more = len(found) > query.limit
        items = found[: query.limit] if query.after else found[-query.limit :]
        return MessagePage(items=items, as_of_pos=await tx.stream.head(), more=more)

    return await call.view(work)
