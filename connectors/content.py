"""What is said: the parts of a message, the same in both directions and on every channel."""

from enum import StrEnum

from msgspec import Struct


class MediaKind(StrEnum):
    """How a file is meant to be shown."""

    IMAGE = "image"
    VIDEO = "video"
    AUDIO = "audio"
    #: Recorded on the spot with the microphone.
    VOICE = "voice"
    STICKER = "sticker"
    FILE = "file"


class Part(Struct, frozen=True, kw_only=True, tag_field="type", omit_defaults=True):
    """Base of all parts; the JSON field ``type`` names which."""


class Text(Part, frozen=True, tag="text"):
    """Plain text exactly as written: no markup, nothing stripped. At most 65,536 characters."""

    text: str
    #: Characters from the start that are the person's own words; the rest quotes earlier mails and is shown folded. 0: all are theirs.
    fold: int = 0


class Html(Part, frozen=True, tag="html"):
    """The same words with their looks, beside a :class:`Text`; inbound only. Sanitised by the connector: no scripts, nothing from afar.

    Where the sender wanted a picture loaded from afar stands ``<img src="remote:0">``, ``remote:1``, …: nothing that a browser could load.
    """

    html: str
    #: Where those pictures are, http(s) addresses as the sender wrote them; never to be given to a browser.
    remote: tuple[str, ...] = ()


class Envelope(Part, frozen=True, tag="envelope"):
    """What stands on a mail beside its text. All addresses are bare: ``ada@example.org``."""

    subject: str = ""
    to: tuple[str, ...] = ()
    cc: tuple[str, ...] = ()
    #: Outbound only: nobody else sees it.
    bcc: tuple[str, ...] = ()
    #: What an agent should know: ``unverified`` (the sender was not proved), ``automatic``, ``bounce``, ``newcomer`` (not one of the
    #: people written to), ``mismatch`` (From, Sender and Reply-To differ), ``encrypted``, ``remote_content``, ``flood`` (one of too
    #: many within an hour).
    remarks: tuple[str, ...] = ()


class Media(Part, frozen=True, tag="media"):
    """A file, by reference; a worker fetches it later, so a broken download never loses the message."""

    kind: MediaKind
    #: How the connector finds the file again at the provider (file id, URL without credentials); outbound: the id of a stored file.
    ref: str
    #: Media type as claimed by the sender; never trusted for display.
    mime: str = ""
    #: File name as claimed by the sender; empty when there is none.
    name: str = ""
    #: Bytes; 0 when unknown.
    size: int = 0
    #: Id of our own copy once it is stored (``med_…``); empty until then.
    stored: str = ""
    #: Why there is no copy (too large, gone, refused, withheld); empty while there is hope.
    problem: str = ""
    #: We have it, and a scanner still has to look at it.
    checking: bool = False
    #: What a scanner found in it: nobody gets it.
    withheld: str = ""


class Location(Part, frozen=True, tag="location"):
    """A point on the map, WGS 84 degrees."""

    latitude: float
    longitude: float
    name: str = ""
    address: str = ""


class ContactCard(Part, frozen=True, tag="contact"):
    """Somebody's card, shared by the sender."""

    name: str
    phones: tuple[str, ...] = ()
    emails: tuple[str, ...] = ()
    #: True only if the provider proves that the card is the sender's own.
    own: bool = False


class Choice(Struct, frozen=True, omit_defaults=True):
    """One option of a question."""

    #: What comes back when it is picked; at most 64 bytes to fit every channel.
    id: str
    #: What the person reads.
    label: str
    #: A second line, where the channel has one.
    description: str = ""
    #: Id of a form of the provider's that opens instead of being picked; then it is the only option. And where in it to begin.
    form: str = ""
    screen: str = ""


class Choices(Part, frozen=True, tag="choices"):
    """A question with options; buttons where the channel has them, numbered text elsewhere."""

    text: str
    options: tuple[Choice, ...]
    #: What opens the list, on channels that show one; empty: the channel's own word.
    button: str = ""
    #: A file above the question; where the channel has no place for it there, it goes before.
    header_media: "Media | None" = None


