"""When the visitor of a chat has gone, the conversation goes on by mail. Pure.

What an agent has answered and nobody was there to see goes, once, to the address that the visitor gave. The mail belongs to a
conversation of the same customer's on the e-mail channel; it asks for no work until the shopper answers it.

Two kinds of addresses. One that the customer has proved also gets what they had asked themselves. One that was only typed may be
somebody else's: it gets what the agent wrote, nothing that the visitor could have chosen, and a way to say "this was not me".
Whoever answers from the typed address has proved it: it joins the visitor's customer, as a merge that can be undone, unless it has a
proved owner already; then nothing is joined, and the agent sees both.
"""

import math
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import quote

from msgspec import Struct, structs

from connectors.content import Activity, Envelope, Text
from connectors.event import MessageReceived, Status
from connectors.identity import Evidence, Identity, mail_of_visitor, proves
from routing.announce import partition
from routing.command import MailUnseen
from routing.consent import consent
from routing.delivery import RANK
from routing.effect import AddMessage, Count, Effect, MoveIdentities, OpenConversation
from routing.identity import Identified
from routing.letter import Letter, Written, compose_letter
from routing.line import activity, preview
from routing.rules import Rules
from routing.snapshot import Thread
from storage.ids import derive_id
from storage.record import (
    AT_ONCE,
    Author,
    AuthorKind,
    Conversation,
    KnownIdentity,
    Message,
    MessageKind,
    OutboxItem,
    Priority,
    State,
)

#: Of one chat at most one mail in so long.
PAUSE: Final = timedelta(minutes=15)
#: The code of the chat's line that says so: whatever stands above it went with that mail, or was seen before.
MAILED: Final = "mailed"
#: The code of the one that says that it did not go, because the mailbox had too many.
UNMAILED: Final = "unmailed"
_REFUSAL: Final = "stop"
#: To a mailbox that nobody has proved to be theirs go at most so many letters a day, over all visitors: else whoever opens chat after chat
#: could fill a stranger's. Counted in whole hours, so that no 24 of them have more.
LETTERS: Final = 5
LETTER_HOURS: Final = 25


class Address(Struct, frozen=True, kw_only=True):
    """Where a chat could go on."""

    #: The conversation's identity on the e-mail channel.
    identity: Identity
    proved: bool
    #: Somebody does not want mail there.
    opted_out: bool
    #: Its newest conversation on the e-mail channel, and the newest of our mails in it.
    conversation: Conversation | None = None
    last: Message | None = None
    #: Letters that went to this mailbox within a day, whichever visitors had typed it.
    letters: int = 0

    @property
    def crowded(self) -> bool:
        """Has whoever reads there, of whom we know nothing, had enough of them?"""
        return not self.proved and self.letters >= LETTERS


class Absence(Struct, frozen=True, kw_only=True):
    """A chat, its newest lines, and the address that its visitor gave."""

    chat: Conversation
    lines: tuple[Message, ...]
    address: Address | None
    #: The visitor's, as a BCP 47 tag; empty if unknown.
    language: str = ""


def choose_address(visitor: Identity, known: list[KnownIdentity]) -> tuple[Identity, bool] | None:
    """Of a customer's identities the one to write to, and whether it is proved: the newest proved one, else the last that was typed here.

    A typed one that was proved since keeps its conversation.
    """
    newest = sorted(known, key=lambda one: one.since, reverse=True)
    typed = [one.identity for one in newest if one.identity == mail_of_visitor(visitor, one.identity.value)]
    for one in newest:
        if (one.identity.scheme, one.identity.scope) == ("mailto", "") and one.evidence is not Evidence.CLAIMED:
            return next((old for old in typed if proves(one.identity, old)), one.identity), True
    return (typed[0], False) if typed else None


# --- what goes out -----------------------------------------------------------------------------------------------------


