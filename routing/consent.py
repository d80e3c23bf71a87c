"""What follows when somebody does not want our messages, or wants them again. Pure."""

from datetime import datetime

from msgspec import structs

from routing.effect import Effect, IdentityChanged, PutIdentity
from routing.line import activity
from storage.record import Conversation, KnownIdentity, State


def consent(known: KnownIdentity, conversation: Conversation | None, at: datetime, seed: str, *, opted_in: bool) -> list[Effect]:
    """Remember it, tell everybody, and leave a line where somebody is talking with them."""
    changed = structs.replace(known, opted_out=not opted_in)
    effects: list[Effect] = [PutIdentity(known=changed), IdentityChanged(identity=known.identity)]
    if conversation is not None and conversation.state is not State.RESOLVED:
        effects.append(activity(conversation, at, seed, "opted_in" if opted_in else "opted_out"))
    return effects