class Chosen(Part, frozen=True, tag="chosen"):
    """An option that the person picked."""

    id: str
    label: str = ""


class Template(Part, frozen=True, tag="template"):
    """A message that the provider approved beforehand."""

    name: str
    #: As the provider spells it, for example ``en_US``.
    language: str
    #: Values of the body's placeholders, in order.
    parameters: tuple[str, ...] = ()
    #: Names of the placeholders, where the provider names them; else empty.
    names: tuple[str, ...] = ()
    #: What stands above: words, or a file whose ``stored`` is set.
    header: str = ""
    header_media: "Media | None" = None
    header_location: "Location | None" = None
    #: One per button: the changing end of its address, or its payload; empty for a button without.
    buttons: tuple[str, ...] = ()
    #: What each of them is, where the provider tells them apart: ``url``, ``quick_reply``, ``copy_code``; without: ``url``.
    button_kinds: tuple[str, ...] = ()


class OrderItem(Struct, frozen=True):
    """One line of an order."""

    #: The shop's own id in its catalogue.
    product: str
    quantity: int
    #: Per piece, as the provider wrote it, for example ``12.50``; empty if it did not.
    price: str = ""
    #: ISO 4217.
    currency: str = ""


class Order(Part, frozen=True, tag="order"):
    """A basket that the person sent from the shop's catalogue."""

    items: tuple[OrderItem, ...]
    catalog: str = ""
    note: str = ""


class Referral(Part, frozen=True, tag="referral"):
    """What led the person here: an advertisement, a post, a link."""

    #: ``ad``, ``post``, ``link``, ``story``, ``product``, or the provider's word.
    source: str
    id: str = ""
    url: str = ""
    headline: str = ""
    body: str = ""


class Unsupported(Part, frozen=True, tag="unsupported"):
    """Something that the channel delivered and we cannot show; kept, so that nobody thinks the shopper was silent."""

    #: The provider's word for it, for example ``poll``.
    kind: str


class Activity(Part, frozen=True, tag="activity"):
    """A line by the system, as data, so that every reader sees it in their own language."""

    #: ``assigned``, ``released``, ``transferred``, ``snoozed``, ``resolved``, ``reopened``, ``opted_out``, ``opted_in``, ``moved``,
    #: ``started`` (on the page ``subject``), ``referred`` (by the page ``subject``), ``joined`` (``subject`` takes part from now on),
    #: ``mailed`` (what the shopper had not seen went to the address ``subject``),
    #: ``linked`` (they went on on the channel ``subject``, by a link of ours),
    #: ``transcript`` (they had the chat sent to the address ``subject``), ``unmailed`` (it did not: too many mails to ``subject`` today),
    #: ``flooded`` (at least ``subject`` messages within the hour were kept without a notice), ``crowded`` (the same, because of too many
    #: unproved senders of the domain ``subject``).
    code: str
    #: Name of who did it; empty for the router.
    actor: str = ""
    #: Name of whom or what it concerns.
    subject: str = ""


AnyPart = Text | Html | Envelope | Media | Location | ContactCard | Choices | Chosen | Template | Order | Referral | Unsupported | Activity


def plain_text(parts: tuple[AnyPart, ...]) -> str:
    """The words in ``parts``, one line per part: for search, previews and channels that know only text."""
    return "\n".join(line for part in parts if (line := _line(part)))


def _line(part: AnyPart) -> str:
    match part:
        case Text():
            return part.text[: part.fold] if part.fold else part.text
        case Envelope():
            return part.subject
        case Order():
            return ", ".join(f"{item.quantity} × {item.product}" for item in part.items)
        case Referral():
            return part.headline or part.url
        case Template():
            return part.name
        case Choices():
            return part.text
        case Chosen():
            return part.label or part.id
        case Location():
            return part.name or f"{part.latitude:.5f}, {part.longitude:.5f}"
        case ContactCard():
            return " ".join((part.name, *part.phones))
        case Media():
            return part.name
        case _:
            return ""
