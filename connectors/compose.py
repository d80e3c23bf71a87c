"""What an agent wrote as the messages that a channel can carry, and what is lost on the way. Pure, and the same every time.

``render`` sends the messages that :func:`compose` gives; the gateway shows its notes before anything is sent. So the agent
sees what the shopper will get, and after a crash the same parts go out again.
"""

from collections.abc import Generator, Iterator, Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from connectors.capabilities import Album, Capabilities, Limits, MediaRule
from connectors.content import AnyPart, Choices, ContactCard, Envelope, Location, Media, MediaKind, Text
from connectors.errors import Inexpressible
from connectors.text import length, split

#: Parts of one message at the provider.
Parts = tuple[AnyPart, ...]

#: What a file may be sent as when the channel does not take its kind, nearest first.
_NEXT_KIND: Final = {
    MediaKind.VOICE: (MediaKind.AUDIO, MediaKind.FILE),
    MediaKind.STICKER: (MediaKind.IMAGE, MediaKind.FILE),
    MediaKind.IMAGE: (MediaKind.FILE,),
    MediaKind.VIDEO: (MediaKind.FILE,),
    MediaKind.AUDIO: (MediaKind.FILE,),
    MediaKind.FILE: (),
}


class Note(Struct, frozen=True, kw_only=True):
    """Something that will look different from what was written."""

    #: ``split``, ``caption_apart``, ``choices_as_text``, ``choices_as_list``, ``location_as_text``, ``contact_as_text``, ``as_file``,
    #: ``as_link``, ``labels_cut``, ``header_apart``, ``subject_dropped``.
    code: str
    #: Index of the part that was written.
    part: int
    #: In words, for the agent.
    detail: str


class Composition(Struct, frozen=True, kw_only=True):
    """What will be sent."""

    messages: tuple[Parts, ...]
    notes: tuple[Note, ...] = ()


def compose(parts: Sequence[AnyPart], able: Capabilities) -> Composition:
    """``parts`` as messages of this channel. Raises :class:`Inexpressible`, naming part and limit, for what it cannot carry at all."""
    if not parts:
        raise Inexpressible("there is nothing to send: the message has no parts")
    return _Composer(able).compose(parts)


