"""How lines of a history are made. Pure."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from msgspec import structs

from connectors.content import Activity, AnyPart, Envelope, Html, Media, Text, plain_text
from connectors.event import MessageEchoed, MessageReceived, Status
from connectors.names import harmless_name
from connectors.text import clusters
from routing.effect import AddMessage, Effect, PutMediaJob
from routing.snapshot import Arrival
from storage.file import MediaJob, StoredFile, Verdict
from storage.ids import derive_id
from storage.record import Author, AuthorKind, Conversation, Message, MessageKind

#: A provider's clock is believed within these bounds around our own.
PAST: Final = timedelta(days=7)
FUTURE: Final = timedelta(minutes=5)
PREVIEW_CHARS: Final = 140
#: Of one text; the stream keeps all of it, as it came.
TEXT_CHARS: Final = 65_536
_CUT: Final = " […]"


def shown_time(claimed: datetime | None, received: datetime) -> datetime:
    """The time to show: the provider's, unless it is absurd."""
    if claimed is None:
        return received
    return min(max(claimed, received - PAST), received + FUTURE)


def presentable(parts: tuple[AnyPart, ...]) -> tuple[AnyPart, ...]:
    """A stranger's parts as a history shows them: a text that nobody could read is cut and says so, a file's name does not lie."""
    return tuple(_presentable(part) for part in parts)


def _presentable(part: AnyPart) -> AnyPart:
    if isinstance(part, Text) and len(part.text) > TEXT_CHARS:
        room = TEXT_CHARS - len(_CUT)
        # The last cluster may be half of one.
        kept = "".join(clusters(part.text[: room + 1])[:-1]) or part.text[:room]
        return structs.replace(part, text=kept + _CUT, fold=min(part.fold, len(kept)))
    if isinstance(part, Media) and part.name:
        return structs.replace(part, name=harmless_name(part.name))
    return part


def preview(parts: tuple[AnyPart, ...]) -> str:
    """The start of a message in one line; a file without a name shows as its kind in brackets."""
    text = " ".join(plain_text(parts).split())
    if not text and parts:
        first = next((part for part in parts if not isinstance(part, Html | Envelope)), parts[0])
        text = f"[{first.kind.value if isinstance(first, Media) else first.__struct_config__.tag}]"
    return text if len(text) <= PREVIEW_CHARS else text[: PREVIEW_CHARS - 1] + "…"


def from_shopper(arrival: Arrival, event: MessageReceived, conversation: Conversation, author: Author, quoted: Message | None) -> Message:
    """The line for a message by a shopper, or by somebody else who takes part."""
    return Message(
        id=derive_id("msg", arrival.at, arrival.channel, event.key),
        pos=0,
        conversation_id=conversation.id,
        customer_id=conversation.customer_id,
        kind=MessageKind.INBOUND,
        author=author,
        parts=event.parts,
        at=shown_time(event.at, arrival.at),
        received_at=arrival.at,
        channel=arrival.channel,
        reply_to=quoted.id if quoted else "",
        group=event.group,
        forwarded_from=event.forwarded_from,
        public=event.public,
        automatic=event.automatic,
    )


def from_elsewhere(arrival: Arrival, event: MessageEchoed, conversation: Conversation) -> Message:
    """The line for an answer that somebody gave in the provider's own app."""
    return Message(
        id=derive_id("msg", arrival.at, arrival.channel, event.key),
        pos=0,
        conversation_id=conversation.id,
        customer_id=conversation.customer_id,
        kind=MessageKind.OUTBOUND,
        author=Author(kind=AuthorKind.AGENT),
        parts=event.parts,
        at=shown_time(event.at, arrival.at),
        received_at=arrival.at,
        channel=arrival.channel,
        status=Status.SENT,
        public=event.public,
        pieces=1,
    )