def decide(command: MailUnseen, absence: Absence, rules: Rules, now: datetime) -> tuple[list[Effect], int]:
    """The mail, if it is time for one; and in how many seconds to ask again (0: there is nothing to wait for)."""
    told = next((line for line in reversed(absence.lines) if says(line, MAILED)), None)
    unseen = _unseen(absence, told, now - rules.reply_life)
    address = absence.address
    if address is None or not any(not line.automatic for line in unseen) or not willing(address):
        return [], 0
    due = unseen[0].received_at + command.after
    if told is not None:
        due = max(due, told.received_at + PAUSE)
    if due > now:
        return [], math.ceil((due - now).total_seconds())
    if address.crowded:
        return _unmailed(absence, address, now), 0
    return _mail(command, absence, address, unseen, rules, now), 0


def _unmailed(absence: Absence, address: Address, now: datetime) -> list[Effect]:
    """Agents learn of it once a day."""
    if any(says(line, UNMAILED) and now - line.received_at < timedelta(days=1) for line in absence.lines):
        return []
    return [activity(absence.chat, now, UNMAILED, UNMAILED, subject=address.identity.value)]


def mailbox_name(address: str) -> str:
    """What letters to a mailbox are counted under: what stands behind a ``+``, and dots, are the same mailbox at the largest providers."""
    local, _, domain = address.casefold().rpartition("@")
    return f"letter:{local.partition('+')[0].replace('.', '')}@{domain}"


def says(line: Message, code: str) -> bool:
    """Is it the system's line with this code?"""
    return line.kind is MessageKind.ACTIVITY and any(isinstance(part, Activity) and part.code == code for part in line.parts)


def _unseen(absence: Absence, told: Message | None, oldest: datetime) -> list[Message]:
    """Answers that no window of the visitor's has shown; whoever writes has seen what stood there."""
    written = max((line.pos for line in absence.lines if line.kind is MessageKind.INBOUND), default=0)
    since = max(written, absence.chat.customer_seen_pos, told.pos if told else 0)
    return [
        line
        for line in absence.lines
        if line.kind is MessageKind.OUTBOUND
        and line.pos > since
        and line.status is not None
        and RANK[line.status] <= RANK[Status.SENT]
        and not line.deleted
        and line.received_at > oldest
    ]


def willing(address: Address) -> bool:
    """An address that a mail of ours did not reach gets no more of them."""
    return not address.opted_out and (address.last is None or address.last.status is not Status.FAILED)


def _mail(command: MailUnseen, absence: Absence, address: Address, unseen: list[Message], rules: Rules, now: datetime) -> list[Effect]:
    letter = compose_letter(
        Letter(
            title=command.title,
            proved=address.proved,
            lines=absence.lines,
            unseen=tuple(unseen),
            origins=command.origins,
            language=absence.language,
        )
    )
    return posted(
        Post(by=command.by, letter=letter, cause=unseen[0], code=MAILED, author=unseen[-1].author.name), absence, address, rules, now
    )


class Post(Struct, frozen=True, kw_only=True):
    """A letter on its way out."""

    #: The e-mail channel.
    by: str
    letter: Written
    #: The chat's line because of which it goes: two gateways that thought it their turn would write the same row, which the database
    #: refuses.
    cause: Message
    #: Of the line that says so in the chat.
    code: str
    author: str = ""


def posted(post: Post, absence: Absence, address: Address, rules: Rules, now: datetime) -> list[Effect]:
    """The letter as an automatic message of a conversation at the address, and a line about it in the chat."""
    chat, parts = absence.chat, (Envelope(subject=post.letter.subject), Text(text=post.letter.text))
    begun = address.conversation or _begin(post.by, chat, address, now)
    message = Message(
        id=derive_id("msg", post.cause.received_at, post.by, chat.id, post.cause.id, post.code),
        pos=0,
        conversation_id=begun.id,
        customer_id=begun.customer_id,
        kind=MessageKind.OUTBOUND,
        author=Author(kind=AuthorKind.SYSTEM),
        parts=parts,
        at=now,
        received_at=now,
        channel=post.by,
        status=Status.QUEUED,
        automatic=True,
    )
    item = _item(message, begun, post.author, now + rules.reply_life)
    line = AddMessage(message=message, conversation=structs.replace(begun, preview=preview(parts), updated_at=now), outbox=item)
    opening: list[Effect] = [] if address.conversation else [OpenConversation(conversation=begun)]
    counted: list[Effect] = [] if address.proved else [Count(name=mailbox_name(address.identity.value), at=now)]
    return [*opening, line, *counted, activity(chat, now, post.cause.id, post.code, subject=address.identity.value)]