class _Composer:
    def __init__(self, able: Capabilities) -> None:
        self._able = able
        self._limits = able.limits
        self._notes: list[Note] = []

    def compose(self, parts: Sequence[AnyPart]) -> Composition:
        messages = [message for index, part in enumerate(parts) for message in self._messages(part, index)]
        if self._able.bundles:
            messages = [tuple(part for message in messages for part in message)]
        else:
            messages = self._with_captions(self._in_albums(messages), parts)
        messages = [message for message in messages if message]
        if not messages:
            raise Inexpressible("there is nothing to send: the message has no parts")
        return Composition(messages=tuple(messages), notes=tuple(self._notes))

    def _messages(self, part: AnyPart, index: int) -> Iterator[Parts]:
        match part:
            case Text():
                yield from self._text(part.text, index)
            case Media():
                yield (self._media(part, index),)
            case Choices():
                yield from self._choices(part, index)
            case Location() if "location" not in self._able.sends:
                self._note("location_as_text", index, "This channel has no locations; a link to a map is sent.")
                yield from self._text(location_text(part), index)
            case ContactCard() if "contact" not in self._able.sends:
                self._note("contact_as_text", index, "This channel has no contact cards; its lines are sent as text.")
                yield from self._text("\n".join((part.name, *part.phones, *part.emails)), index)
            case Envelope() if "envelope" not in self._able.sends:
                self._note("subject_dropped", index, "This channel has no subject and no copies.")
            case _:
                kind = str(part.__struct_config__.tag)
                if kind not in self._able.sends:
                    raise Inexpressible(f"part {index + 1}: this channel cannot carry {kind}")
                yield (part,)

    # --- text -----------------------------------------------------------------------------------------------------------

    def _text(self, text: str, index: int) -> Iterator[Parts]:
        if not text.strip():
            raise Inexpressible(f"part {index + 1}: a text without visible characters")
        pieces = split(text, self._limits.text, self._limits.unit) if self._limits.text else [text]
        if len(pieces) > 1:
            limit = f"{self._limits.text} {self._limits.unit.value}"
            self._note("split", index, f"The text is longer than {limit}; it is sent as {len(pieces)} messages.")
        yield from ((Text(text=piece),) for piece in pieces)

    # --- files ----------------------------------------------------------------------------------------------------------

    def _media(self, media: Media, index: int) -> Media:
        where = f"part {index + 1} ({media.name or media.kind.value})"
        if "media" not in self._able.sends:
            raise Inexpressible(f"{where}: this channel cannot carry files")
        rules = self._limits.media
        if not rules:
            self._check_size(media, self._limits.upload_bytes, where)
            return media
        for kind in (media.kind, *_NEXT_KIND[media.kind]):
            rule = rule_of(rules, replace(media, kind=kind))
            if rule is None:
                continue
            if rule.link:
                self._note("as_link", index, "This channel does not carry this file itself; an address to fetch it from is sent.")
            elif kind is not media.kind and kind is MediaKind.FILE:
                self._note("as_file", index, f"This channel does not show {media.mime or media.kind.value}; it is sent as a file.")
            self._check_size(media, rule.max_bytes or self._limits.upload_bytes, where)
            return replace(media, kind=kind)
        raise Inexpressible(f"{where}: this channel cannot carry a file of type {media.mime or 'unknown'}")

    def _check_size(self, media: Media, limit: int, where: str) -> None:
        if limit and media.size > limit:
            raise Inexpressible(f"{where}: {media.size:,} bytes; this channel takes at most {limit:,}")

    def _in_albums(self, messages: list[Parts]) -> list[Parts]:
        """Files that follow each other, together as far as the channel can."""
        joined: list[Parts] = []
        for message in messages:
            if joined and self._goes_with(joined[-1], message):
                joined[-1] += message
            else:
                joined.append(message)
        return joined

    def _goes_with(self, before: Parts, message: Parts) -> bool:
        album = self._album_of(before[0])
        if album is None or len(before) >= album.most or self._album_of(message[0]) is not album:
            return False
        size = sum(part.size for part in (*before, *message) if isinstance(part, Media))
        return not album.max_bytes or size <= album.max_bytes

    def _album_of(self, part: AnyPart) -> Album | None:
        if not isinstance(part, Media):
            return None
        for album in self._limits.albums:
            rule = _rule(album.files, part.kind, part.mime, part.size)
            if rule is not None:
                return album
        return None

    def _with_captions(self, messages: list[Parts], parts: Sequence[AnyPart]) -> list[Parts]:
        """Files and the few words after them travel together, as a person would send them; too many words for that go before an album."""
        files = [message for message in messages if isinstance(message[0], Media)]
        texts = messages[len(files) :]
        said = [index for index, part in enumerate(parts) if isinstance(part, Text)]
        alone = files == messages[: len(files)] and len(said) == 1 and all(isinstance(message[0], Text) for message in texts)
        first = files[0] if files else ()
        if not first or not alone or not self._belong_together(files):
            return messages
        if len(texts) == 1 and self._takes_caption(first[0], texts[0][0]):
            return [(*first, *texts[0]), *files[1:]]
        if len(first) == 1:
            return messages
        limit = f"{self._limits.caption} {self._limits.unit.value}"
        self._note(
            "caption_apart", said[0], f"The words are longer than {limit}, all that can stand below the files; they are sent before them."
        )
        return [*texts, *files]

    def _belong_together(self, files: list[Parts]) -> bool:
        """One message, or one row of files that was too long for one."""
        album = self._album_of(files[0][0])
        return len(files) == 1 or (album is not None and album.most > 1 and all(self._album_of(one[0]) is album for one in files))

    def _takes_caption(self, media: AnyPart, words: AnyPart) -> bool:
        assert isinstance(media, Media)
        assert isinstance(words, Text)
        if media.kind is MediaKind.STICKER or not self._limits.caption:
            return False
        rule = _rule(self._limits.media, media.kind, media.mime)
        return (rule is None or rule.caption) and length(words.text, self._limits.unit) <= self._limits.caption

    # --- questions ------------------------------------------------------------------------------------------------------

    def _choices(self, question: Choices, index: int) -> Iterator[Parts]:
        where = f"part {index + 1}"
        if not question.options:
            raise Inexpressible(f"{where}: a question needs at least one option")
        if any(not option.label.strip() for option in question.options):
            raise Inexpressible(f"{where}: an option has no label")
        if any(option.form for option in question.options):
            self._check_form(question, where)
            question = yield from self._with_header(question, index, beside=False)
        else:
            count, most = len(question.options), max(self._limits.choices, self._limits.list_choices)
            shown = "choices" in self._able.sends and count <= most and self._labels_fit(question)
            buttons = shown and as_buttons(question, self._limits)
            question = yield from self._with_header(question, index, beside=buttons)
            if not shown:
                self._note("choices_as_text", index, "This channel cannot show these options as buttons; they are sent as a numbered list.")
                yield from self._text(numbered(question), index)
                return
            if count > self._limits.choices:
                self._note("choices_as_list", index, f"More than {self._limits.choices} options: they open as a list.")
            question = question if buttons else self._cut(question, index)
        most_text = self._limits.choices_text or self._limits.text
        *before, last = split(question.text, most_text, self._limits.unit) if most_text else [question.text]
        if before:
            self._note("split", index, f"The question is longer than {most_text} {self._limits.unit.value}; its start is sent before it.")
        yield from ((Text(text=piece),) for piece in before)
        yield (replace(question, text=last),)

    def _check_form(self, question: Choices, where: str) -> None:
        limit = self._limits.form_label
        if not limit:
            raise Inexpressible(f"{where}: this channel has no forms")
        if len(question.options) > 1:
            raise Inexpressible(f"{where}: a form is the only option of its question")
        size = length(question.options[0].label, self._limits.unit)
        if size > limit:
            raise Inexpressible(f"{where}: the label that opens a form has {size} characters; at most {limit} are possible")

    def _with_header(self, question: Choices, index: int, *, beside: bool) -> Generator[Parts, None, Choices]:
        """The file above the question stays there if the channel can show it so (``beside``), else it goes before."""
        header = question.header_media
        if header is None:
            return question
        rule = rule_of(self._limits.choices_media, header) if beside else None
        if rule is not None:
            self._check_size(header, rule.max_bytes, f"part {index + 1} ({header.name or header.kind.value})")
            return question
        self._note("header_apart", index, "The file cannot stand above these options; it is sent before them.")
        yield (self._media(header, index),)
        return replace(question, header_media=None)

    def _cut(self, question: Choices, index: int) -> Choices:
        """A list's second lines, and the word that opens it, as long as they may be."""
        limits = self._limits
        options = tuple(replace(one, description=self._start(one.description, limits.list_description)) for one in question.options)
        found = replace(question, options=options, button=self._start(question.button, limits.list_button))
        if found != question:
            self._note("labels_cut", index, "Some lines of the list are longer than this channel shows; they are cut.")
        return found

    def _start(self, text: str, limit: int) -> str:
        return split(text, limit, self._limits.unit)[0] if limit and length(text, self._limits.unit) > limit else text

    def _labels_fit(self, question: Choices) -> bool:
        listed = len(question.options) > self._limits.choices
        limit = self._limits.list_label if listed else self._limits.choice_label
        if not limit or all(length(option.label, self._limits.unit) <= limit for option in question.options):
            return True
        # A label too long for a button may still fit a list.
        roomier = self._limits.list_label
        return not listed and roomier > limit and all(length(option.label, self._limits.unit) <= roomier for option in question.options)

    def _note(self, code: str, part: int, detail: str) -> None:
        self._notes.append(Note(code=code, part=part, detail=detail))


