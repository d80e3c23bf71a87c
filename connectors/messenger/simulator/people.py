"""What people do, as the webhooks that Meta posts for it."""

import contextlib
import hashlib
import hmac
import json
import secrets
from collections.abc import Iterator
from typing import Any, Final

from connectors.messenger.simulator.account import Account
from connectors.simulator import Delivery, Line, Person, Phone, Webhooks

Json = dict[str, Any]

#: In place of a post's id: the person writes a post on the page. Only pages have these.
NEW_POST: Final = "new"


class People:
    """The provider's part of the control interface."""

    def __init__(self, account: Account, phone: Phone, webhooks: Webhooks, first_person: int) -> None:
        self._account = account
        self._phone = phone
        self._webhooks = webhooks
        self._next = first_person
        #: Root of the simulator, for addresses of files; known with the first request.
        self.root = ""
        self._held: list[tuple[str, Json]] | None = None

    # --- ids ----------------------------------------------------------------------------------------------------------------

    def new_id(self, name: str) -> str:  # noqa: ARG002  page-scoped ids say nothing
        """A page-scoped id."""
        self._next += 1
        return str(self._next)

    def new_line_id(self) -> str:
        """An id as messages have them, which here serves for comments too."""
        return ("m_" if self._account.platform == "messenger" else "aWdfZAG1faXRlbToxO") + secrets.token_urlsafe(24)

    # --- what people do -----------------------------------------------------------------------------------------------------

    async def wrote(self, person: Person, line: Line) -> None:
        """A private message, or a comment if it names a post; a post of their own if it names "new"."""
        if line.post == NEW_POST:
            line.post, line.extra["wall"] = line.id, True
        if line.post:
            self.comment(line, "add", person.id, person.name)
            return
        content: Json = {"mid": line.id}
        if line.text:
            content["text"] = line.text
        if line.files:
            content["attachments"] = [self.attachment(one) for one in line.files]
        if line.location is not None:
            place = {"lat": line.location["latitude"], "long": line.location["longitude"]}
            content.setdefault("attachments", []).append({"type": "location", "payload": {"coordinates": place}})
        if line.reply_to:
            content["reply_to"] = {"mid": line.reply_to}
        if payload := line.extra.get("payload"):
            content["quick_reply"] = {"payload": payload}
        self.element(person.id, message=content)

    async def edited(self, person: Person, line: Line) -> None:
        """Edits of comments are told to pages only."""
        if line.post:
            self.comment(line, "edited", person.id, person.name)
            return
        line.extra["edits"] = line.extra.get("edits", 0) + 1
        self.element(person.id, message_edit={"mid": line.id, "text": line.text, "num_edit": line.extra["edits"]})

    async def deleted(self, person: Person, line: Line) -> None:
        """Removed comments are told to pages only."""
        if line.post:
            self.comment(line, "remove", person.id, person.name)
        else:
            self.element(person.id, message={"mid": line.id, "is_deleted": True})

    async def reacted(self, person: Person, line: Line, emoji: str) -> None:
        action: Json = {"action": "react", "emoji": emoji, "reaction": "other"} if emoji else {"action": "unreact"}
        self.element(person.id, reaction={"mid": line.id, **action})

    async def pressed(self, person: Person, line: Line, option: dict[str, Any]) -> None:
        """A quick reply: its title is said, and its payload told; then the buttons are gone."""
        said = Line(
            id=self.new_line_id(), person=person.id, from_shop=False, at=self._phone.now(), text=option["label"],
            extra={"payload": option["id"]}, status="" if person.online else "waiting",
        )  # fmt: skip
        line.options = ()
        self._phone.change_line(line)
        self._phone.add_line(said)
        if person.online:
            await self.wrote(person, said)

    async def delivered(self, person: Person, lines: list[Line]) -> None:
        """Only Messenger tells of it."""
        mids = [line.id for line in lines if not line.post]
        if mids and self._account.platform == "messenger":
            self.element(person.id, delivery={"mids": mids, "watermark": self.milliseconds(max(line.at for line in lines))})

    async def read(self, person: Person, lines: list[Line]) -> None:
        """Messenger has a watermark, Instagram the newest message."""
        private = [line for line in lines if not line.post]
        if private and self._account.platform == "messenger":
            self.element(person.id, read={"watermark": self.milliseconds(self._phone.now())})
        for line in private if self._account.platform == "instagram" else ():
            self.element(person.id, read={"mid": line.id})

    async def blocked(self, person: Person) -> None:
        """Meta tells nobody; what is sent is refused."""

    # --- webhooks -----------------------------------------------------------------------------------------------------------

    def echo(self, line: Line, metadata: str, *, app: bool) -> None:
        """What our page wrote, told to its own app as well. Instagram says neither which app nor what metadata."""
        content: Json = {"mid": line.id, "is_echo": True}
        if line.text:
            content["text"] = line.text
        if line.files:
            content["attachments"] = [self.attachment(one) for one in line.files]
        if self._account.platform == "messenger":
            content["app_id"] = int(self._account.app_id) if app else 263902037430900
            if metadata:
                content["metadata"] = metadata
        self._post(line.person, "messaging", self._between(self._account.id, line.person, {"message": content}))

    def element(self, person: str, **content: Any) -> None:
        """Something that a person did in private."""
        self._post(person, "messaging", self._between(person, self._account.id, content))

    def comment(self, line: Line, verb: str, author: str, name: str) -> None:
        """Something that happened to a comment."""
        if self._account.platform == "instagram":
            if verb != "add":
                return
            value: Json = {
                "id": line.id,
                "text": line.text,
                "from": {"id": author, "username": name.lower().replace(" ", ".")},
                "media": {"id": line.post, "media_product_type": "FEED"},
            }
            if line.reply_to:
                value["parent_id"] = line.reply_to
            self._post(line.person, "changes", {"field": "comments", "value": value})
            return
        if line.extra.get("wall"):
            self._on_the_wall(line, verb, author, name)
            return
        value = {
            "item": "comment",
            "verb": verb,
            "comment_id": line.id,
            "post_id": f"{self._account.id}_{line.post}",
            "parent_id": line.reply_to or f"{self._account.id}_{line.post}",
            "created_time": int(line.at),
            "from": {"id": author, "name": name},
            "post": {"permalink_url": f"https://www.facebook.com/{self._account.id}/posts/{line.post}"},
        }
        if verb != "remove":
            value["message"] = line.text
        if line.files and verb != "remove":
            value["photo"] = self.file_url(line.files[0])
        self._post(line.person, "changes", {"field": "feed", "value": value})

    def _on_the_wall(self, line: Line, verb: str, author: str, name: str) -> None:
        """Something that happened to a visitor's post."""
        value: Json = {
            "item": "photo" if line.files else "status",
            "verb": verb,
            "post_id": f"{self._account.id}_{line.id}",
            "created_time": int(line.at),
            "from": {"id": author, "name": name},
            "published": 1,
            "message": line.text,
        }
        if line.files:
            value["link"] = self.file_url(line.files[0])
        self._post(line.person, "changes", {"field": "feed", "value": value})

    @contextlib.contextmanager
    def batch(self) -> Iterator[None]:
        """All that happens meanwhile goes out as one webhook, an element each."""
        self._held = []
        try:
            yield
        finally:
            held, self._held = self._held, None
            if held:
                places: dict[str, list[Json]] = {}
                for place, element in held:
                    places.setdefault(place, []).append(element)
                self.post_body([{"id": self._account.id, "time": self.milliseconds(self._phone.now()), **places}], "batch")

    def post_body(self, entry: list[Json], lane: str) -> None:
        """Signs and posts a webhook with these entries."""
        if not self._account.webhook_url:
            return
        body = json.dumps({"object": self._account.object, "entry": entry}).encode()
        signature = hmac.new(self._account.app_secret.encode(), body, hashlib.sha256).hexdigest()
        headers = {"Content-Type": "application/json", "X-Hub-Signature-256": f"sha256={signature}"}
        self._webhooks.post(Delivery(url=self._account.webhook_url, body=body, headers=headers, lane=lane))

    def _post(self, person: str, place: str, element: Json) -> None:
        if self._held is not None:
            self._held.append((place, element))
            return
        self.post_body([{"id": self._account.id, "time": self.milliseconds(self._phone.now()), place: [element]}], person)

    def _between(self, sender: str, recipient: str, content: Json) -> Json:
        ids = {"sender": {"id": sender}, "recipient": {"id": recipient}}
        return {**ids, "timestamp": self.milliseconds(self._phone.now()), **content}

    def attachment(self, file: str) -> Json:
        """A file that somebody sent, as webhooks show it."""
        mime = self._phone.files[file].mime
        kind = mime.partition("/")[0]
        return {"type": kind if kind in {"image", "video", "audio"} else "file", "payload": {"url": self.file_url(file)}}

    def file_url(self, file: str) -> str:
        """Where it can be had without credentials."""
        name = self._phone.files[file].name or "file"
        return f"{self.root}/cdn/{file}/{name}"

    def milliseconds(self, seconds: float) -> int:
        """As Meta counts."""
        return int(seconds * 1000)
