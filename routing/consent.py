"""What follows when somebody does not want our messages, or wants them again. Pure."""

from datetime import datetime, timedelta
from typing import Final

from msgspec import structs

from connectors.event import MessageReceived
from routing.effect import Effect, IdentityChanged, PutIdentity
from routing.line import activity
from storage.record import Conversation, KnownIdentity, State

#: What was written longer ago than this may have been written before they opted out, and was only delivered after it.
FRESH: Final = timedelta(minutes=5)


def consent_by_writing(event: MessageReceived, received: datetime) -> bool:
    """Does this message show that somebody who had opted out wants to hear from us again?

    Who writes in private, just now and by hand does. A keyword that opts out is followed by its own ConsentChanged, which has the
    last word; what everybody can read, what a machine answered and what comes late show nothing.
    """
    return not event.public and not event.automatic and (event.at is None or received - event.at <= FRESH)


def opt_out(addresses: list[KnownIdentity], conversation: Conversation | None, at: datetime, seed: str) -> list[Effect]:
    """None of these wants our messages from now on; who had said so already is not told of again. One line says so."""
    effects: list[Effect] = []
    for known in addresses:
        if not known.opted_out:
            effects += consent(known, None if effects else conversation, at, seed, opted_in=False)
    return effects


def consent(known: KnownIdentity, conversation: Conversation | None, at: datetime, seed: str, *, opted_in: bool) -> list[Effect]:
    """Remember it, tell everybody, and leave a line where somebody is talking with them."""
    changed = structs.replace(known, opted_out=not opted_in)
    effects: list[Effect] = [PutIdentity(known=changed), IdentityChanged(identity=known.identity)]
    if conversation is not None and conversation.state is not State.RESOLVED:
        effects.append(activity(conversation, at, seed, "opted_in" if opted_in else "opted_out"))
    return effects