def as_buttons(question: Choices, limits: Limits) -> bool:
    """Does the question show its options at once, and not in a list that opens? Buttons have no second lines."""
    if limits.list_choices and any(option.description for option in question.options):
        return False
    fits = not limits.choice_label or all(length(option.label, limits.unit) <= limits.choice_label for option in question.options)
    return fits and len(question.options) <= limits.choices


def numbered(question: Choices) -> str:
    """A question for a channel without buttons: the answer is a number or a word."""
    lines = (f"{number}) {option.label}" for number, option in enumerate(question.options, 1))
    return "\n".join((question.text, *lines))


def location_text(place: Location) -> str:
    """A place in words, with a link that any phone opens."""
    link = f"https://www.openstreetmap.org/?mlat={place.latitude:.6f}&mlon={place.longitude:.6f}"
    return "\n".join(line for line in (place.name, place.address, link) if line)


def rule_of(rules: tuple[MediaRule, ...], media: Media) -> MediaRule | None:
    """The first rule that takes the file; if it is too large for all of them, the first for its type."""
    return _rule(rules, media.kind, media.mime, media.size) or _rule(rules, media.kind, media.mime)


def _rule(rules: tuple[MediaRule, ...], kind: MediaKind, mime: str, size: int = 0) -> MediaRule | None:
    bare = mime.partition(";")[0].strip().casefold()
    for rule in rules:
        if rule.kind is kind and (not rule.mimes or bare in rule.mimes) and not (rule.max_bytes and size > rule.max_bytes):
            return rule
    return None