def activity(conversation: Conversation, at: datetime, seed: str, code: str, actor: str = "", subject: str = "") -> AddMessage:
    """A system line: it does not change the preview or the order of the inbox."""
    message = Message(
        id=derive_id("msg", at, conversation.id, seed, code),
        pos=0,
        conversation_id=conversation.id,
        customer_id=conversation.customer_id,
        kind=MessageKind.ACTIVITY,
        author=Author(kind=AuthorKind.SYSTEM),
        parts=(Activity(code=code, actor=actor, subject=subject),),
        at=at,
        received_at=at,
        channel=conversation.channel,
    )
    return AddMessage(message=message, conversation=conversation)


def began(conversation: Conversation, event: MessageReceived, at: datetime) -> list[AddMessage]:
    """System lines for where a conversation began, if the channel knows."""
    told = (("referred", event.referrer), ("started", event.page))
    return [activity(conversation, at, event.key, code, subject=where) for code, where in told if where]


def media_jobs(message: Message, key: str, first: int = 0) -> list[Effect]:
    """One job for each file that is still only a reference, from part ``first`` on; ``key`` is that of the event that brought it."""
    return [
        PutMediaJob(
            job=MediaJob(
                id=derive_id("med", message.received_at, message.id, key, str(index)),
                channel=message.channel,
                message_id=message.id,
                part=index,
                ref=part.ref,
                attempts=0,
                next_at=message.received_at,
            )
        )
        for index, part in enumerate(message.parts)
        if index >= first and isinstance(part, Media) and not part.stored and not part.problem
    ]


def keeping_copies(parts: tuple[AnyPart, ...], former: tuple[AnyPart, ...]) -> tuple[AnyPart, ...]:
    """``parts`` of an edit, with the copies that we already hold of the same files."""
    copies = {part.ref: part for part in former if isinstance(part, Media)}
    return tuple(
        structs.replace(
            part,
            stored=copy.stored,
            problem=copy.problem,
            mime=copy.mime,
            size=copy.size,
            checking=copy.checking,
            withheld=copy.withheld,
        )
        if isinstance(part, Media) and (copy := copies.get(part.ref)) is not None
        else part
        for part in parts
    )


def with_copy(message: Message, part: int, ref: str, file: StoredFile | None, problem: str) -> Message:
    """The line after the file ``ref`` was fetched, or given up. An edit may have moved it from its place ``part``, or removed it."""
    places = [index for index, one in enumerate(message.parts) if isinstance(one, Media) and one.ref == ref]
    if not places:
        return message
    part = part if part in places else places[0]
    media = message.parts[part]
    assert isinstance(media, Media)
    fetched = structs.replace(media, problem=problem) if file is None else _copied(media, file)
    return structs.replace(message, parts=(*message.parts[:part], fetched, *message.parts[part + 1 :]))


def _copied(media: Media, file: StoredFile) -> Media:
    media = structs.replace(media, size=file.size or media.size, mime=file.mime or media.mime)
    match file.verdict:
        case Verdict.WAITING:
            return structs.replace(media, stored="", checking=True)
        case Verdict.WITHHELD:
            problem = f"a file was withheld: {file.finding}"
            return structs.replace(media, stored="", checking=False, withheld=file.finding, problem=problem)
        case Verdict.NONE | Verdict.CLEAN:
            return structs.replace(media, stored=file.id, checking=False, problem="")


def without_unseen(message: Message, unseen: Mapping[str, StoredFile], now: datetime) -> tuple[Message, list[MediaJob]]:
    """The line of a shopper without those of their uploads that nobody may have (yet), and the jobs by which the others come later."""
    parts: list[AnyPart] = []
    jobs: list[MediaJob] = []
    for index, part in enumerate(message.parts):
        file = unseen.get(part.stored) if isinstance(part, Media) else None
        if not isinstance(part, Media) or file is None:
            parts.append(part)
            continue
        # By the file's own id the worker finds it, and then this part.
        parts.append(structs.replace(_copied(part, file), ref=file.id))
        if file.verdict is Verdict.WAITING:
            id_ = derive_id("med", message.received_at, message.id, "upload", str(index))
            jobs.append(MediaJob(id=id_, channel="", message_id=message.id, part=index, ref=file.id, attempts=0, next_at=now))
    return structs.replace(message, parts=tuple(parts)), jobs
