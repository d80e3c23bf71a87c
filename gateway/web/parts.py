"""What agents may write: the parts of a reply as they come over the wire, checked and turned into the vocabulary's parts."""

from typing import Annotated

from msgspec import Meta, Struct

from connectors.content import AnyPart, Choice, Choices, ContactCard, Location, Media, MediaKind, Text
from connectors.contract import Outbound
from connectors.errors import Inexpressible
from connectors.text import length
from gateway.services import Channel
from gateway.web.access import Principal
from gateway.web.errors import Refusal
from storage.protocol import Transaction
from storage.record import StoredFile

MAX_TEXT = 65_536
MAX_PARTS = 16


class InPart(Struct, frozen=True, kw_only=True, tag_field="type", forbid_unknown_fields=True):
    """Base of the parts of a reply."""


class InText(InPart, frozen=True, kw_only=True, tag="text"):
    text: str


class InMedia(InPart, frozen=True, kw_only=True, tag="media"):
    """A file that was uploaded before; type and size are taken from the file itself."""

    kind: MediaKind
    #: Id of the upload, ``med_…``.
    ref: Annotated[str, Meta(min_length=1, max_length=128)]
    mime: str = ""
    name: Annotated[str, Meta(max_length=255)] = ""
    size: int = 0


class InLocation(InPart, frozen=True, kw_only=True, tag="location"):
    latitude: Annotated[float, Meta(ge=-90, le=90)]
    longitude: Annotated[float, Meta(ge=-180, le=180)]
    name: Annotated[str, Meta(max_length=200)] = ""
    address: Annotated[str, Meta(max_length=500)] = ""


class InContact(InPart, frozen=True, kw_only=True, tag="contact"):
    name: Annotated[str, Meta(min_length=1, max_length=200)]
    phones: Annotated[tuple[Annotated[str, Meta(max_length=40)], ...], Meta(max_length=10)] = ()
    emails: Annotated[tuple[Annotated[str, Meta(max_length=254)], ...], Meta(max_length=10)] = ()


class InOption(Struct, frozen=True, forbid_unknown_fields=True):
    #: At most 64 bytes of UTF-8.
    id: Annotated[str, Meta(min_length=1, max_length=64)]
    label: Annotated[str, Meta(min_length=1, max_length=200)]


class InChoices(InPart, frozen=True, kw_only=True, tag="choices"):
    text: Annotated[str, Meta(min_length=1, max_length=4096)]
    options: Annotated[tuple[InOption, ...], Meta(min_length=1, max_length=100)]


AnyInPart = InText | InMedia | InLocation | InContact | InChoices


async def read_parts(tx: Transaction, parts: tuple[AnyInPart, ...], who: Principal, conversation_id: str) -> tuple[AnyPart, ...]:
    """The same in the vocabulary's words. Raises Refusal 422."""
    return tuple([await _part(tx, part, f"$.parts[{index}]", who, conversation_id) for index, part in enumerate(parts)])


def check_expressible(channel: Channel, outbound: Outbound) -> None:
    """Ask the connector whether it can send this, before anything is accepted. Raises Refusal 422 naming the limit."""
    try:
        channel.connector.render(outbound, channel.settings)
    except Inexpressible as error:
        limits = channel.connector.capabilities.limits
        long = any(isinstance(part, Text) and length(part.text, limits.unit) > limits.text > 0 for part in outbound.parts)
        raise Refusal(422, "too_long" if long else "not_supported", str(error), field="$.parts") from None


async def _part(tx: Transaction, part: AnyInPart, path: str, who: Principal, conversation_id: str) -> AnyPart:
    match part:
        case InText():
            if len(part.text) > MAX_TEXT:
                raise Refusal(
                    422, "too_long", f"A text has at most {MAX_TEXT} characters; this one has {len(part.text)}.", field=f"{path}.text"
                )
            return Text(text=part.text)
        case InMedia():
            file = await _own_file(tx, part.ref, path, who, conversation_id)
            return Media(kind=part.kind, ref=file.id, mime=file.mime, name=part.name or file.name, size=file.size, stored=file.id)
        case InLocation():
            return Location(latitude=part.latitude, longitude=part.longitude, name=part.name, address=part.address)
        case InContact():
            return ContactCard(name=part.name, phones=part.phones, emails=part.emails)
        case InChoices():
            return _choices(part, path)


def _choices(part: InChoices, path: str) -> Choices:
    ids = [option.id for option in part.options]
    if len(set(ids)) < len(ids):
        raise Refusal(422, "invalid_choices", "Two options have the same id.", field=f"{path}.options")
    if any(len(identifier.encode()) > 64 for identifier in ids):
        raise Refusal(422, "invalid_choices", "An option's id has at most 64 bytes.", field=f"{path}.options")
    return Choices(text=part.text, options=tuple(Choice(option.id, option.label) for option in part.options))


async def _own_file(tx: Transaction, file_id: str, path: str, who: Principal, conversation_id: str) -> StoredFile:
    """A file may be sent by who uploaded it, or again within its own conversation."""
    file = await tx.files.get(file_id)
    fresh = file is not None and not file.conversation_id and file.uploader == who.agent.id
    if file is None or not (fresh or file.conversation_id == conversation_id):
        raise Refusal(422, "unknown_file", "There is no such upload of yours. Upload it first.", field=f"{path}.ref")
    return file
