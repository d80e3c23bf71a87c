"""What will be asked for around several events, or a command: read together, it costs one journey to the database instead of many."""

from collections.abc import Iterable

from connectors.contract import Sent
from connectors.event import (
    MessageDeleted,
    MessageEchoed,
    MessageEdited,
    MessageReceived,
    PersonEvent,
    ReactionChanged,
    StatusReported,
)
from connectors.identity import Identity
from routing.command import AnyCommand, ConversationCommand, FinishAttempt, KeepProgress, Note, Reply
from routing.inbound import album_id
from routing.load import REFERENCES
from routing.snapshot import Arrival
from storage.foreseen import Foreseen


def of_arrivals(arrivals: Iterable[Arrival]) -> Foreseen:
    """What ``load.for_arrival`` and what follows from the decisions will mostly ask for."""
    pairs: set[tuple[str, Identity]] = set()
    identities: set[Identity] = set()
    provider_ids: set[tuple[str, str]] = set()
    messages: set[str] = set()
    for channel, event in ((arrival.channel, arrival.event) for arrival in arrivals):
        if isinstance(event, PersonEvent):
            pairs.add((channel, event.sender.identity))
            identities.update(identity for identity, _ in event.sender.aliases)
        match event:
            case MessageReceived():
                asked = (event.message_id, event.reply_to, *event.references[-REFERENCES:], album_id(event) if event.group else "")
                provider_ids.update((channel, id_) for id_ in asked if id_)
            case MessageEdited() | MessageDeleted() | ReactionChanged():
                provider_ids.add((channel, event.message_id))
            case MessageEchoed() | StatusReported():
                provider_ids.add((channel, event.message_id))
                messages.update({event.ours} - {""})
            case _:
                pass
    return Foreseen(pairs=pairs, identities=identities, provider_ids=provider_ids, messages=messages)


def of_command(command: AnyCommand) -> Foreseen:
    """Of a conversation command its conversation; of what a sender reports all that concerns the message."""
    match command:
        case Reply() | Note():
            return Foreseen(conversations={command.conversation_id}, provider_ids={("", f"command:{command.id}")})
        case ConversationCommand():
            return Foreseen(conversations={command.conversation_id})
        case FinishAttempt() | KeepProgress():
            ids = {(command.channel, one.provider_id) for one in command.outcomes if isinstance(one, Sent) and one.provider_id}
            return Foreseen(messages={command.message_id}, provider_ids=ids if command.channel else set())
        case _:
            return Foreseen()