def _begin(by: str, chat: Conversation, address: Address, now: datetime) -> Conversation:
    return Conversation(
        id=derive_id("cnv", now, by, chat.id, str(address.identity)),
        number=0,
        channel=by,
        identity=address.identity,
        customer_id=chat.customer_id,
        thread=_thread(address.identity),
        state=State.RESOLVED,
        queue_id=chat.queue_id,
        created_at=now,
        updated_at=now,
    )


def _item(message: Message, conversation: Conversation, author: str, expires_at: datetime) -> OutboxItem:
    return OutboxItem(
        message_id=message.id,
        conversation_id=conversation.id,
        channel=conversation.channel,
        # A letter of its own, whatever an older conversation at this address was about.
        thread=_thread(conversation.identity),
        reply_to="",
        parts=message.parts,
        status=Status.QUEUED,
        attempts=0,
        unknowns=0,
        part_from=0,
        next_at=AT_ONCE,
        expires_at=expires_at,
        accepted_at=message.received_at,
        partition=partition(conversation.channel, conversation.identity),
        # A person's words, and a shopper who waits for them.
        priority=Priority.AGENT,
        automatic=True,
        author=author,
    )


def _thread(identity: Identity) -> str:
    """As a URL, so that nothing in a typed address can mean more than an address."""
    return f"mailto:{quote(identity.value, safe='@+')}"


# --- what comes back ---------------------------------------------------------------------------------------------------


def answers_typed(event: MessageReceived, thread: Thread | None) -> bool:
    """Does this mail, of a proved sender, refer to a conversation that we began at that address because a visitor had typed it?"""
    if thread is None or event.sender.evidence is Evidence.CLAIMED:
        return False
    return proves(event.sender.identity, thread.conversation.identity)


def refuses(event: MessageReceived, thread: Thread | None) -> bool:
    """Does somebody answer that it was not them, or that they want no such mails?"""
    if event.automatic or not answers_typed(event, thread):
        return False
    text = next((part for part in event.parts if isinstance(part, Text)), Text(text=""))
    own = text.text[: text.fold] if text.fold else text.text
    said = next((line for line in own.splitlines() if line.strip()), "")
    return said.strip(" \t\"'.!").casefold() == _REFUSAL


def joining(event: MessageReceived, who: Identified, known: KnownIdentity | None, thread: Thread | None, at: datetime) -> Identified:
    """The shopper, if they have just proved the address that a visitor had typed: from now on both are one customer.

    ``known`` is what was known of the sender before. What a machine answers is no word of the address's owner: it is kept where it
    belongs, and joins nobody.
    """
    if thread is None or thread.customer is None or thread.typed is None or not answers_typed(event, thread):
        return who
    if _owned(known) or refuses(event, thread):
        return who
    if event.automatic:
        return Identified(customer=thread.customer, known=thread.typed, effects=[])
    merge = MoveIdentities(from_id=who.customer.id, into_id=thread.customer.id, at=at)
    return Identified(
        customer=thread.customer,
        known=structs.replace(who.known, customer_id=thread.customer.id),
        effects=[*who.effects, merge],
    )


def refusal(event: MessageReceived, who: Identified, known: KnownIdentity | None, thread: Thread, at: datetime) -> list[Effect]:
    """No more mails to this address for that visitor; nor for the next one who types it, unless it is a customer's who writes to us."""
    refused = ([] if thread.typed is None else [thread.typed]) + ([] if _owned(known) else [who.known])
    return [one for address in refused for one in consent(address, None, at, event.key, opted_in=False)]


def _owned(known: KnownIdentity | None) -> bool:
    return known is not None and known.evidence is not Evidence.CLAIMED
