"""One support address at work: sends by SMTP, receives by IMAP and by our own SMTP server, finds files in stored mails."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Final

import msgspec
import structlog

from connectors.abilities import Component, FetchedMedia, Finding
from connectors.contract import Call, ClientContext, Reply, Request
from connectors.email.body import extract
from connectors.email.handover import Handover
from connectors.email.imap import USUAL, FolderReader, ImapTiming, Reading
from connectors.email.listener import Listener
from connectors.email.mime import parse_mime
from connectors.email.oauth import Tokens
from connectors.email.outbound import PHASE, Mail
from connectors.email.probe import probe_mailbox, probe_smtp
from connectors.email.sent import look
from connectors.email.settings import Mailbox, OAuth, Settings, receiver_secret
from connectors.email.smtp import SmtpPool
from connectors.email.writer import write_mail
from connectors.errors import BadPayload
from connectors.http import stored_file

log = structlog.get_logger(__name__)

#: Seconds after which a listener whose port is taken tries again.
_PORT_WAIT: Final = 10.0


class EmailClient:
    """Client, Receiver, RawMedia and Prober of one support address."""

    def __init__(self, settings: Settings, context: ClientContext, timing: ImapTiming = USUAL) -> None:
        self._settings = settings
        self._context = context
        self._timing = timing
        self._tokens: dict[OAuth, Tokens] = {}
        smtp = settings.smtp
        self._pool = SmtpPool(smtp, self._tokens_of(smtp.oauth), context.channel) if smtp is not None else None
        #: What listens now; empty while nobody receives.
        self.readers: list[FolderReader] = []
        self.listener: Listener | None = None

    # --- sending --------------------------------------------------------------------------------------------------------

    async def send(self, call: Call) -> Reply:
        """One mail."""
        if self._pool is None:
            return Reply(status=0, body=b"this channel has no smtp settings: it can only receive", headers={PHASE: "config"}, written=False)
        mail = msgspec.convert(call.json, Mail)
        files = []
        for upload in call.uploads:
            data = await stored_file(self._context, upload.stored)
            if isinstance(data, Reply):
                return data
            files.append((upload, data))
        return await self._pool.send(mail.envelope_from, mail.recipients, write_mail(mail, files))

    async def close(self) -> None:
        """Ends all connections."""
        await self._stop_receiving()
        if self._pool is not None:
            await self._pool.close()

    # --- receiving --------------------------------------------------------------------------------------------------------

    async def receive(self) -> AsyncIterator[Request]:
        """Mails of all folders and of our own server, one at a time; a mail is marked, or answered 250, after the caller came back."""
        handover = Handover()
        background: set[asyncio.Task[None]] = set()
        async with contextlib.aclosing(handover.taken()) as taken:
            try:
                self._start_readers(handover)
                if self._settings.listen is not None:
                    background.add(asyncio.create_task(self._listen(handover), name=f"smtp {self._context.channel}"))
                async for request in taken:
                    yield request
            finally:
                handover.close()
                for task in background:
                    task.cancel()
                await asyncio.gather(*background, return_exceptions=True)
                await self._stop_receiving()

    def _start_readers(self, handover: Handover) -> None:
        for mailbox in self._settings.mailboxes:
            for folder in mailbox.folders:
                reader = FolderReader(mailbox, folder, handover, self._reading(mailbox))
                self.readers.append(reader)
                reader.start()

    async def _listen(self, handover: Handover) -> None:
        assert self._settings.listen is not None
        while True:
            listener = Listener(self._settings, self._settings.listen, handover, self._context.channel)
            try:
                await listener.start()
            except OSError as error:
                log.error(  # noqa: TRY400  where it failed says nothing: the port is taken
                    "email.cannot_listen",
                    channel=self._context.channel,
                    problem=error.strerror,
                    remedy="Free the port, or set listen.port.",
                )
                await asyncio.sleep(_PORT_WAIT)
            else:
                self.listener = listener
                return

    async def _stop_receiving(self) -> None:
        readers, self.readers = self.readers, []
        listener, self.listener = self.listener, None
        if listener is not None:
            await listener.close()
        await asyncio.gather(*(reader.stop() for reader in readers))

    # --- files and set-up -------------------------------------------------------------------------------------------------

    def extract(self, raw: bytes, ref: str, max_bytes: int) -> FetchedMedia:
        """The file ``ref`` names within the stored mail ``raw``. Pure; takes as long as parsing the mail did."""
        try:
            return extract(parse_mime(raw), ref.rpartition("#")[2], max_bytes)
        except BadPayload as error:
            return FetchedMedia(problem=str(error))

    async def probe(self, webhook_url: str) -> Sequence[Finding]:
        """Logs in everywhere, and changes nothing."""
        settings = self._settings
        found: list[Finding] = []
        for mailbox in settings.mailboxes:
            found += await probe_mailbox(mailbox, self._tokens_of(mailbox.oauth), self._timing)
        if settings.smtp is not None:
            found.append(await probe_smtp(settings.smtp, self._tokens_of(settings.smtp.oauth)))
        else:
            found.append(
                Finding(component=Component.OUTBOUND, ok=False, detail="no smtp settings", remedy="Set smtp.host and so on to answer.")
            )
        if not settings.mailboxes and settings.listen is None and not settings.webhook_secret:
            remedy = f"Add mailboxes, or listen, or set webhook_secret and post raw mails to {webhook_url}."
            found.append(Finding(component=Component.INBOUND, ok=False, detail="nothing brings mail in", remedy=remedy))
        if not settings.authserv_ids and settings.trust != "all":
            remedy = "Set authserv_ids to what your mail server calls itself in Authentication-Results: the first word of that header."
            found.append(Finding(component=Component.INBOUND, ok=False, detail="no sender can be proved", remedy=remedy))
        return found

    def _tokens_of(self, oauth: OAuth | None) -> Tokens | None:
        if oauth is None:
            return None
        return self._tokens.setdefault(oauth, Tokens(oauth, self._context.session))

    def _reading(self, mailbox: Mailbox) -> Reading:
        return Reading(
            secret=receiver_secret(self._settings).reveal(),
            max_bytes=self._settings.max_bytes,
            tokens=self._tokens_of(mailbox.oauth),
            channel=self._context.channel,
            timing=self._timing,
            report=self._context.report,
        )


class FilingClient(EmailClient):
    """Also a SendFinder: with a mailbox there is a folder for sent mail."""

    async def find_sent(self, call: Call, since: datetime) -> Sequence[str] | None:
        """The mail's own id, which was fixed before it was sent, as often as the folders for sent mail have it."""
        settings = self._settings
        mail_id = dict(msgspec.convert(call.json, Mail).headers).get("Message-ID", "").strip("<>")
        looks = [look(one, self._tokens_of(one.oauth), settings, mail_id, since) for one in settings.mailboxes]
        answers = await asyncio.gather(*looks, return_exceptions=True)
        for answer in answers:
            if answer and not isinstance(answer, BaseException):
                return answer
        if problems := [one for one in answers if isinstance(one, BaseException)]:
            log.warning("email.sent_not_searched", channel=self._context.channel, problem=str(problems[0]))
            return None
        return [] if [] in answers else None


def open_client(settings: Settings, context: ClientContext) -> EmailClient:
    """The client that these settings make possible."""
    return FilingClient(settings, context) if settings.mailboxes else EmailClient(settings, context)
