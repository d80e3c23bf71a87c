"""A mail that answers one of a known conversation, from whoever takes part in it. Pure.

Who may join: the conversation's own person; somebody whom one of its mails was addressed to, or who wrote in it; and anybody
who answers to an address that carries our signature for it. Message ids alone prove nothing: they are no secrets.
"""

from msgspec import Struct

from connectors.content import Envelope
from connectors.event import MessageReceived
from connectors.identity import Evidence
from routing.continued import answers_typed
from routing.identity import Identified
from routing.rules import Rules
from routing.snapshot import Arrival, Thread
from storage.record import Conversation, Message, MessageKind, State


class Joined(Struct, frozen=True, kw_only=True):
    """What a message has to do with a thread."""

    conversation: Conversation
    #: Not the conversation's own person.
    guest: bool
    #: A guest of whom nobody had heard in it.
    newcomer: bool
    #: May answers go where this message says?
    trusted: bool


def joined(arrival: Arrival, event: MessageReceived, who: Identified, thread: Thread | None, rules: Rules) -> Joined | None:
    """The conversation that a message belongs to by what it refers to; None: the usual rule decides."""
    if thread is None:
        return None
    conversation = thread.conversation
    if conversation.state is State.RESOLVED and arrival.at - conversation.updated_at > rules.reopen_within:
        return None
    # Who proves the address that they had typed in the chat is the conversation's own person, once that is settled.
    theirs = answers_typed(event, thread)
    own = conversation.identity == event.sender.identity or (theirs and who.customer.id == conversation.customer_id)
    part = own or event.sender.identity.value.casefold() in people(thread.messages) or _wrote(who, thread.messages)
    if not part and not event.proved and not theirs:
        return None
    trusted = own or event.proved or event.sender.evidence is not Evidence.CLAIMED
    return Joined(conversation=conversation, guest=not own, newcomer=not part, trusted=trusted)


def people(messages: tuple[Message, ...]) -> frozenset[str]:
    """Addresses that mails of a conversation were sent to."""
    envelopes = [part for message in messages for part in message.parts if isinstance(part, Envelope)]
    return frozenset(address.casefold() for envelope in envelopes for address in (*envelope.to, *envelope.cc))


def _wrote(who: Identified, messages: tuple[Message, ...]) -> bool:
    return any(message.kind is MessageKind.INBOUND and message.author.id == who.customer.id for message in messages)


def name_of(event: MessageReceived) -> str:
    """A guest, as a mail shows its sender."""
    address = event.sender.identity.value
    return f"{event.sender.name} <{address}>" if event.sender.name else address
