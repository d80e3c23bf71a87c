"""What a channel can carry, its limits, and until when one may answer: data, for agents, the composer, the routing and the tests."""

from msgspec import Struct
from msgspec.structs import replace

from connectors.content import MediaKind
from connectors.text import Unit


class MediaRule(Struct, frozen=True, kw_only=True):
    """One kind of file that the channel takes."""

    kind: MediaKind
    #: Media types that it takes as this kind; empty: any.
    mimes: tuple[str, ...] = ()
    max_bytes: int = 0
    #: May words stand below it?
    caption: bool = True
    #: It goes as an address behind the words, and not as a file.
    link: bool = False


class Album(Struct, frozen=True, kw_only=True):
    """Files that one message may show together."""

    #: Which ones; a file beyond ``max_bytes`` of its rule is none of them.
    files: tuple[MediaRule, ...]
    #: How many at most; 1: each is a message of its own.
    most: int
    #: Bytes of all of them together; 0: none known.
    max_bytes: int = 0


class Window(Struct, frozen=True, kw_only=True):
    """A time after the shopper's last private message during which some things may be sent."""

    #: As in :attr:`Outbound.window`.
    name: str
    #: 0: for ever.
    seconds: int
    #: Part types.
    sends: frozenset[str]
    #: Only what a person wrote, nothing automatic.
    human_only: bool = False


class Limits(Struct, frozen=True, kw_only=True):
    """The channel's limits; 0 means none known."""

    #: Longest text of one message, in ``unit``.
    text: int
    #: Longest caption beside a media part, in ``unit``; 0 if the channel has no captions.
    caption: int = 0
    #: What the channel counts.
    unit: Unit = Unit.CHARS
    #: Most options of one question, and the longest label in ``unit``.
    choices: int = 0
    choice_label: int = 0
    #: The same where the channel shows a list instead of buttons; 0: it has no lists.
    list_choices: int = 0
    list_label: int = 0
    #: Of a list: the longest second line of an option, and the longest label of what opens it.
    list_description: int = 0
    list_button: int = 0
    #: Longest text above the options, in ``unit``; 0: as for any text.
    choices_text: int = 0
    #: Files that may stand above buttons; empty: none.
    choices_media: tuple[MediaRule, ...] = ()
    #: Longest label of a button that opens a form; 0: the channel has no forms.
    form_label: int = 0
    #: Files by kind; empty: any file up to ``upload_bytes``.
    media: tuple[MediaRule, ...] = ()
    #: Which files may be shown together; the first that takes a file is its. Empty: each file is a message of its own.
    albums: tuple[Album, ...] = ()
    #: Largest file that we may send, and fetch, in bytes.
    upload_bytes: int = 0
    download_bytes: int = 0
    #: Calls per second for the whole account, and for one bucket.
    rate: float = 0.0
    bucket_rate: float = 0.0
    #: Calls that one bucket may make at once before ``bucket_rate`` counts.
    bucket_burst: float = 1.0


class Flood(Struct, frozen=True, kw_only=True):
    """How many messages within an hour are work for agents; those beyond are kept, and ask for nothing. 0: no limit."""

    #: Of one sender; of one whom nothing proves.
    sender: int = 0
    unproved: int = 0
    #: Conversations that unproved senders of one domain together begin or take up again.
    domain: int = 0


class Capabilities(Struct, frozen=True, kw_only=True):
    """What the channel can carry: shown to agents, used by the composer, checked by the tests."""

    limits: Limits
    #: Part types that can be sent, by their ``type`` names: ``text``, ``media``, …
    sends: frozenset[str]
    #: Part types that can arrive.
    receives: frozenset[str]
    #: One message carries all parts, however many: nothing has to be sent apart.
    bundles: bool = False
    #: Until when one may answer, the most generous first; empty: for ever. See :func:`open_window`.
    windows: tuple[Window, ...] = ()
    #: Can messages be public, as comments are? Then what a public answer can carry, if that is less; None: the same.
    public: bool = False
    public_limits: Limits | None = None
    public_sends: frozenset[str] | None = None
    edits: bool = False
    deletions: bool = False
    reactions: bool = False
    #: Does the provider report these?
    delivered: bool = False
    read: bool = False
    #: Does it redeliver a webhook that we failed to take?
    redelivers: bool = False
    #: Is the same message sent twice delivered once?
    idempotent: bool = False


def for_public(able: Capabilities) -> Capabilities:
    """``able`` as it is for an answer that everybody reads."""
    limits = able.limits if able.public_limits is None else able.public_limits
    return replace(able, limits=limits, sends=able.sends if able.public_sends is None else able.public_sends, windows=())


def open_window(windows: tuple[Window, ...], age: float | None, *, automatic: bool = False) -> Window | None:
    """The first window still open ``age`` seconds after the shopper's last private message (None: there was none)."""
    for window in windows:
        lasting = window.seconds == 0 or (age is not None and age < window.seconds)
        if lasting and not (automatic and window.human_only):
            return window
    return None
