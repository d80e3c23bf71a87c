"""What agents may write: the parts of a reply as they come over the wire, checked and turned into the vocabulary's parts."""

from collections.abc import Sequence
from typing import Annotated, NamedTuple

from msgspec import Meta, Struct

from connectors.capabilities import Capabilities, for_public
from connectors.compose import Composition, compose
from connectors.content import AnyPart, Choice, Choices, ContactCard, Envelope, Location, Media, MediaKind, Template, Text
from connectors.contract import Call, Outbound
from connectors.errors import Inexpressible
from connectors.text import length
from gateway.services import Channel
from gateway.web.access import Principal
from gateway.web.errors import Refusal
from storage.file import StoredFile, Verdict
from storage.protocol import Transaction

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
    #: A second line, where the channel has one.
    description: Annotated[str, Meta(max_length=200)] = ""
    #: Id of a form of the provider's (WhatsApp Flows) that opens; then it is the only option. And the screen to begin with.
    form: Annotated[str, Meta(max_length=64)] = ""
    screen: Annotated[str, Meta(max_length=64)] = ""


class InChoices(InPart, frozen=True, kw_only=True, tag="choices"):
    text: Annotated[str, Meta(min_length=1, max_length=4096)]
    options: Annotated[tuple[InOption, ...], Meta(min_length=1, max_length=100)]
    #: What opens the list, on channels that show one.
    button: Annotated[str, Meta(max_length=40)] = ""
    #: A file above the question; where the channel cannot show it there, it goes before.
    header_media: InMedia | None = None


Value = Annotated[str, Meta(max_length=1024)]
Address = Annotated[str, Meta(min_length=3, max_length=254, pattern=r"^[^@\s,;<>]+@[^@\s,;<>]+$")]


class InTemplate(InPart, frozen=True, kw_only=True, tag="template"):
    """A message that the provider approved beforehand; see ``GET /channels/{id}/templates``."""

    name: Annotated[str, Meta(min_length=1, max_length=512)]
    #: As the provider spells it, for example ``en_US``.
    language: Annotated[str, Meta(max_length=35)] = ""
    #: Values of the body's placeholders, in order.
    parameters: Annotated[tuple[Value, ...], Meta(max_length=50)] = ()
    #: Names of the placeholders in the same order, where the provider names them; empty: in its own order.
    names: Annotated[tuple[Annotated[str, Meta(max_length=100)], ...], Meta(max_length=50)] = ()
    #: For a header of words with a placeholder, for one with a file, and for one with a place.
    header: Value = ""
    header_media: InMedia | None = None
    header_location: InLocation | None = None
    #: One per button, empty for one that takes no value.
    buttons: Annotated[tuple[Value, ...], Meta(max_length=10)] = ()


class InEnvelope(InPart, frozen=True, kw_only=True, tag="envelope"):
    """What stands on a mail beside its text. Bare addresses."""

    subject: Annotated[str, Meta(max_length=900)] = ""
    cc: Annotated[tuple[Address, ...], Meta(max_length=50)] = ()
    bcc: Annotated[tuple[Address, ...], Meta(max_length=50)] = ()


AnyInPart = InText | InMedia | InLocation | InContact | InChoices | InTemplate | InEnvelope


async def read_parts(tx: Transaction, parts: tuple[AnyInPart, ...], who: Principal, conversation_id: str) -> tuple[AnyPart, ...]:
    """The same in the vocabulary's words. Raises Refusal 422."""
    return tuple([await _part(tx, part, f"$.parts[{index}]", who, conversation_id) for index, part in enumerate(parts)])


class Expressed(NamedTuple):
    """A reply as the channel would send it."""

    composition: Composition
    calls: Sequence[Call]


def express(channel: Channel, outbound: Outbound) -> Expressed:
    """Ask the connector how it would send this, before anything is accepted. Raises Refusal 422 with the limit."""
    able = for_public(channel.capabilities) if outbound.public else channel.capabilities
    try:
        # The connector first: its words know the provider.
        calls = channel.connector.render(outbound, channel.settings)
        return Expressed(compose(outbound.parts, able), calls)
    except Inexpressible as error:
        raise Refusal(422, _why(outbound.parts, able), str(error), field="$.parts") from None


