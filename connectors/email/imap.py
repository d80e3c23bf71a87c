"""One folder of a mailbox, in a thread of its own: what lies there, then what the server pushes.

The server is our cursor: a mail is marked after the gateway has stored it, and what is not marked is taken at the next look,
however long we were away. A mail that is read twice is one event: its key is made of its content. So a crash at any moment,
a new UIDVALIDITY or lost marks cost a second look, and never a mail.
"""

import asyncio
import contextlib
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable
from concurrent.futures import CancelledError as FutureCancelled
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from random import SystemRandom
from typing import Any, Final

import structlog
from imapclient import IMAPClient, SocketTimeout
from imapclient.exceptions import IMAPClientError, LoginError

from connectors.contract import Reporter, Request
from connectors.email.handover import Handover
from connectors.email.inbound import ARRIVED, ENVELOPE_TO, SECRET_HEADER, TRUE_SIZE
from connectors.email.oauth import NoToken, Tokens
from connectors.email.settings import Mailbox

log = structlog.get_logger(__name__)

#: What a mail is marked with, after it was stored.
KEYWORD: Final = b"$Sportello"
#: RFC 2177: clients re-issue IDLE at least every 29 minutes; routers forget idle connections much sooner.
IDLE_SECONDS: Final = 9 * 60.0
#: UIDs of one FETCH for sizes.
_PAGE: Final = 200
#: A line that held so long and is lost then is no failure yet: servers and routers end what is idle for long.
STEADY_SECONDS: Final = 60.0
#: RFC 5530, and what Google says: refused for now, whatever the credentials are.
_BUSY: Final = re.compile(r"\[(?:UNAVAILABLE|INUSE|LIMIT|SERVERBUG|OVERQUOTA)\]|simultaneous connections", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImapTiming:
    """Seconds."""

    idle: float = IDLE_SECONDS
    connect: float = 15.0
    read: float = 60.0
    #: First wait after a failure, doubled up to the last; credentials that are refused wait the last one.
    first_wait: float = 1.0
    last_wait: float = 120.0


USUAL: Final = ImapTiming()


@dataclass(slots=True, kw_only=True)
class FolderState:
    """What one folder is about, for health."""

    connected: bool = False
    taken: int = 0
    problem: str = ""
    #: Is the server able to push?
    pushes: bool = False
    listening: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What all readers of one channel share."""

    #: Shown by each request.
    secret: str
    max_bytes: int
    tokens: Tokens | None
    channel: str
    timing: ImapTiming
    report: Reporter


class FolderReader:
    """Reads one folder until stopped."""

    def __init__(self, mailbox: Mailbox, folder: str, handover: Handover, reading: Reading) -> None:
        self._mailbox = mailbox
        self._folder = folder
        self._handover = handover
        self._secret = reading.secret
        self._max_bytes = reading.max_bytes
        self._tokens = reading.tokens
        self._timing = reading.timing
        self._report = reading.report
        self._loop = asyncio.get_running_loop()
        self._stopping = threading.Event()
        self._client: IMAPClient | None = None
        self._random = SystemRandom()
        self._log = log.bind(channel=reading.channel, host=mailbox.host, folder=folder)
        self._thread = threading.Thread(target=self._run, name=f"imap {reading.channel} {folder}", daemon=True)
        self._seen: tuple[int, set[int]] = (0, set())
        #: When this session began to listen; lines lost one soon after the other.
        self._steady_from = 0.0
        self._losses = 0
        #: What was told last: is all well?
        self._told: bool | None = None
        self.state = FolderState()

    def start(self) -> None:
        self._thread.start()

    async def stop(self) -> None:
        """Returns when its thread has ended."""
        self._stopping.set()
        self._cut()
        while self._thread.is_alive():
            await asyncio.to_thread(self._thread.join, 0.2)
            self._cut()

    def _cut(self) -> None:
        """Whatever the thread waits for on the line comes to an end."""
        if (client := self._client) is not None:
            with contextlib.suppress(OSError, AttributeError):
                _socket_of(client).shutdown(socket.SHUT_RDWR)

    # --- the thread -------------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        wait = self._timing.first_wait
        while not self._stopping.is_set():
            taken, held = self.state.taken, False
            try:
                self._session()
            except (ConnectionAbortedError, FutureCancelled):
                if self._stopping.is_set():
                    return
            except (LoginError, NoToken) as error:
                wait = self._refused(error, wait)
            except (IMAPClientError, OSError, ValueError, KeyError, AssertionError) as error:
                self._failed(error)
            except Exception as error:  # noqa: BLE001  a thread that ends would be a mailbox that nobody reads
                self._failed(error)
            finally:
                held = self._held()
                self.state.connected = False
                self.state.listening.clear()
                self._client = None
            if held or self.state.taken > taken:
                wait = self._timing.first_wait
            # Jitter, so that many mailboxes do not come back in step.
            self._stopping.wait(wait * self._random.uniform(0.5, 1.0))
            wait = min(wait * 2, self._timing.last_wait)

    def _held(self) -> bool:
        """Has this session listened for so long that its end says nothing about the next?"""
        return self.state.listening.is_set() and time.monotonic() - self._steady_from >= STEADY_SECONDS

    def _failed(self, error: BaseException) -> None:
        if self._stopping.is_set():
            return
        self.state.problem = describe(error)
        if self.state.listening.is_set():
            self._losses = 1 if self._held() else self._losses + 1
            if self._losses == 1:
                # The next connection tells whether it was more than the end of an old one.
                self._log.info("email.imap_line_lost", problem=self.state.problem)
                return
        self._log.warning("email.imap_failed", problem=self.state.problem)
        self._tell(ok=False, detail=f"{self._folder}: {self.state.problem}")

    def _refused(self, error: BaseException, wait: float) -> float:
        if (isinstance(error, NoToken) and not error.refused) or is_busy(error):
            self._failed(error)
            return wait
        self.state.problem = "login refused"
        self._log.error("email.imap_login_refused", remedy=LOGIN_REMEDY)
        self._tell(ok=False, code="auth", detail=self.state.problem)
        if self._tokens is not None:
            self._loop.call_soon_threadsafe(self._tokens.forget)
        return self._timing.last_wait

    def _tell(self, *, ok: bool, code: str = "", detail: str = "") -> None:
        self._told = ok
        self._loop.call_soon_threadsafe(partial(self._report, "receiver", ok=ok, code=code, detail=detail))

    def _session(self) -> None:
        token = self._await(self._tokens.get()) if self._tokens is not None else ""
        with contextlib.closing(_Closing(connect(self._mailbox, token, self._timing, self._opened))) as closing:
            client = closing.client
            if self._stopping.is_set():
                return
            selected = client.select_folder(self._folder)
            mark = self._mark(selected)
            self.state.connected = True
            if not self._told:
                self._tell(ok=True)
            self.state.problem = ""
            self._forget_unless(int(selected.get(b"UIDVALIDITY", 0)))
            pushes = self.state.pushes = bool(client.has_capability("IDLE"))
            while not self._stopping.is_set():
                self._take_new(client, mark)
                if not self.state.listening.is_set():
                    self._steady_from = time.monotonic()
                    self.state.listening.set()
                if pushes:
                    self._idle(client)
                else:
                    self._stopping.wait(self._mailbox.poll_seconds)
                    client.noop()

    def _opened(self, client: IMAPClient) -> None:
        """From here on :meth:`stop` can cut the line, also in the middle of a login that has no answer."""
        self._client = client

    def _mark(self, selected: dict[bytes, Any]) -> str:
        permitted = selected.get(b"PERMANENTFLAGS", ())
        if self._mailbox.mark == "keyword" and b"\\*" not in permitted and KEYWORD not in permitted:
            self._log.warning("email.keyword_not_permitted", remedy="Mails that were taken are marked as seen; set mark to seen or move.")
            return "seen"
        return self._mailbox.mark

    def _forget_unless(self, validity: int) -> None:
        if self._seen[0] != validity:
            self._seen = (validity, set())

    def _take_new(self, client: IMAPClient, mark: str) -> None:
        """All that is not marked, oldest first."""
        unmarked: list[Any] = {"keyword": ["UNKEYWORD", KEYWORD.decode()], "seen": ["UNSEEN"], "move": ["UNDELETED"]}[mark]
        while not self._stopping.is_set():
            _news(client)
            found = sorted(client.search([*unmarked, "SINCE", self._mailbox.since]))
            # A mark that the server did not keep must not make us read the same mail for ever.
            self._seen[1].intersection_update(found)
            fresh = [uid for uid in found if uid not in self._seen[1]]
            if not fresh:
                return
            for start in range(0, len(fresh), _PAGE):
                sizes = client.fetch(fresh[start : start + _PAGE], ["RFC822.SIZE", "INTERNALDATE"])
                for uid in fresh[start : start + _PAGE]:
                    if not self._stopping.is_set():
                        self._take(client, uid, sizes.get(uid, {}), mark)

    def _take(self, client: IMAPClient, uid: int, about: dict[bytes, Any], mark: str) -> None:
        size = int(about.get(b"RFC822.SIZE", 0))
        cut = size > self._max_bytes
        # Of a mail that is too large the beginning: its headers and, nearly always, its words.
        item = f"BODY.PEEK[]<0.{min(self._max_bytes, _CUT_BYTES)}>" if cut else "BODY.PEEK[]"
        fetched = client.fetch([uid], [item]).get(uid, {})
        body = next((value for name, value in fetched.items() if name.startswith(b"BODY[]") and isinstance(value, bytes)), None)
        if body is None:
            # Somebody removed it between the two questions.
            self._seen[1].add(uid)
            return
        arrived = about.get(b"INTERNALDATE")
        headers = {SECRET_HEADER: self._secret, ENVELOPE_TO: self._mailbox.username, "content-type": "message/rfc822"}
        if isinstance(arrived, datetime):
            headers[ARRIVED] = arrived.astimezone(UTC).isoformat()
        if cut:
            headers[TRUE_SIZE] = str(size)
        url = f"imap://{self._mailbox.host}/{self._folder}/;UID={uid}"
        self._await(self._handover.give(Request(method="IMAP", url=url, headers=headers, body=body, received_at=datetime.now(UTC))))
        self.state.taken += 1
        self._seen[1].add(uid)
        self._mark_taken(client, uid, mark)

    def _mark_taken(self, client: IMAPClient, uid: int, mark: str) -> None:
        if mark == "keyword":
            client.add_flags([uid], [KEYWORD], silent=True)
        elif mark == "seen":
            client.add_flags([uid], [b"\\Seen"], silent=True)
        elif client.has_capability("MOVE"):
            client.move([uid], self._mailbox.move_to)
        else:
            client.copy([uid], self._mailbox.move_to)
            client.add_flags([uid], [b"\\Deleted"], silent=True)
            if client.has_capability("UIDPLUS"):
                client.uid_expunge([uid])

    def _idle(self, client: IMAPClient) -> None:
        """Until the server says that something came, or the time is over."""
        client.idle()
        try:
            # What came while the server searched was announced with its answer, and is not announced again.
            if not _news(client) and not self._buffered(client):
                client.idle_check(timeout=self._timing.idle)
        finally:
            if not self._stopping.is_set():
                client.idle_done()

    def _buffered(self, client: IMAPClient) -> bool:
        """Did the server say something in one breath with its "go on"? The library waits for the line, and would not see it."""
        line = _socket_of(client)
        line.settimeout(0)
        try:
            return bool(client._imap.file.peek(1))  # noqa: SLF001  the library's own buffer
        except OSError:
            return False
        finally:
            line.settimeout(self._timing.read)

    def _await(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()


#: Of a mail that is too large so much is taken.
_CUT_BYTES: Final = 1024 * 1024
LOGIN_REMEDY: Final = "Check the mailbox's username and password or refresh token; many providers want an app password or OAuth for IMAP."


class _Closing:
    def __init__(self, client: IMAPClient) -> None:
        self.client = client

    def close(self) -> None:
        """Without a LOGOUT on a line that may be dead."""
        with contextlib.suppress(Exception):
            self.client.shutdown()


def connect(mailbox: Mailbox, token: str, timing: ImapTiming, opened: Callable[[IMAPClient], None] | None = None) -> IMAPClient:
    """A connection that is logged in; ``opened`` gets it before it logs in. Raises ``LoginError``, ``IMAPClientError``, ``OSError``."""
    context = ssl.create_default_context(cafile=mailbox.ca_file or None) if mailbox.security != "none" else None
    client = IMAPClient(
        mailbox.host,
        mailbox.port,
        ssl=mailbox.security == "tls",
        ssl_context=context if mailbox.security == "tls" else None,
        timeout=SocketTimeout(timing.connect, timing.read),
    )
    try:
        if opened is not None:
            opened(client)
        if mailbox.security == "starttls":
            client.starttls(context)
        if token:
            client.oauth2_login(mailbox.username, token)
        else:
            client.login(mailbox.username, mailbox.password.reveal())
    except BaseException:
        _Closing(client).close()
        raise
    return client


def is_busy(error: BaseException) -> bool:
    """Was a login refused for now only, whatever the credentials are?"""
    return isinstance(error, LoginError) and _BUSY.search(str(error)) is not None


def describe(error: BaseException) -> str:
    """What happened, without what was sent: the library's words may quote the login."""
    if isinstance(error, TimeoutError):
        return "timeout"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the server's certificate is not accepted ({error.verify_message})"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, LoginError):
        return "the server is busy" if is_busy(error) else "login refused"
    return type(error).__name__


def _news(client: IMAPClient) -> bool:
    """Has the server said, beside its last answers, that there is more? Asking forgets it."""
    return client._imap.untagged_responses.pop("EXISTS", None) is not None  # noqa: SLF001  the library has no way to ask


def _socket_of(client: IMAPClient) -> socket.socket:
    found: socket.socket = client._imap.sock  # noqa: SLF001  shutdown by another thread: the library has no way for it
    return found
