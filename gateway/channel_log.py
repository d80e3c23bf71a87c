"""Notes what is exchanged with providers, beside the work: to note costs microseconds, never waits and never fails.

Notes queue up in memory; :meth:`Journal.run` redacts and writes them in batches. When too many wait, those of what went well are
dropped first, and the drops are counted: a log that is full must not slow a shop.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import structlog
from msgspec.structs import replace

from config import Config, Secret
from connectors.abilities import FetchedMedia, Finding
from connectors.contract import Call, Failure, Outcome, Reply, Request
from connectors.errors import FailureKind
from connectors.event import AccountReported, AnyEvent, event_type
from gateway.channel_wire import window, wire_of_call, wire_of_reply, wire_of_request
from gateway.metrics import Metrics
from gateway.redact import Redactor
from storage.errors import StorageError, Unavailable
from storage.file import MediaJob
from storage.ids import random_id
from storage.interaction import Interaction, InteractionKind
from storage.protocol import Store

#: Kept of each channel: the newest so many, for so long.
KEEP: Final = 1000
KEEP_FOR: Final = timedelta(days=7)
#: Notes that may wait; beyond half of it only what went wrong is taken.
QUEUE: Final = 1000
#: Written at once, and how often.
BATCH: Final = 200
EVERY_SECONDS: Final = 0.5
#: Redacted without letting others run.
_AT_ONCE: Final = 8
_LAST_WORDS_SECONDS: Final = 2.0
_DETAIL_CHARS: Final = 1000
#: Of one webhook so many ids, positions and kinds of events are kept.
_MOST: Final = 100

_ACCOUNT_EVENTS: Final = 5

Refs = Sequence[str]


@dataclass(slots=True, kw_only=True)
class Note:
    """An interaction before it is redacted."""

    channel: str
    at: datetime
    kind: InteractionKind
    ok: bool
    seconds: float = 0.0
    result: str = ""
    status: int = 0
    code: str = ""
    detail: str = ""
    message_id: str = ""
    refs: Sequence[str] = ()
    positions: Sequence[int] = ()
    events: Sequence[str] = ()
    request: Request | Call | None = None
    request_size: int = 0
    reply: Reply | None = None
    reply_size: int = 0
    retry_after: float = 0.0
    moved_to: str = ""
    findings: tuple[Finding, ...] = ()


class Journal:
    """One per gateway."""

    def __init__(
        self, store: Store, config: Config, secrets: Mapping[str, Iterable[Secret]], metrics: Metrics, clock: Callable[[], datetime]
    ) -> None:
        """``secrets``: those of each channel's settings."""
        self._store = store
        self._config = config
        self._secrets = {channel: tuple(found) for channel, found in secrets.items()}
        self._redactors: dict[str, Redactor] = {}
        self._metrics = metrics
        #: The process that it is.
        self.node = ""
        self._clock = clock
        self._waiting: deque[Note] = deque()
        self._wake = asyncio.Event()
        self._log = structlog.get_logger("channel log")

    # --- noting: called by whoever talks to providers

    def arrived(
        self,
        channel: str,
        request: Request,
        result: str,
        events: Sequence[AnyEvent] = (),
        positions: Sequence[int] = (),
        seconds: float = 0.0,
        detail: str = "",
    ) -> None:
        """A provider's request was taken in, or refused. ``result`` is the intake's outcome, or why there is none."""
        kind = InteractionKind.WEBHOOK if request.url.startswith(self._config.public_url) else InteractionKind.FETCH
        ok = result in {"appended", "duplicate", "spooled"}
        self.note(
            Note(
                channel=channel,
                at=request.received_at,
                kind=kind,
                ok=ok,
                seconds=seconds,
                result=result,
                refs=[ref for event in events[:_MOST] for ref in (getattr(event, "message_id", ""), getattr(event, "ours", "")) if ref],
                positions=positions[:_MOST],
                events=list(dict.fromkeys(event_type(event) for event in events[:_MOST])),
                detail=detail or next((str(getattr(event, "why", "")) for event in events), ""),
                request=replace(request, body=window(request.body)) if len(request.body) > len(window(request.body)) else request,
                request_size=len(request.body),
            )
        )
        for event in [event for event in events if isinstance(event, AccountReported)][:_ACCOUNT_EVENTS]:
            self.reported(channel, InteractionKind.ACCOUNT, ok=event.healthy, code=event.code, detail=event.detail)

    def called(self, channel: str, message_id: str, call: Call, reply: Reply, outcome: Outcome, seconds: float) -> None:
        """One call of a sending was made."""
        failure = outcome if isinstance(outcome, Failure) else None
        self.note(
            Note(
                channel=channel,
                at=self._clock() - timedelta(seconds=seconds),
                kind=InteractionKind.SEND,
                ok=failure is None,
                seconds=seconds,
                result="sent" if failure is None else failure.kind.value,
                status=reply.status,
                code=failure.code if failure else "",
                detail=failure.detail if failure else "",
                retry_after=failure.retry_after if failure else 0.0,
                moved_to=failure.moved_to if failure else "",
                message_id=message_id,
                refs=() if isinstance(outcome, Failure) else outcome.ids,
                request=call,
                reply=replace(reply, body=window(reply.body)),
                reply_size=len(reply.body),
            )
        )

    def fetched(self, job: MediaJob, media: FetchedMedia, seconds: float) -> None:
        """A file was fetched, or not."""
        self.note(
            Note(
                channel=job.channel,
                at=self._clock() - timedelta(seconds=seconds),
                kind=InteractionKind.MEDIA,
                ok=bool(media.data),
                seconds=seconds,
                result="stored" if media.data else "retry" if media.retry else "given_up",
                detail=media.problem or f"{media.mime}, {len(media.data)} bytes",
                message_id=job.message_id,
                request=Call(method="GET", url=job.ref),
            )
        )

    def probed(self, channel: str, findings: Sequence[Finding], seconds: float, error: str = "") -> None:
        """Credentials and set-up were looked at."""
        ok = not error and all(finding.ok for finding in findings)
        words = error or "; ".join(self.hidden(channel, finding.detail) for finding in findings if not finding.ok)
        self.note(
            Note(
                channel=channel,
                at=self._clock(),
                kind=InteractionKind.PROBE,
                ok=ok,
                seconds=seconds,
                result="unreachable" if error else "ok" if ok else "failed",
                detail=words,
                findings=tuple(findings),
            )
        )

    def handshake(self, channel: str, request: Request, *, ours: bool, seconds: float, error: str = "") -> None:
        """A provider, or anybody, asked whether the webhook's address is ours; ``ours``: we said yes."""
        self.note(
            Note(
                channel=channel,
                at=request.received_at,
                kind=InteractionKind.HANDSHAKE,
                ok=ours,
                seconds=seconds,
                result="answered" if ours else "refused",
                detail=error,
                request=request,
            )
        )

    def asked(
        self, channel: str, kind: InteractionKind, result: str, seconds: float, *, ok: bool, detail: str = "", refs: Refs = ()
    ) -> None:
        """We asked or told the provider something beside the work; ``refs``: the messages that it is about."""
        at = self._clock() - timedelta(seconds=seconds)
        self.note(Note(channel=channel, at=at, kind=kind, ok=ok, seconds=seconds, result=result, detail=detail, refs=refs[:_MOST]))

    # --- what providers say reaches others than this log

    def hidden(self, channel: str, words: str) -> str:
        """A provider's ``words`` without the credentials that it may repeat."""
        return self._redactor(channel).words(words) if words else words

    def cleaned(self, channel: str, outcome: Outcome) -> Outcome:
        """The same for what came of a call: agents read it, and the stream keeps it."""
        if isinstance(outcome, Failure):
            return replace(outcome, code=self.hidden(channel, outcome.code), detail=self.hidden(channel, outcome.detail))
        return outcome

    def breaker(self, channel: str, *, closed: bool, why: str = "") -> None:
        """Sending by the channel was stopped, or goes on (``closed``)."""
        self.reported(channel, InteractionKind.BREAKER, ok=closed, detail=why)

    def reported(self, channel: str, kind: str, *, ok: bool, code: str = "", detail: str = "") -> None:
        """What a client tells of an exchange that the gateway does not see; ``kind`` as in ``InteractionKind``."""
        result = code if code in FailureKind.__members__.values() else "ok" if ok else "failed"
        self.note(Note(channel=channel, at=self._clock(), kind=InteractionKind(kind), ok=ok, result=result, code=code, detail=detail))

    def note(self, note: Note) -> None:
        """Take a note to be written soon; drops it if too many wait. Never raises."""
        waiting = len(self._waiting)
        if waiting >= QUEUE or (note.ok and waiting >= QUEUE // 2):
            self._metrics.channel_log_dropped.labels(note.channel).inc()
            return
        self._waiting.append(note)
        self._wake.set()

    # --- writing

    async def run(self) -> None:
        """Write until cancelled; what still waits then is written, if that can be done at once."""
        ailing = False
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                try:
                    await self.write()
                    ailing = False
                except Unavailable as error:
                    if not ailing:
                        self._log.warning("interactions with providers cannot be logged now", error=str(error))
                    ailing = True
                if self._waiting:
                    self._wake.set()
                await asyncio.sleep(EVERY_SECONDS)
        finally:
            with contextlib.suppress(StorageError, TimeoutError):
                async with asyncio.timeout(_LAST_WORDS_SECONDS):
                    while self._waiting:
                        await self.write()

    async def write(self) -> None:
        """Write the oldest that wait. Raises Unavailable; then they wait on."""
        taken = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
        if not taken:
            return
        done: list[Interaction] = []
        try:
            for number, note in enumerate(taken):
                if number % _AT_ONCE == 0:
                    await asyncio.sleep(0)
                done.append(self._interaction(note))
            await self._store.aside(lambda tx: tx.channel_log.add(done))
        except (Unavailable, asyncio.CancelledError):
            # What was written although we do not know it is written twice: no harm in a log.
            self._waiting.extendleft(reversed(taken))
            raise
        except Exception:  # noqa: BLE001 - whatever is wrong with them, those after them must not suffer
            for note in taken:
                self._metrics.channel_log_dropped.labels(note.channel).inc()
            self._log.exception("interactions could not be logged", number=len(taken))

    async def prune(self) -> int:
        """Forget what is over; returns how many."""
        before = self._clock() - KEEP_FOR
        return await self._store.aside(lambda tx: tx.channel_log.prune(KEEP, before))

    def _interaction(self, note: Note) -> Interaction:
        redactor = self._redactor(note.channel)
        bodies = self._config.log.bodies
        return Interaction(
            id=random_id("log", note.at),
            channel=note.channel,
            at=note.at,
            kind=note.kind,
            ok=note.ok,
            ms=round(note.seconds * 1000, 3),
            result=note.result,
            status=note.status,
            code=redactor.words(note.code)[:_DETAIL_CHARS],
            detail=redactor.words(note.detail)[:_DETAIL_CHARS],
            retry_after=note.retry_after,
            moved_to=note.moved_to,
            written=note.reply is None or note.reply.written,
            message_id=note.message_id,
            refs=tuple(redactor.text(ref) for ref in note.refs),
            positions=tuple(note.positions),
            events=tuple(note.events),
            request=_request_wire(note, redactor, bodies=bodies),
            reply=None if note.reply is None else wire_of_reply(note.reply, note.reply_size, redactor, bodies=bodies),
            findings=tuple(replace(one, detail=redactor.words(one.detail), remedy=redactor.words(one.remedy)) for one in note.findings),
            node=self.node,
        )

    def _redactor(self, channel: str) -> Redactor:
        found = self._redactors.get(channel)
        if found is None:
            config = self._config
            # A key that comes from the database is known by now: nothing is written before that answers.
            own = (config.server.secret_key, config.storage.url, config.bus.url)
            found = self._redactors[channel] = Redactor([*self._secrets.get(channel, ()), *(secret for secret in own if secret)])
        return found


def _request_wire(note: Note, redactor: Redactor, *, bodies: bool) -> Any:
    match note.request:
        case Request():
            return wire_of_request(note.request, note.request_size, redactor, bodies=bodies)
        case Call():
            return wire_of_call(note.request, redactor, bodies=bodies)
        case None:
            return None
