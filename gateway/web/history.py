"""Histories, of one conversation and of a whole customer; and writing into one."""

from collections.abc import Awaitable, Callable
from typing import Annotated

from msgspec import Meta

from connectors.content import AnyPart
from connectors.contract import Outbound
from gateway.web.conversations import visible
from gateway.web.customers import visible_customer
from gateway.web.errors import Refusal
from gateway.web.parts import MAX_PARTS, AnyInPart, InText, check_expressible, read_parts
from gateway.web.route import Call, Input, Nothing
from gateway.web.shapes import MessageAnswer, MessagePage
from routing.command import Note, Reply
from storage.protocol import Transaction
from storage.record import Conversation, Message


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
    given = body.parts if body.parts is not None else (InText(text=body.text),) if body.text is not None else ()
    if not given or (body.parts is not None and body.text is not None):
        raise Refusal(422, "empty", "Give either a text or a list of parts.", field="$.text")
    conversation, parts = await call.view(lambda tx: _read(tx, call, given))
    if body.note:
        message = await call.command(Note(id=call.command_id, actor=who.actor, conversation_id=conversation.id, parts=parts))
    else:
        _check(call, conversation, parts)
        message = await call.command(
            Reply(
                id=call.command_id,
                actor=who.actor,
                conversation_id=conversation.id,
                parts=parts,
                reply_to=body.reply_to,
                if_last_pos=body.if_last_pos,
            )
        )
    call.services.hub.whispers.rested(f"{who.agent.id} {conversation.id}")
    return MessageAnswer(message=message)


async def _read(tx: Transaction, call: Call[NewMessage, Nothing], given: tuple[AnyInPart, ...]) -> tuple[Conversation, tuple[AnyPart, ...]]:
    conversation = await visible(tx, call.path("id"), call.principal.scope)
    quoted = await tx.messages.get(call.body.reply_to) if call.body.reply_to else None
    if call.body.reply_to and (quoted is None or quoted.conversation_id != conversation.id):
        raise Refusal(422, "unknown_message", "The quoted message is not in this conversation.", field="$.reply_to")
    return conversation, await read_parts(tx, given, call.principal, conversation.id)


def _check(call: Call[NewMessage, Nothing], conversation: Conversation, parts: tuple[AnyPart, ...]) -> None:
    channel = call.services.channels.get(conversation.channel)
    if channel is None or not channel.enabled:
        raise Refusal(409, "channel_off", f"The channel {conversation.channel} is switched off; nothing can be sent by it.")
    check_expressible(channel, Outbound(id=call.command_id, to=conversation.thread, parts=parts))


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
