"""The control interface: play the shopper, look at the phone, break things. JSON in, JSON out; no password: keep it on loopback.

    GET  state                      {features, people, lines, pos}
    GET  events?after=N&wait=S      {pos, items}; waits up to S (25) seconds for the first
    POST people                     {name, id?, language?} -> {id}; without an id the provider gives one
    POST people/{id}/messages       {text?, files?: [{data, mime, name?}], location?, contact?, subject?, reply_to?, post?} -> {id}
    POST people/{id}/edit           {line, text};  delete {line};  react {line, emoji};  press {line, option}
    POST people/{id}/read           {}: they looked at everything
    POST people/{id}/network        {online};  block {blocked}
    GET  file/{id}                  the bytes
    POST faults                     {kind, on?, count?, seconds?, code?} -> {due};  DELETE
    GET  ledger                     {items}: every accepted sending, in order

All below ``/control``. Files are base64, with or without ``data:…;base64,``. Errors are ``application/problem+json`` with ``detail``.
"""

import base64
import binascii
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Final, Protocol, TypeVar

import msgspec
from aiohttp import web
from msgspec import Meta, Struct

from connectors.simulator.faults import KINDS, Fault, Faults
from connectors.simulator.phone import Line, Person, Phone

EVENTS_WAIT: Final = 25.0
_BODY_BYTES: Final = 150 * 1024 * 1024
_SHOWN_INLINE: Final = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})

T = TypeVar("T", bound=Struct)


class NewFile(Struct, forbid_unknown_fields=True):
    data: str
    mime: str
    name: str = ""


class Point(Struct, forbid_unknown_fields=True):
    latitude: Annotated[float, Meta(ge=-90, le=90)]
    longitude: Annotated[float, Meta(ge=-180, le=180)]
    name: str = ""
    address: str = ""


class Card(Struct, forbid_unknown_fields=True):
    name: str
    phone: str


class NewMessage(Struct, forbid_unknown_fields=True):
    """What a person sends."""

    text: str = ""
    files: list[NewFile] = []
    location: Point | None = None
    contact: Card | None = None
    subject: str = ""
    reply_to: str = ""
    post: str = ""


class _NewPerson(Struct, forbid_unknown_fields=True):
    name: str
    id: str = ""
    language: str = "en"


class _Nothing(Struct, forbid_unknown_fields=True):
    pass


class _Edit(Struct, forbid_unknown_fields=True):
    line: str
    text: str


class _OfLine(Struct, forbid_unknown_fields=True):
    line: str


class _React(Struct, forbid_unknown_fields=True):
    line: str
    emoji: str = ""


class _Press(Struct, forbid_unknown_fields=True):
    line: str
    option: str


class _Network(Struct, forbid_unknown_fields=True):
    online: bool


class _Block(Struct, forbid_unknown_fields=True):
    blocked: bool


class _NewFault(Struct, forbid_unknown_fields=True):
    kind: str
    on: str = ""
    count: Annotated[int, Meta(ge=1, le=100_000)] = 1
    seconds: Annotated[float, Meta(ge=0, le=3600)] = 1.0
    code: int = 0


class Refused(Exception):
    """A person cannot do this; the message says why."""


class Provider(Protocol):
    """The part of a provider that turns what people do into its webhooks. Each method may raise :class:`Refused`."""

    def new_id(self, name: str) -> str:
        """An address for a new person."""
        ...

    def new_line_id(self) -> str:
        """An id for a new message."""
        ...

    async def wrote(self, person: Person, line: Line) -> None:
        """Their message has left the phone."""
        ...

    async def edited(self, person: Person, line: Line) -> None: ...

    async def deleted(self, person: Person, line: Line) -> None: ...

    async def reacted(self, person: Person, line: Line, emoji: str) -> None: ...

    async def pressed(self, person: Person, line: Line, option: dict[str, Any]) -> None: ...

    async def delivered(self, person: Person, lines: list[Line]) -> None:
        """These lines of the shop have reached the phone, which has network again."""
        ...

    async def read(self, person: Person, lines: list[Line]) -> None:
        """They looked at these lines of the shop."""
        ...

    async def blocked(self, person: Person) -> None:
        """``person.blocked`` has changed."""
        ...


