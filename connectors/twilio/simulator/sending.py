"""What the shop sends: refused at once with Twilio's codes, or taken and carried out later with a status for each step."""

import asyncio
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import aiohttp

from connectors.simulator import Line, Person
from connectors.twilio.simulator.place import WHATSAPP, Place, Sending, Template, make_sid
from connectors.twilio.simulator.posting import Posting

TEXT_LIMIT: Final = 1600
MOST_MEDIA: Final = 10
MMS_BYTES: Final = 5_000_000
WHATSAPP_BYTES: Final = 16_000_000
_PHONE: Final = re.compile(r"\+[1-9][0-9]{6,14}")
_USER: Final = re.compile(r"[A-Z]{2}\.[A-Za-z0-9.]{1,140}")
_GAP: Final = re.compile(r"\{\{\s*(\w+)\s*\}\}")
#: Seconds between taking a message and carrying it out.
PAUSE: Final = 0.01


class ApiError(Exception):
    """A refusal in Twilio's words."""

    def __init__(self, code: int, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.status = status


class Carrier:
    """Takes messages and carries them out."""

    def __init__(self, place: Place, posting: Posting) -> None:
        self._place = place
        self._posting = posting
        self._tasks: set[asyncio.Task[None]] = set()
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=15))

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    def take(self, form: Mapping[str, Sequence[str]], later: int = 0) -> Sending:
        """A new message, not carried out yet. Raises :class:`ApiError`. ``later``: the error code that its status will have."""

        def one(name: str) -> str:
            return next(iter(form.get(name, ())), "")

        place = self._place
        to, service = one("To"), one("MessagingServiceSid")
        sender = one("From") or self._from_pool(to, service)
        self._check_addresses(to, sender, given=one("From"), service=service)
        links = tuple(form.get("MediaUrl", ()))
        body, options = self._words(one("Body"), one("ContentSid"), one("ContentVariables"))
        self._check_content(body, links, one("StatusCallback"), located=bool(one("PersistentAction")))
        if (sender, to) in place.stopped or (not to.startswith(WHATSAPP) and self._blocked(to)):
            raise ApiError(21610, "Attempt to send to unsubscribed recipient")
        message = Sending(
            sid=place.next_sid("MM" if links else "SM"),
            to=to,
            from_=sender,
            body=body,
            direction="outbound-api",
            status="accepted" if service else "queued",
            created=place.now(),
            links=links,
            service=service,
            callback=one("StatusCallback"),
            later=later or self._window_error(to, one("ContentSid")),
            options=options,
            location=_location(one("PersistentAction")),
        )
        return place.keep(message)

    def carry_out(self, message: Sending) -> None:
        """Begins to deliver it."""
        task = asyncio.ensure_future(self._deliver(message))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # --- what is refused at once ----------------------------------------------------------------------------------------

    def _from_pool(self, to: str, service: str) -> str:
        if not service:
            raise ApiError(21603, "A 'From' phone number is required.")
        if service != self._place.service.sid:
            raise ApiError(21701, f"The Messaging Service {service} does not exist")
        return WHATSAPP + self._place.number if to.startswith(WHATSAPP) else self._place.number

    def _check_addresses(self, to: str, sender: str, *, given: str, service: str) -> None:
        by_whatsapp = to.startswith(WHATSAPP)
        bare = to.removeprefix(WHATSAPP)
        if not to:
            raise ApiError(21604, "A 'To' phone number is required.")
        if not (_PHONE.fullmatch(bare) or (by_whatsapp and _USER.fullmatch(bare))):
            raise ApiError(21211, f"Invalid 'To' Phone Number: {to}")
        if by_whatsapp is not sender.startswith(WHATSAPP):
            raise ApiError(21910, "Invalid From and To pair. From and To should be of the same channel")
        if sender not in self._place.hooks:
            if by_whatsapp:
                raise ApiError(63007, "Twilio could not find a Channel with the specified From address")
            raise ApiError(21606, f"The 'From' phone number provided ({sender}) is not a valid message-capable Twilio phone number")
        if given and service and service != self._place.service.sid:
            raise ApiError(21701, f"The Messaging Service {service} does not exist")

    def _words(self, body: str, content: str, variables: str) -> tuple[str, tuple[dict[str, Any], ...]]:
        if not content:
            return body, ()
        template = self._place.templates.get(content)
        if template is None:
            raise ApiError(21655, f"The ContentSid {content} is Invalid")
        try:
            values = json.loads(variables or "{}")
        except ValueError:
            values = None
        if not isinstance(values, dict) or not all(isinstance(value, str) for value in values.values()):
            raise ApiError(21656, "The ContentVariables Parameter is invalid")
        filled = {**template.variables, **values}
        words = _GAP.sub(lambda gap: str(filled.get(gap[1], gap[0])), template.body)
        return words, tuple({"id": button.get("id", button["title"]), "label": button["title"]} for button in template.buttons)

    def _check_content(self, body: str, links: Sequence[str], callback: str, *, located: bool) -> None:
        if not body and not links and not located:
            raise ApiError(21602, "Message body is required.")
        if len(body) > TEXT_LIMIT:
            raise ApiError(21617, "The concatenated message body exceeds the 1600 character limit")
        if len(links) > MOST_MEDIA:
            raise ApiError(21623, "Number of media files exceeds allowed limit")
        if any(not link.startswith(("http://", "https://")) for link in links):
            raise ApiError(21620, "Invalid media URL(s)")
        if callback and not callback.startswith(("http://", "https://")):
            raise ApiError(21609, f"The 'StatusCallback' URL {callback} is not a valid URL")

    def _blocked(self, to: str) -> bool:
        person = self._place.phone.people.get(to)
        return person is not None and person.blocked

    def _window_error(self, to: str, content: str) -> int:
        """On WhatsApp a closed window shows only when the message is carried out."""
        if not to.startswith(WHATSAPP) or self._place.open_session(to):
            return 0
        template: Template | None = self._place.templates.get(content)
        return 0 if template is not None and template.status == "approved" else 63016

    # --- what becomes of it ---------------------------------------------------------------------------------------------

    async def _deliver(self, message: Sending) -> None:
        await asyncio.sleep(PAUSE)
        by_whatsapp = message.to.startswith(WHATSAPP)
        if message.service:
            self._posting.report(message, "queued")
        person = self._place.phone.people.get(message.to)
        files, problem = await self._fetch(message)
        code = message.later or problem or self._missing(person, by_whatsapp=by_whatsapp)
        if code or person is None:
            message.error_code = code
            # What never leaves Twilio has failed; what a carrier gives back is undelivered.
            self._posting.report(message, "undelivered" if code in range(30003, 30009) or by_whatsapp else "failed")
            return
        line = Line(
            id=message.sid,
            person=person.id,
            from_shop=True,
            at=self._place.now(),
            text=message.body,
            files=files,
            location=message.location,
            options=message.options,
            status="delivered" if person.online else "sent",
        )
        self._place.phone.add_line(line)
        self._posting.report(message, "sent")
        if person.online:
            self._posting.report(message, "delivered")

    def _missing(self, person: Person | None, *, by_whatsapp: bool) -> int:
        if person is None:
            return 63003 if by_whatsapp else 30005
        return 63014 if person.blocked else 0

    async def _fetch(self, message: Sending) -> tuple[tuple[str, ...], int]:
        """The files behind the addresses that the shop gave, or the error code."""
        by_whatsapp = message.to.startswith(WHATSAPP)
        limit, total, files = (WHATSAPP_BYTES if by_whatsapp else MMS_BYTES), 0, []
        assert self._session is not None
        for link in message.links:
            try:
                async with self._session.get(link) as answer:
                    data, mime = await answer.read(), answer.content_type
                    ok = answer.status == 200
            except (aiohttp.ClientError, OSError):
                ok, data, mime = False, b"", ""
            if not ok:
                return (), 63019 if by_whatsapp else 11200
            total += len(data)
            if total > limit:
                return (), 63034 if by_whatsapp else 11751
            file = self._place.phone.add_file(data, mime)
            message.media[make_sid("ME", message.sid, file.id)] = file.id
            files.append(file.id)
        return tuple(files), 0


def _location(action: str) -> dict[str, Any] | None:
    """``geo:<latitude>,<longitude>|<label>``."""
    match = re.fullmatch(r"geo:(-?[0-9.]+),(-?[0-9.]+)(?:\|(.*))?", action, re.DOTALL)
    if match is None:
        return None
    return {"latitude": float(match[1]), "longitude": float(match[2]), "name": match[3] or "", "address": ""}
