"""Fetches files that people sent, after the message itself is safe. A file that cannot be had is said so in the message."""

import asyncio
import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

import structlog
from msgspec.structs import replace

from connectors.abilities import FetchedMedia, MediaDiscarder, MediaFetcher, RawMedia
from gateway.fetch import GuardedFetcher
from gateway.poison import Poisonous
from gateway.services import Services
from gateway.work.actor import GATEWAY, command_id
from routing.command import MediaStored
from routing.errors import Refused
from storage.file import MediaJob, StoredFile, Verdict

CONCURRENCY: Final = 4
FETCH_SECONDS: Final = 60.0
POLL_SECONDS: Final = 5.0
#: How references begin that point into the stored message itself.
RAW: Final = "raw:"
SHORTEST_POLL: Final = 0.05
#: How long a file waits until the scanner is asked about it again; each time twice as long, and this at most.
FIRST_WAIT: Final = timedelta(seconds=2)
LONGEST_WAIT: Final = timedelta(minutes=2)
#: Pauses between tries; after the last one the file is given up.
BACK_OFF: Final = (
    timedelta(seconds=2),
    timedelta(seconds=10),
    timedelta(minutes=1),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
)


class MediaWorker:
    """One per gateway."""

    def __init__(self, services: Services, fetcher: GuardedFetcher) -> None:
        self._services = services
        self._fetcher = fetcher
        self._log = structlog.get_logger("media")

    async def run(self) -> None:
        """Fetch until cancelled. Raises whatever the store raises; then the supervisor starts it again."""
        while True:
            self._services.media_wake.clear()
            jobs = await self._due()
            if jobs:
                await self._handle_all(jobs)
            else:
                await self._rest()

    async def _due(self) -> list[MediaJob]:
        now = self._services.clock()
        return await self._services.store.view(lambda tx: tx.files.due_jobs(now, CONCURRENCY))

    async def _rest(self) -> None:
        due = await self._services.store.view(lambda tx: tx.files.next_due())
        seconds = POLL_SECONDS if due is None else (due - self._services.clock()).total_seconds()
        try:
            async with asyncio.timeout(min(max(seconds, SHORTEST_POLL), POLL_SECONDS)):
                await self._services.media_wake.wait()
        except TimeoutError:
            return

    async def _handle_all(self, jobs: Sequence[MediaJob]) -> None:
        """Wait for all, also if one fails: what went on unseen would be begun a second time."""
        for failure in await asyncio.gather(*(self.handle(job) for job in jobs), return_exceptions=True):
            if failure is not None:
                raise failure

    async def handle(self, job: MediaJob) -> None:
        """One try of one file."""
        file = await self._services.store.view(lambda tx: tx.files.get(job.id if job.channel else job.ref))
        if file is None and not job.channel:
            await self._give_up(job, "the upload is no longer there")
        elif file is None:
            await self._have_fetched(job)
        else:
            await self._have_looked(job, file)

    async def _have_fetched(self, job: MediaJob) -> None:
        began = time.perf_counter()
        fetched = await self._fetch(job)
        fetched = replace(fetched, problem=self._services.journal.hidden(job.channel, fetched.problem))
        self._services.journal.fetched(job, fetched, time.perf_counter() - began)
        self._services.crash.reach("media.fetched")
        if fetched.data and len(fetched.data) <= self._services.config.media.max_bytes:
            try:
                await self._store(job, fetched)
            except OSError as error:
                fetched = FetchedMedia(problem=f"the file could not be kept: {error.strerror or type(error).__name__}", retry=True)
            else:
                await self._discard(job)
                return
        if fetched.retry and job.attempts < len(BACK_OFF):
            await self._put_back(job, BACK_OFF[job.attempts], "retry")
            self._log.info("file not fetched yet", job=job.id, channel=job.channel, problem=fetched.problem)
        else:
            await self._give_up(job, fetched.problem or ("the file is too large" if fetched.data else "the file is empty"))

    async def _have_looked(self, job: MediaJob, file: StoredFile) -> None:
        """We have the bytes; a scanner may have to look at them."""
        if file.verdict is Verdict.WAITING:
            file = await self._services.screen.look(file)
        await self._finish(job, file, "")
        if file.verdict is Verdict.WAITING:
            await self._put_back(job, min(FIRST_WAIT * 2 ** min(job.attempts, 10), LONGEST_WAIT), "waiting")
        else:
            self._count(job, "withheld" if file.verdict is Verdict.WITHHELD else "stored")

    async def _put_back(self, job: MediaJob, pause: timedelta, outcome: str) -> None:
        later = replace(job, attempts=job.attempts + 1, next_at=self._services.clock() + pause)
        await self._services.store.transact(lambda tx: tx.files.put_job(later))
        self._count(job, outcome)

    async def _give_up(self, job: MediaJob, problem: str) -> None:
        await self._finish(job, None, problem)
        self._count(job, "given_up")
        self._log.warning("file given up", job=job.id, channel=job.channel, problem=problem)

    def _count(self, job: MediaJob, outcome: str) -> None:
        self._services.metrics.media.labels(job.channel or "upload", outcome).inc()

    async def _fetch(self, job: MediaJob) -> FetchedMedia:
        limit = self._services.config.media.max_bytes
        channel = self._services.channels.get(job.channel)
        try:
            async with asyncio.timeout(FETCH_SECONDS):
                if job.ref.startswith(RAW) and channel is not None and isinstance(channel.client, RawMedia):
                    return await self._from_stream(job, channel.client, limit)
                if channel is not None and isinstance(channel.client, MediaFetcher):
                    return await channel.client.fetch_media(job.ref, limit)
                return await self._fetcher.fetch(job.ref, limit)
        except TimeoutError:
            return FetchedMedia(problem="the provider did not give the file in time", retry=True)
        except Exception:  # noqa: BLE001 - clients promise not to raise; one file's trouble must not stop the others
            self._log.exception("a client failed to fetch a file", job=job.id, channel=job.channel)
            return FetchedMedia(problem="the file could not be fetched", retry=True)

    async def _discard(self, job: MediaJob) -> None:
        """Our copy is durable: the provider's may go, where the operator wants it so."""
        channel = self._services.channels.get(job.channel)
        if channel is None or not isinstance(channel.client, MediaDiscarder):
            return
        try:
            async with asyncio.timeout(FETCH_SECONDS):
                await channel.client.discard_media(job.ref)
        except Exception as error:  # noqa: BLE001 - a courtesy: the file is ours already
            self._log.warning("a file stays at the provider", job=job.id, channel=job.channel, error=type(error).__name__)

    async def _from_stream(self, job: MediaJob, client: RawMedia, limit: int) -> FetchedMedia:
        """A file that came within the message: the stream has it."""
        key = job.ref.removeprefix(RAW).rpartition("#")[0]
        recorded = await self._services.store.view(lambda tx: tx.stream.by_key(job.channel, key))
        if recorded is None or not recorded.entry.raw:
            return FetchedMedia(problem="the message that held the file is no longer stored")
        raw = recorded.entry.raw

        def extract() -> FetchedMedia:
            return client.extract(raw, job.ref, limit)

        # With its name: another file of the same mail may be harmless.
        name = raw + job.ref.encode()
        try:
            return await asyncio.to_thread(self._services.poison.read, name, extract)
        except Poisonous:
            return FetchedMedia(problem="the gateway died of it twice")

    async def _store(self, job: MediaJob, fetched: FetchedMedia) -> None:
        saved = await self._services.files.save(fetched.data)
        message = await self._services.store.view(lambda tx: tx.messages.get(job.message_id))
        file = StoredFile(
            id=job.id,
            sha256=saved.sha256,
            mime=saved.mime,
            name=fetched.name,
            size=saved.size,
            created_at=self._services.clock(),
            conversation_id=message.conversation_id if message is not None else "",
            verdict=Verdict.WAITING,
        )
        await self._have_looked(job, file)

    async def _finish(self, job: MediaJob, file: StoredFile | None, problem: str) -> None:
        command = MediaStored(
            id=command_id(self._services.clock()),
            actor=GATEWAY,
            job_id=job.id,
            message_id=job.message_id,
            part=job.part,
            ref=job.ref,
            file=file,
            problem=problem,
        )
        try:
            await self._services.router.handle(command)
        except Refused as error:
            # The message is gone, or has no such part any more: the job must not come back for ever.
            self._log.warning("nobody wants this file", job=job.id, code=error.code)
            await self._services.store.transact(lambda tx: tx.files.remove_job(job.id))