def _why(parts: Sequence[AnyPart], able: Capabilities) -> str:
    if any(isinstance(part, Text | Choices) and not part.text.strip() for part in parts):
        return "empty"
    limits = able.limits
    long = any(isinstance(part, Text) and length(part.text, limits.unit) > limits.text > 0 for part in parts)
    return "too_long" if long else "not_supported"


async def _part(tx: Transaction, part: AnyInPart, path: str, who: Principal, conversation_id: str) -> AnyPart:
    match part:
        case InText():
            if len(part.text) > MAX_TEXT:
                raise Refusal(
                    422, "too_long", f"A text has at most {MAX_TEXT} characters; this one has {len(part.text)}.", field=f"{path}.text"
                )
            return Text(text=part.text)
        case InMedia():
            return await _media(tx, part, path, who, conversation_id)
        case InLocation():
            return _location(part)
        case InContact():
            return ContactCard(name=part.name, phones=part.phones, emails=part.emails)
        case InChoices():
            above = part.header_media
            file = None if above is None else await _media(tx, above, f"{path}.header_media", who, conversation_id)
            return _choices(part, path, file)
        case InTemplate():
            given = part.header_media
            file = None if given is None else await _media(tx, given, f"{path}.header_media", who, conversation_id)
            place = None if part.header_location is None else _location(part.header_location)
            return Template(
                name=part.name,
                language=part.language,
                parameters=part.parameters,
                names=part.names,
                header=part.header,
                header_media=file,
                header_location=place,
                buttons=part.buttons,
            )
        case InEnvelope():
            return _envelope(part, path)


def _location(part: InLocation) -> Location:
    return Location(latitude=part.latitude, longitude=part.longitude, name=part.name, address=part.address)


def _envelope(part: InEnvelope, path: str) -> Envelope:
    # A line break would begin another header.
    if not part.subject.isprintable():
        raise Refusal(422, "invalid_envelope", "A subject is one line of visible characters.", field=f"{path}.subject")
    for name in ("cc", "bcc"):
        for index, address in enumerate(getattr(part, name)):
            if not address.isprintable():
                raise Refusal(422, "invalid_envelope", "An address has visible characters only.", field=f"{path}.{name}[{index}]")
    return Envelope(subject=part.subject, cc=part.cc, bcc=part.bcc)


async def _media(tx: Transaction, part: InMedia, path: str, who: Principal, conversation_id: str) -> Media:
    file = await _own_file(tx, part.ref, path, who, conversation_id)
    return Media(kind=part.kind, ref=file.id, mime=file.mime, name=part.name or file.name, size=file.size, stored=file.id)


def _choices(part: InChoices, path: str, header: Media | None) -> Choices:
    ids = [option.id for option in part.options]
    if len(set(ids)) < len(ids):
        raise Refusal(422, "invalid_choices", "Two options have the same id.", field=f"{path}.options")
    if any(len(identifier.encode()) > 64 for identifier in ids):
        raise Refusal(422, "invalid_choices", "An option's id has at most 64 bytes.", field=f"{path}.options")
    options = tuple(Choice(one.id, one.label, one.description, one.form, one.screen) for one in part.options)
    return Choices(text=part.text, options=options, button=part.button, header_media=header)


async def _own_file(tx: Transaction, file_id: str, path: str, who: Principal, conversation_id: str) -> StoredFile:
    """A file may be sent by who uploaded it, or again within its own conversation."""
    file = await tx.files.get(file_id)
    fresh = file is not None and not file.conversation_id and file.uploader == who.agent.id
    if file is None or not (fresh or file.conversation_id == conversation_id):
        raise Refusal(422, "unknown_file", "There is no such upload of yours. Upload it first.", field=f"{path}.ref")
    if file.verdict is Verdict.WITHHELD:
        raise Refusal(422, "file_withheld", f"This file was withheld: the virus scanner found {file.finding} in it.", field=f"{path}.ref")
    if file.verdict is Verdict.WAITING:
        words = "This file is still being checked for viruses. Send it again in a moment."
        raise Refusal(409, "file_unchecked", words, field=f"{path}.ref", headers={"Retry-After": "5"})
    return file
