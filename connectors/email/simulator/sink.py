"""The SMTP server that takes the shop's mail, with faults to order."""

import asyncio

from aiosmtpd.smtp import SMTP, Envelope, Session

from connectors.email.body import extract, read_body
from connectors.email.mime import Part, parse_mime
from connectors.email.simulator.mailbox import MAX_BYTES, SENT
from connectors.email.simulator.world import People, World
from connectors.email.thread import mail_ids
from connectors.email.words import decode_words
from connectors.errors import BadPayload
from connectors.simulator import Faults, Line


class Sink:
    """Handlers for aiosmtpd."""

    def __init__(self, world: World, people: People, faults: Faults) -> None:
        self._world = world
        self._people = people
        self._faults = faults

    async def handle_RCPT(  # noqa: N802  the library's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """People of this world only."""
        del server, session, options
        person = self._world.phone.people.get(address.lower())
        if person is None or person.blocked:
            return "550 5.1.1 no such mailbox"
        envelope.rcpt_tos.append(address.lower())
        return "250 2.1.5 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802  the library's name
        """Puts the mail on the phones, unless something is to go wrong."""
        del session
        fault = self._faults.take("mail", sending=True)
        match fault.kind if fault is not None else "":
            case "throttled":
                return "451 4.7.28 too many mails, slow down"
            case "500":
                return "451 4.3.0 local error"
            case "error":
                return f"{fault.code if fault is not None and 400 <= fault.code < 600 else 554} refused by this server"
            case "hang":
                await asyncio.sleep(fault.seconds if fault is not None else 0)
                _cut(server)
                return "451 nobody hears this"
        raw = envelope.content if isinstance(envelope.content, bytes) else b""
        try:
            mail = parse_mime(raw)
        except BadPayload as error:
            return f"554 5.6.0 {error}"
        self._world.envelopes.append((envelope.mail_from or "", tuple(envelope.rcpt_tos)))
        self._file(raw)
        for address in envelope.rcpt_tos:
            self._put(mail, address)
        if fault is not None and fault.kind == "later":
            self._people.bounce(self._world.phone.people[envelope.rcpt_tos[0]], _id_of(mail), "5.1.1")
        if fault is not None and fault.kind in {"reset_after", "garbage"}:
            _cut(server)
        return "250 2.0.0 queued"

    def _file(self, raw: bytes) -> None:
        """As the large providers do: what goes out by SMTP lies in the folder for sent mail."""
        if self._world.files_sent and (folder := self._world.box.folder(SENT)) is not None:
            self._world.box.add(folder, raw, ["\\Seen"])

    def _put(self, mail: Part, address: str) -> None:
        person, phone = self._world.phone.people[address], self._world.phone
        body = read_body(mail)
        files = []
        for file in body.files:
            data = extract(mail, file.path, MAX_BYTES).data
            files.append(phone.add_file(data, file.mime, file.name).id)
        extra = {"reply_to": mail.text("reply-to"), "references": [f"<{one}>" for one in mail_ids(mail.text("references"))]}
        line = Line(
            id=_id_of(mail),
            person=address,
            from_shop=True,
            at=self._world.now(),
            text=body.text,
            subject=decode_words(mail.text("subject")),
            files=tuple(files),
            status="delivered" if person.online else "sent",
            extra=extra,
        )
        # The same mail again is one mail: programs show a Message-ID once.
        if line.id not in phone.lines:
            phone.add_line(line)


def _id_of(mail: Part) -> str:
    ids = mail_ids(mail.text("message-id"))
    return ids[0] if ids else "no-id@phone.example.org"


def _cut(server: SMTP) -> None:
    if isinstance(server.transport, asyncio.WriteTransport):
        server.transport.abort()