class Control:
    """Handlers of the control interface over the phones of one provider."""

    def __init__(self, phone: Phone, provider: Provider, faults: Faults) -> None:
        self._phone = phone
        self._provider = provider
        self._faults = faults

    def routes(self) -> list[web.RouteDef]:
        """All of it, below ``/control``."""
        person = "/control/people/{id}"
        return [
            web.get("/control/state", self._state),
            web.get("/control/events", self._events),
            web.get("/control/ledger", self._ledger),
            web.get("/control/file/{file}", self._file),
            web.post("/control/people", self._add_person),
            web.post(f"{person}/messages", self._message),
            web.post(f"{person}/edit", self._act(_Edit, self._edit)),
            web.post(f"{person}/delete", self._act(_OfLine, self._delete)),
            web.post(f"{person}/react", self._act(_React, self._react)),
            web.post(f"{person}/press", self._act(_Press, self._press)),
            web.post(f"{person}/read", self._act(_Nothing, self._read)),
            web.post(f"{person}/network", self._act(_Network, self._network)),
            web.post(f"{person}/block", self._act(_Block, self._block)),
            web.post("/control/faults", self._add_fault),
            web.delete("/control/faults", self._clear_faults),
        ]

    # --- looking --------------------------------------------------------------------------------------------------------

    async def _state(self, _: web.Request) -> web.Response:
        return web.json_response(self._phone.snapshot())

    async def _events(self, request: web.Request) -> web.Response:
        after = _integer(request.query.get("after", "0"), "after")
        wait = min(_integer(request.query.get("wait", str(int(EVENTS_WAIT))), "wait"), EVENTS_WAIT)
        items = await self._phone.changes(after, wait)
        return web.json_response({"pos": items[-1]["pos"] if items else self._phone.pos, "items": items})

    async def _ledger(self, _: web.Request) -> web.Response:
        return web.json_response({"items": self._phone.ledger})

    async def _file(self, request: web.Request) -> web.Response:
        file = self._phone.files.get(request.match_info["file"])
        if file is None:
            raise refused(404, "there is no such file")
        shown = file.mime if file.mime in _SHOWN_INLINE else "application/octet-stream"
        headers = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "sandbox; default-src 'none'"}
        return web.Response(body=file.data, content_type=shown, headers=headers)

    # --- being the shopper ----------------------------------------------------------------------------------------------

    async def _add_person(self, request: web.Request) -> web.Response:
        new = await read_json(request, _NewPerson)
        if not new.name.strip():
            raise refused(400, "name is empty")
        person = Person(id=new.id or self._provider.new_id(new.name), name=new.name, language=new.language)
        return web.json_response({"id": self._phone.add_person(person).id}, status=201)

    async def _message(self, request: web.Request) -> web.Response:
        person = self._person(request)
        new = await read_json(request, NewMessage)
        if not (new.text or new.files or new.location or new.contact):
            raise refused(400, "give a text, files, a location or a contact")
        files = tuple(self._phone.add_file(_bytes(file.data), file.mime, file.name).id for file in new.files)
        line = Line(
            id=self._provider.new_line_id(),
            person=person.id,
            from_shop=False,
            at=self._phone.now(),
            text=new.text,
            subject=new.subject,
            files=files,
            location=msgspec.to_builtins(new.location) if new.location else None,
            contact=msgspec.to_builtins(new.contact) if new.contact else None,
            reply_to=new.reply_to,
            post=new.post,
            status="" if person.online else "waiting",
        )
        self._phone.add_line(line)
        if person.online:
            await self._say(self._provider.wrote(person, line))
        return web.json_response({"id": line.id}, status=201)

    async def _edit(self, person: Person, body: _Edit) -> None:
        line = self._own(person, body.line)
        line.text, line.edited = body.text, True
        await self._provider.edited(person, line)
        self._phone.change_line(line)

    async def _delete(self, person: Person, body: _OfLine) -> None:
        line = self._own(person, body.line)
        line.deleted = True
        await self._provider.deleted(person, line)
        self._phone.change_line(line)

    async def _react(self, person: Person, body: _React) -> None:
        line = self._line(person, body.line)
        line.reactions = {person.id: body.emoji} if body.emoji else {}
        await self._provider.reacted(person, line, body.emoji)
        self._phone.change_line(line)

    async def _press(self, person: Person, body: _Press) -> None:
        line = self._line(person, body.line)
        for option in line.options:
            if option["id"] == body.option:
                await self._provider.pressed(person, line, option)
                return
        raise Refused("the message has no such option")

    async def _read(self, person: Person, _: _Nothing) -> None:
        await self._see(person)

    async def _see(self, person: Person) -> None:
        if not person.online:
            raise Refused("the phone has no network")
        fresh = [line for line in self._of_shop(person) if line.status == "delivered"]
        for line in fresh:
            line.status = "read"
            self._phone.change_line(line)
        if fresh:
            await self._provider.read(person, fresh)

    async def _network(self, person: Person, body: _Network) -> None:
        if person.online == body.online:
            return
        person.online = body.online
        self._phone.change_person(person)
        if not person.online:
            return
        for line in [line for line in self._phone.lines.values() if line.person == person.id and line.status == "waiting"]:
            line.status = ""
            self._phone.change_line(line)
            await self._provider.wrote(person, line)
        arrived = [line for line in self._of_shop(person) if line.status == "sent"]
        for line in arrived:
            line.status = "delivered"
            self._phone.change_line(line)
        if arrived:
            await self._provider.delivered(person, arrived)

    async def _block(self, person: Person, body: _Block) -> None:
        if person.blocked != body.blocked:
            person.blocked = body.blocked
            self._phone.change_person(person)
            await self._provider.blocked(person)

    # --- breaking things ------------------------------------------------------------------------------------------------

    async def _add_fault(self, request: web.Request) -> web.Response:
        new = await read_json(request, _NewFault)
        if new.kind not in KINDS:
            raise refused(400, f"kind must be one of {', '.join(KINDS)}")
        self._faults.add(Fault(kind=new.kind, on=new.on, count=new.count, seconds=new.seconds, code=new.code))
        return self._due()

    async def _clear_faults(self, _: web.Request) -> web.Response:
        self._faults.clear()
        return self._due()

    def _due(self) -> web.Response:
        return web.json_response({"due": [{name: getattr(one, name) for name in Fault.__slots__} for one in self._faults.due()]})

    # --- help -----------------------------------------------------------------------------------------------------------

    def _act(self, body: type[T], act: Callable[[Person, T], Awaitable[None]]) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handle(request: web.Request) -> web.Response:
            person = self._person(request)
            await self._say(act(person, await read_json(request, body)))
            return web.json_response({})

        return handle

    async def _say(self, work: Awaitable[None]) -> None:
        try:
            await work
        except Refused as error:
            raise refused(409, str(error)) from None

    def _person(self, request: web.Request) -> Person:
        person = self._phone.people.get(request.match_info["id"])
        if person is None:
            raise refused(404, "there is no such person")
        return person

    def _line(self, person: Person, line_id: str) -> Line:
        line = self._phone.lines.get(line_id)
        if line is None or line.person != person.id:
            raise Refused("there is no such message on this phone")
        return line

    def _own(self, person: Person, line_id: str) -> Line:
        line = self._line(person, line_id)
        if line.from_shop:
            raise Refused("only one's own messages can be changed")
        return line

    def _of_shop(self, person: Person) -> list[Line]:
        return [line for line in self._phone.lines.values() if line.person == person.id and line.from_shop]


