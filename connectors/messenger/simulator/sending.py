"""The Send API, and public answers to comments, with Meta's limits."""

import json
from collections import deque
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
from aiohttp import web

from connectors.messenger.simulator.account import COMMENT_WINDOW, FILE_BYTES, HUMAN_WINDOW, QUICK_REPLIES, STANDARD_WINDOW, Account
from connectors.messenger.simulator.graph import GraphRefusal, answer
from connectors.messenger.simulator.people import People
from connectors.simulator import Line, Person, Phone
from connectors.simulator.phone import File

Json = dict[str, Any]

#: Calls a second: of text, and of films and sound.
_TEXTS: Final = 300
_FILMS: Final = 10


@dataclass(frozen=True, slots=True)
class Received:
    """A body, however it came, and the file in it."""

    fields: Json
    file: File | None = None


class Sending:
    """What the shop sends."""

    def __init__(self, account: Account, phone: Phone, people: People) -> None:
        self._account = account
        self._phone = phone
        self._people = people
        self._answered: set[str] = set()
        self._times: dict[bool, deque[float]] = {True: deque(maxlen=_FILMS), False: deque(maxlen=_TEXTS)}
        #: Sender actions, oldest first: (person, action).
        self.actions: list[tuple[str, str]] = []

    # --- private ------------------------------------------------------------------------------------------------------------

    async def messages(self, request: web.Request) -> web.Response:
        """``POST /<node>/messages``."""
        if request.match_info["node"] not in {self._account.messages_below, "me"}:
            raise GraphRefusal(100, "Object does not exist")
        received = await self._read(request)
        body = received.fields
        recipient = body.get("recipient") or {}
        if action := body.get("sender_action"):
            return self._act(recipient, str(action), body)
        person = self._reader(recipient, body)
        if person.blocked:
            raise GraphRefusal(551)
        message = body.get("message") or {}
        files = await self._files(message, received.file)
        text, replies = str(message.get("text") or ""), message.get("quick_replies") or []
        if bool(text) == bool(files):
            raise GraphRefusal(100, "Exactly one of text and attachment must be given")
        if not self._account.text_fits(text) or len(replies) > QUICK_REPLIES:
            raise GraphRefusal(100, "Length of param message[text] or number of quick_replies is too large")
        self._hurry(films=any(file.mime.startswith(("video/", "audio/")) for file in files))
        if comment := recipient.get("comment_id") or recipient.get("post_id"):
            self._answered.add(comment)
        options = tuple({"id": one["payload"], "label": one["title"]} for one in replies)
        line = self.put(person, text=text, files=tuple(file.id for file in files), options=options)
        line.extra["metadata"] = message.get("metadata", "")
        self._people.echo(line, str(message.get("metadata") or ""), app=True)
        if line.status == "delivered":
            await self._people.delivered(person, [line])
        found = {"recipient_id": person.id, "message_id": line.id}
        return answer(found | ({"attachment_id": files[0].id} if files else {}))

    def put(self, person: Person, *, text: str = "", files: tuple[str, ...] = (), options: tuple[Json, ...] = ()) -> Line:
        """A private message of the shop on the person's phone."""
        status = "delivered" if person.online else "sent"
        line = Line(
            id=self._people.new_line_id(), person=person.id, from_shop=True, at=self._phone.now(),
            text=text, files=files, options=options, status=status,
        )  # fmt: skip
        return self._phone.add_line(line)

    def _act(self, recipient: Json, action: str, body: Json) -> web.Response:
        if set(body) - {"recipient", "sender_action"}:
            raise GraphRefusal(100, "Cannot send both message and state at the same time")
        person = self._person(recipient)
        self.actions.append((person.id, action))
        return answer({"recipient_id": person.id})

    def _reader(self, recipient: Json, body: Json) -> Person:
        """Who gets it, if they may be written to now."""
        now = self._phone.now()
        if comment := recipient.get("comment_id") or recipient.get("post_id"):
            line = self._published(comment)
            wall = line is not None and bool(line.extra.get("wall"))
            if line is None or not line.post or line.from_shop or line.deleted or wall is not ("post_id" in recipient):
                raise GraphRefusal(2018292)
            if comment in self._answered:
                raise GraphRefusal(10900)
            if now - line.at > COMMENT_WINDOW:
                raise GraphRefusal(10901)
            return self._phone.people[line.person]
        person = self._person(recipient)
        private = [line.at for line in self._phone.lines.values() if line.person == person.id and not line.from_shop and not line.post]
        age = now - max(private) if private else float("inf")
        tagged = body.get("messaging_type") == "MESSAGE_TAG" and body.get("tag") == "HUMAN_AGENT"
        if age > (HUMAN_WINDOW if tagged else STANDARD_WINDOW):
            raise GraphRefusal(2018278 if self._account.platform == "messenger" else 2534022, "Sent outside of allowed window.")
        return person

    def _published(self, id_: str) -> Line | None:
        """A comment, or a visitor's post by its long id."""
        return self._phone.lines.get(id_) or self._phone.lines.get(id_.removeprefix(f"{self._account.id}_"))

    def _person(self, recipient: Json) -> Person:
        person = self._phone.people.get(str(recipient.get("id")))
        if person is None:
            raise GraphRefusal(2018001, "No matching user found")
        return person

    def _hurry(self, *, films: bool) -> None:
        """No more than so many a second."""
        if not self._account.rate_limits:
            return
        times, now = self._times[films], self._phone.now()
        if len(times) == times.maxlen and now - times[0] < 1:
            raise GraphRefusal(613)
        times.append(now)

    # --- files --------------------------------------------------------------------------------------------------------------

    async def attachments(self, request: web.Request) -> web.Response:
        """``POST /<node>/message_attachments``."""
        received = await self._read(request)
        if received.fields.get("platform", "messenger") != self._account.platform:
            raise GraphRefusal(100, "platform")
        files = await self._files(received.fields.get("message") or {}, received.file)
        if not files:
            raise GraphRefusal(100, "a file is missing")
        return answer({"attachment_id": files[0].id})

    async def _files(self, message: Json, uploaded: File | None) -> list[File]:
        attachment = message.get("attachment")
        if attachment is None:
            return []
        payload = attachment.get("payload") or {}
        if uploaded is not None:
            return [uploaded]
        if known := self._phone.files.get(str(payload.get("attachment_id"))):
            return [known]
        if not payload.get("url"):
            raise GraphRefusal(100, "a file is missing")
        try:
            async with aiohttp.ClientSession() as session, session.get(str(payload["url"])) as reply:
                if reply.status != 200:
                    raise GraphRefusal(100, "Failed to fetch the file from the URL")
                data = await reply.read()
                return [self._keep(data, reply.content_type, "")]
        except (aiohttp.ClientError, OSError):
            raise GraphRefusal(100, "Failed to fetch the file from the URL") from None

    def _keep(self, data: bytes, mime: str, name: str) -> File:
        if not 0 < len(data) <= FILE_BYTES:
            raise GraphRefusal(100, "Attachment size exceeds allowable limit")
        return self._phone.add_file(data, mime, name)

    async def _read(self, request: web.Request, name: str = "filedata") -> Received:
        """JSON, or a form whose fields are JSON."""
        if not request.content_type.startswith("multipart/"):
            try:
                found = json.loads(await request.read())
            except ValueError:
                raise GraphRefusal(100, "not JSON") from None
            return Received(found if isinstance(found, dict) else {})
        form = await request.post()
        fields: Json = {}
        for field, value in form.items():
            if isinstance(value, str):
                fields[field] = json.loads(value) if value.startswith(("{", "[")) else value
        upload = form.get(name)
        if not isinstance(upload, web.FileField):
            return Received(fields)
        return Received(fields, self._keep(upload.file.read(), upload.content_type, upload.filename))

    # --- public -------------------------------------------------------------------------------------------------------------

    async def comments(self, request: web.Request) -> web.Response:
        """``POST /<comment>/comments`` of a page, ``/replies`` of Instagram."""
        place = "comments" if self._account.platform == "messenger" else "replies"
        asked = self._published(request.match_info["node"])
        if asked is None or not asked.post or asked.deleted or not request.path.endswith(place):
            raise GraphRefusal(100, "Object does not exist")
        received = await self._read(request, "source")
        text, photo = str(received.fields.get("message") or ""), received.file
        if not text and photo is None:
            raise GraphRefusal(100, "message is missing")
        if photo is not None and (self._account.platform != "messenger" or not photo.mime.startswith("image/")):
            raise GraphRefusal(100, "source is no photo, or not possible here")
        person = self._phone.people[asked.person]
        line = Line(
            id=self._people.new_line_id(), person=person.id, from_shop=True, at=self._phone.now(),
            text=text, files=(photo.id,) if photo else (), post=asked.post, reply_to=asked.id, status="delivered",
        )  # fmt: skip
        self._phone.add_line(line)
        self._people.comment(line, "add", self._account.id, self._account.name)
        return answer({"id": line.id})
