"""What all parts of the simulator know, and what people do in it."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, formataddr
from typing import Any

from connectors.email.inbound import SECRET_HEADER
from connectors.email.simulator.mailbox import INBOX, Mailbox
from connectors.simulator import Delivery, Line, Person, Phone, Webhooks
from connectors.simulator.control import Refused


@dataclass(slots=True, kw_only=True)
class World:
    """One shop's address and everybody who writes to it."""

    #: The shop's, and its mailbox.
    address: str
    box: Mailbox
    #: Where raw mails are posted too, if not empty; and what opens it.
    webhook: str
    secret: str
    #: The name of the mail server that vouches for senders.
    authserv: str
    phone: Phone
    now: Callable[[], float]
    #: Where the shop's answers are taken, and its mailbox is; 0 until somebody listens.
    smtp_port: int = 0
    imap_port: int = 0
    #: Does the server for outgoing mail keep copies of it in the mailbox?
    files_sent: bool = True
    host: str = "127.0.0.1"
    lines: int = 0
    #: Envelopes that were taken, as (sender, recipients).
    envelopes: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)


class People:
    """The provider's part of the control interface."""

    def __init__(self, world: World, webhooks: Webhooks) -> None:
        self._world = world
        self._webhooks = webhooks

    def new_id(self, name: str) -> str:
        """An address that nobody has."""
        local = re.sub(r"[^a-z0-9]+", ".", name.lower()).strip(".") or "somebody"
        found, number = f"{local}@example.org", 1
        while found in self._world.phone.people:
            number += 1
            found = f"{local}{number}@example.org"
        return found

    def new_line_id(self) -> str:
        self._world.lines += 1
        return f"{self._world.lines}.{int(self._world.now() * 1000)}@phone.example.org"

    async def wrote(self, person: Person, line: Line) -> None:
        """Answers what the shop wrote last, as a mail program does; or begins a thread."""
        self.post(person, self.mail_of(person, line))

    def mail_of(self, person: Person, line: Line) -> bytes:
        """The mail that leaves the phone."""
        before = self._newest_of_shop(person) if not line.subject else None
        mail = EmailMessage()
        mail["Authentication-Results"] = f"{self._world.authserv}; dmarc=pass header.from={person.id.rpartition('@')[2]}"
        mail["From"] = formataddr((person.name, person.id))
        mail["To"] = (before.extra.get("reply_to") if before else "") or self._world.address
        subject = line.subject or (before.subject if before else "") or line.text[:60].replace("\n", " ") or "Hello"
        mail["Subject"] = subject if not before or subject.lower().startswith("re:") else f"Re: {subject}"
        mail["Date"] = format_datetime(datetime.fromtimestamp(line.at, UTC))
        mail["Message-ID"] = f"<{line.id}>"
        if before is not None:
            mail["In-Reply-To"] = f"<{before.id}>"
            mail["References"] = " ".join([*before.extra.get("references", ()), f"<{before.id}>"])
        mail.set_content(line.text or "\n")
        for id_ in line.files:
            file = self._world.phone.files[id_]
            kind, _, subtype = file.mime.partition("/")
            mail.add_attachment(file.data, maintype=kind or "application", subtype=subtype or "octet-stream", filename=file.name or "file")
        return mail.as_bytes(policy=SMTP)

    def post(self, person: Person, raw: bytes) -> None:
        """Into the shop's mailbox; and to the channel's webhook, in the person's order."""
        self._world.box.add(self._world.box.folders[INBOX], raw)
        if not self._world.webhook:
            return
        headers = {SECRET_HEADER: self._world.secret, "Content-Type": "message/rfc822"}
        self._webhooks.post(Delivery(url=self._world.webhook, body=raw, headers=headers, lane=person.id))

    def bounce(self, person: Person, message_id: str, code: str) -> None:
        """The other server's report that the mail was not delivered after all."""
        raw = (
            f"Return-Path: <>\r\nFrom: MAILER-DAEMON@mx.example.org\r\nTo: {self._world.address}\r\nSubject: Undelivered\r\n"
            f"Message-ID: <{self.new_line_id()}>\r\nAuto-Submitted: auto-replied\r\n"
            "Content-Type: multipart/report; report-type=delivery-status; boundary=bounce\r\n\r\n--bounce\r\n"
            "Content-Type: text/plain\r\n\r\nYour mail was not delivered.\r\n--bounce\r\nContent-Type: message/delivery-status\r\n\r\n"
            f"Reporting-MTA: dns; mx.example.org\r\n\r\nFinal-Recipient: rfc822; {person.id}\r\nAction: failed\r\nStatus: {code}\r\n\r\n"
            f"--bounce\r\nContent-Type: text/rfc822-headers\r\n\r\nMessage-ID: <{message_id}>\r\n\r\n--bounce--\r\n"
        )
        self.post(person, raw.encode())

    async def delivered(self, person: Person, lines: list[Line]) -> None:
        """Mail servers tell nobody."""

    async def read(self, person: Person, lines: list[Line]) -> None:
        """Nor do mail programs, unless asked."""

    async def blocked(self, person: Person) -> None:
        """It shows at the next sending."""

    async def pressed(self, person: Person, line: Line, option: dict[str, Any]) -> None:  # noqa: ARG002  the protocol's shape
        raise Refused("a mail has no buttons")

    async def edited(self, person: Person, line: Line) -> None:  # noqa: ARG002
        raise Refused("a mail that was sent cannot be changed")

    async def deleted(self, person: Person, line: Line) -> None:  # noqa: ARG002
        raise Refused("a mail that was sent cannot be taken back")

    async def reacted(self, person: Person, line: Line, emoji: str) -> None:  # noqa: ARG002
        raise Refused("nobody reacts to a mail")

    def _newest_of_shop(self, person: Person) -> Line | None:
        return next((one for one in reversed(self._world.phone.lines.values()) if one.person == person.id and one.from_shop), None)
