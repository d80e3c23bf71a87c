"""People and what stands on their phones. Memory is bounded; nothing is shared between two simulators."""

import asyncio
import hashlib
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

#: Kept of each; the oldest go first.
MAX_LINES: Final = 1000
MAX_EVENTS: Final = 10_000
MAX_FILE_BYTES: Final = 256 * 1024 * 1024

Json = dict[str, Any]


@dataclass(slots=True, kw_only=True)
class Person:
    """Somebody who writes to the shop."""

    #: Their address in the provider's words: a number, a page-scoped id, a mail address.
    id: str
    name: str
    language: str = "en"
    #: False: the phone has no network. What the shop sends waits; what the person writes leaves later.
    online: bool = True
    #: They have told the provider that they want nothing from the shop.
    blocked: bool = False

    def view(self) -> Json:
        """As the control interface shows it."""
        return {"id": self.id, "name": self.name, "language": self.language, "online": self.online, "blocked": self.blocked}


@dataclass(slots=True, kw_only=True)
class File:
    """Bytes that somebody sent."""

    id: str
    data: bytes
    mime: str
    name: str = ""

    def view(self) -> Json:
        """Without the bytes."""
        return {"id": self.id, "mime": self.mime, "name": self.name, "size": len(self.data)}


@dataclass(slots=True, kw_only=True)
class Line:
    """One message on a phone, in either direction."""

    #: The provider's id.
    id: str
    person: str
    from_shop: bool
    #: Seconds since 1970.
    at: float
    text: str = ""
    subject: str = ""
    files: tuple[str, ...] = ()
    location: Json | None = None
    contact: Json | None = None
    #: ``{id, label, description?}`` each; on a phone they are buttons.
    options: tuple[Json, ...] = ()
    reply_to: str = ""
    #: A comment that everybody reads, below this post.
    post: str = ""
    #: Of a line of the shop: ``sent``, ``delivered``, ``read``, ``failed``; of a person's: ``waiting`` (no network) or empty.
    status: str = ""
    edited: bool = False
    deleted: bool = False
    reactions: dict[str, str] = field(default_factory=dict)
    #: What else the provider needs to know of it; shown as it is.
    extra: Json = field(default_factory=dict)


class Phone:
    """All phones of one simulated provider."""

    def __init__(self, *, now: Callable[[], float], features: tuple[str, ...] = ()) -> None:
        self.now = now
        #: What a person can do here: ``files``, ``edit``, ``delete``, ``react``, ``read``, ``press``, ``location``, ``contact``,
        #: ``comment``, ``subject``.
        self.features = features
        self.people: dict[str, Person] = {}
        self.lines: OrderedDict[str, Line] = OrderedDict()
        self.files: OrderedDict[str, File] = OrderedDict()
        #: Every sending that was accepted, in order: what was promised to the shop.
        self.ledger: list[Json] = []
        self.pos = 0
        self._events: deque[Json] = deque(maxlen=MAX_EVENTS)
        self._changed = asyncio.Event()
        self._file_bytes = 0

    def add_person(self, person: Person) -> Person:
        """The person of that id; made if there is none."""
        known = self.people.setdefault(person.id, person)
        if known is person:
            self._announce("person.added", person=person.view())
        return known

    def change_person(self, person: Person) -> None:
        """Says that something about them has changed."""
        self._announce("person.changed", person=person.view())

    def add_line(self, line: Line, *, promised: bool = True) -> Line:
        """Puts a message on the person's phone. One from the shop also goes into the ledger, unless the provider itself wrote it."""
        self.lines[line.id] = line
        if len(self.lines) > MAX_LINES:
            self.lines.popitem(last=False)
        if line.from_shop and promised:
            entry = {
                "n": len(self.ledger) + 1,
                "id": line.id,
                "to": line.person,
                "text": line.text,
                "files": len(line.files),
                "at": line.at,
            }
            self.ledger.append(entry)
        self._announce("line.added", line=self.view(line))
        return line

    def change_line(self, line: Line) -> None:
        """Says that a message looks different now."""
        self._announce("line.changed", line=self.view(line))

    def add_file(self, data: bytes, mime: str, name: str = "") -> File:
        """Keeps a file; the same bytes of the same kind and name are one."""
        mark = hashlib.sha256(data + f"\0{mime}\0{name}".encode()).hexdigest()[:24]
        known = self.files.get(mark)
        if known is not None:
            return known
        file = File(id=mark, data=data, mime=mime, name=name)
        self.files[mark] = file
        self._file_bytes += len(data)
        while self._file_bytes > MAX_FILE_BYTES and len(self.files) > 1:
            _, gone = self.files.popitem(last=False)
            self._file_bytes -= len(gone.data)
        return file

    def view(self, line: Line) -> Json:
        """A line as the control interface shows it; what is empty is left out."""
        fields = {name: getattr(line, name) for name in Line.__slots__}
        fields["files"] = [self.files[one].view() for one in line.files if one in self.files]
        fields["options"] = list(line.options)
        always = {"id", "person", "from_shop", "at"}
        return {name: value for name, value in fields.items() if name in always or value}

    def snapshot(self) -> Json:
        """Everything, with the position from which :meth:`changes` goes on."""
        return {
            "features": list(self.features),
            "people": [person.view() for person in self.people.values()],
            "lines": [self.view(line) for line in self.lines.values()],
            "pos": self.pos,
        }

    async def changes(self, after: int, seconds: float) -> list[Json]:
        """Events after that position; waits so long for the first."""
        found = self._after(after)
        if found or seconds <= 0:
            return found
        try:
            async with asyncio.timeout(seconds):
                while not (found := self._after(after)):
                    await self._changed.wait()
        except TimeoutError:
            pass
        return found

    def _after(self, pos: int) -> list[Json]:
        return [event for event in self._events if event["pos"] > pos]

    def _announce(self, type_: str, **content: Json) -> None:
        self.pos += 1
        self._events.append({"pos": self.pos, "type": type_, **content})
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
