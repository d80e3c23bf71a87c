"""What people do, as WhatsApp's webhooks."""

import hashlib
import json
from typing import Any, Final

from connectors.meta.simulator import Hook, Lookaside
from connectors.simulator.control import Refused
from connectors.simulator.phone import Line, Person
from connectors.whatsapp.people import is_user_id
from connectors.whatsapp.simulator.state import World

Json = dict[str, Any]

_KINDS: Final = {"image/jpeg": "image", "image/png": "image", "image/webp": "sticker"}


class WhatsApp:
    """Implements ``connectors.simulator.control.Provider``."""

    def __init__(self, world: World, hook: Hook, files: Lookaside) -> None:
        self._world = world
        self._hook = hook
        self._files = files
        #: Leave out the user ids, as before 2026.
        self.user_ids = True

    def new_id(self, name: str) -> str:
        number = int.from_bytes(hashlib.sha256(f"{name}{len(self._world.phone.people)}".encode()).digest()[:4]) % 10_000_000
        return f"39351{number:07d}"

    def new_line_id(self) -> str:
        return self._world.new_message_id()

    # --- people write -----------------------------------------------------------------------------------------------------

    async def wrote(self, person: Person, line: Line) -> None:
        self._world.wrote[person.id] = self._world.now()
        contents = self._contents(line)
        for index, content in enumerate(contents):
            id_ = line.id if index == 0 else f"{line.id}.{index}"
            # The pictures of an album come on ways of their own, and nothing says that they belong together.
            lane = f"{person.id}:{index}" if len(contents) > 1 else person.id
            self._post(person, {"messages": [self._message(person, id_, line, content)]}, lane)

    async def edited(self, person: Person, line: Line) -> None:
        edit = {"original_message_id": line.id, "message": {"type": "text", "text": {"body": line.text}}}
        self._about(person, {"type": "edit", "edit": edit})

    async def deleted(self, person: Person, line: Line) -> None:
        self._about(person, {"type": "revoke", "revoke": {"original_message_id": line.id}})

    async def reacted(self, person: Person, line: Line, emoji: str) -> None:
        reaction: Json = {"message_id": line.id} | ({"emoji": emoji} if emoji else {})
        self._about(person, {"type": "reaction", "reaction": reaction})

    async def pressed(self, person: Person, line: Line, option: Json) -> None:
        self._world.wrote[person.id] = self._world.now()
        if line.extra.get("interactive") == "flow":
            # A form with one question, filled in.
            answers = json.dumps({"flow_token": option["id"], "size": "42"})
            form = {"name": "flow", "body": "Sent", "response_json": answers}
            content = {"type": "interactive", "interactive": {"type": "nfm_reply", "nfm_reply": form}, "context": self._context(line.id)}
            self._about(person, content)
            return
        kind = f"{line.extra.get('interactive', 'button')}_reply"
        reply = {"id": option["id"], "title": option["label"]}
        if kind == "list_reply" and option.get("description"):
            reply["description"] = option["description"]
        self._about(person, {"type": "interactive", "interactive": {"type": kind, kind: reply}, "context": self._context(line.id)})

    def _about(self, person: Person, content: Json) -> None:
        line = Line(id=self._world.new_message_id(), person=person.id, from_shop=False, at=self._world.now())
        self._post(person, {"messages": [self._message(person, line.id, line, content)]}, person.id)

    def _message(self, person: Person, id_: str, line: Line, content: Json) -> Json:
        message: Json = {"id": id_, "timestamp": str(int(line.at)), **self._from(person, "from"), **content}
        if line.reply_to:
            message["context"] = self._context(line.reply_to)
        return message

    def _context(self, id_: str) -> Json:
        return {"from": self._world.business.display_phone_number, "id": id_}

    def _contents(self, line: Line) -> list[Json]:
        if line.files:
            return [self._file(file_id, line.text if index == 0 else "") for index, file_id in enumerate(line.files)]
        if line.location:
            return [{"type": "location", "location": {name: value for name, value in line.location.items() if value != ""}}]
        if line.contact:
            card = {"name": {"formatted_name": line.contact["name"]}, "phones": [{"phone": line.contact["phone"], "type": "CELL"}]}
            return [{"type": "contacts", "contacts": [card]}]
        return [{"type": "text", "text": {"body": line.text}}]

    def _file(self, file_id: str, caption: str) -> Json:
        file = self._world.phone.files[file_id]
        bare = file.mime.partition(";")[0]
        kind = _KINDS.get(bare) or (bare.partition("/")[0] if bare.startswith(("audio/", "video/")) else "document")
        content: Json = {"id": self._files.add(file), "mime_type": file.mime, "sha256": hashlib.sha256(file.data).hexdigest()}
        if caption and kind not in {"audio", "sticker"}:
            content["caption"] = caption
        if kind == "document":
            content["filename"] = file.name
        if kind == "audio":
            content["voice"] = bare == "audio/ogg"
        return {"type": kind, kind: content}

    # --- our messages arrive ----------------------------------------------------------------------------------------------

    def arrive(self, line: Line, later: int = 0) -> None:
        """A message was taken: say so, and put it on the phone if it can get there. ``later``: it fails with that code."""
        person = self._world.phone.people.get(line.person)
        code = later or self._obstacle(line, person)
        if code:
            line.status = "failed"
            self.status(line, "failed", code)
            return
        assert person is not None
        self.status(line, "sent")
        if person.online:
            line.status = "delivered"
            self.status(line, "delivered")

    def _obstacle(self, line: Line, person: Person | None) -> int:
        if person is None:
            return 131026
        template = line.extra.get("type") == "template"
        if template:
            return 131050 if person.blocked else 0
        return 0 if self._world.session_open(person.id) else 131047

    def status(self, line: Line, status: str, code: int = 0) -> None:
        """One status of a message of ours."""
        person = self._world.phone.people.get(line.person)
        found: Json = {"id": line.id, "status": status, "timestamp": str(int(self._world.now())), "recipient_id": line.person}
        if self.user_ids and person is not None:
            found["recipient_user_id"] = self._world.user_id(person.id)
        if line.extra.get("callback"):
            found["biz_opaque_callback_data"] = line.extra["callback"]
        if code:
            text = _ERRORS.get(code, "Something went wrong")
            found["errors"] = [{"code": code, "title": text, "message": text, "error_data": {"details": f"{text}."}}]
        self._post(person, {"statuses": [found]}, line.person)

    async def delivered(self, person: Person, lines: list[Line]) -> None:  # noqa: ARG002
        for line in lines:
            self.status(line, "delivered")

    async def read(self, person: Person, lines: list[Line]) -> None:  # noqa: ARG002
        for line in lines:
            self.status(line, "read")
            if line.extra.get("voice"):
                self.status(line, "played")

    async def blocked(self, person: Person) -> None:
        preference = {
            "detail": "User requested to stop marketing messages" if person.blocked else "User requested to resume marketing messages",
            "category": "marketing_messages",
            "value": "stop" if person.blocked else "resume",
            "timestamp": int(self._world.now()),
            **self._named(person),
        }
        self._post(person, {"user_preferences": [preference]}, person.id, "user_preferences")

    # --- the phone app of the shop, and new numbers -------------------------------------------------------------------------

    def echo(self, person: Person, text: str) -> Line:
        """Somebody of the shop writes with the phone app."""
        line = Line(id=self._world.new_message_id(), person=person.id, from_shop=True, at=self._world.now(), text=text, status="delivered")
        # The ledger holds what the API took.
        self._world.phone.add_line(line, promised=False)
        echo: Json = {"from": self._world.business.display_phone_number, "id": line.id, "timestamp": str(int(line.at))}
        echo |= {**self._from(person, "to"), "type": "text", "text": {"body": text}}
        self._post(person, {"message_echoes": [echo]}, person.id, "smb_message_echoes")
        return line

    def move(self, person: Person, number: str) -> None:
        """They have a new phone number."""
        if is_user_id(person.id):
            raise Refused("this person has no phone number")
        body = f"User {person.name} changed from {person.id} to {number}"
        system = {"type": "user_changed_number", "body": body, "wa_id": number}
        if self.user_ids:
            system["user_id"] = self._world.user_id(number)
        message = {"id": self._world.new_message_id(), "timestamp": str(int(self._world.now())), "type": "system", "system": system}
        self._post(None, {"messages": [message | self._from(person, "from")]}, person.id)
        self._world.phone.add_person(Person(id=number, name=person.name, language=person.language))

    # --- the envelope -----------------------------------------------------------------------------------------------------

    def _from(self, person: Person, name: str) -> Json:
        found = {} if is_user_id(person.id) else {name: person.id}
        return found | ({f"{name}_user_id": self._world.user_id(person.id)} if self.user_ids or not found else {})

    def _named(self, person: Person) -> Json:
        found = {} if is_user_id(person.id) else {"wa_id": person.id}
        return found | ({"user_id": self._world.user_id(person.id)} if self.user_ids or not found else {})

    def _post(self, person: Person | None, content: Json, lane: str, field: str = "messages") -> None:
        business = self._world.business
        metadata = {"display_phone_number": business.display_phone_number, "phone_number_id": business.phone_number_id}
        value: Json = {"messaging_product": "whatsapp", "metadata": metadata}
        if person is not None:
            value["contacts"] = [{"profile": {"name": person.name}, **self._named(person)}]
        entry = {"id": business.waba_id, "changes": [{"value": value | content, "field": field}]}
        self._hook.post(entry, lane)


_ERRORS: Final = {
    130472: "User's number is part of an experiment",
    131026: "Message undeliverable",
    131047: "Re-engagement message",
    131049: "This message was not delivered to maintain healthy ecosystem engagement",
    131050: "User has stopped receiving marketing messages",
    131053: "Media upload error",
}