async def read_json(request: web.Request, wanted: type[T]) -> T:
    """The body. Raises an HTTP refusal that says what is wrong with it."""
    # Another site's page can post forms to a local address, but not this type without asking first.
    if request.content_type != "application/json":
        raise refused(415, "send application/json")
    data = bytearray()
    async for chunk in request.content.iter_chunked(1 << 16):
        data += chunk
        if len(data) > _BODY_BYTES:
            raise refused(400, "the body is too large")
    try:
        return msgspec.json.decode(bytes(data), type=wanted)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise refused(400, str(error)) from None


def refused(status: int, detail: str) -> web.HTTPException:
    """An ``application/problem+json`` answer, to be raised."""
    kinds: dict[int, type[web.HTTPException]] = {
        400: web.HTTPBadRequest,
        404: web.HTTPNotFound,
        409: web.HTTPConflict,
        415: web.HTTPUnsupportedMediaType,
    }
    body = msgspec.json.encode({"status": status, "detail": detail}).decode()
    return kinds[status](text=body, content_type="application/problem+json")


def _bytes(text: str) -> bytes:
    try:
        data = base64.b64decode(text.rpartition(",")[2], validate=True)
    except binascii.Error:
        raise refused(400, "a file must be base64") from None
    if not data:
        raise refused(400, "a file must not be empty")
    return data


def _integer(text: str, name: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 18):
        raise refused(400, f"{name} must be a number from 0")
    return int(text)
