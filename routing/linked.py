"""What it means that somebody has followed a link of ours, see ``routing.link``. Pure."""

from typing import Final

from msgspec import structs

from connectors.identity import Evidence
from routing.effect import Effect, MoveIdentities, PutIdentity, RememberCommand
from routing.identity import Identified
from routing.line import activity
from routing.snapshot import Arrival, Linked

#: The code of the line in the conversation that the link was made for.
LINKED: Final = "linked"


def started(arrival: Arrival, who: Identified, linked: Linked | None) -> list[Effect]:
    """What it means that somebody opened a chat: with a token of ours they are whom it was given to, as a merge that can be undone."""
    if linked is None:
        return who.effects
    known = structs.replace(who.known, evidence=Evidence.SIGNED)
    effects = [*who.effects, PutIdentity(known=known)]
    if who.customer.id != linked.conversation.customer_id:
        effects.append(MoveIdentities(from_id=who.customer.id, into_id=linked.conversation.customer_id, at=arrival.at))
    line = activity(linked.conversation, arrival.at, linked.use, LINKED, subject=arrival.channel)
    return [*effects, line, RememberCommand(command_id=linked.use, message_id=line.message.id)]
