"""Nobody gets a file of people's before a scanner has looked at it, if ``media.scanner`` names one.

What the scanner finds something in is withheld for good: the bytes stay where they are, for whoever has to look into it. While the
scanner is away files wait; messages do not.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

import structlog
from msgspec.structs import replace

from config import Config
from config.address import scanner_address
from gateway.clamd import Clamd, NotScanned, ScannerAway
from gateway.files import FileStore
from gateway.metrics import Metrics
from routing.custody import put_file
from storage.file import MediaJob, StoredFile, Verdict
from storage.protocol import Store, Transaction

#: Pauses after a scanner was away, before it is asked again; each is twice the last one.
FIRST_PAUSE: Final = timedelta(seconds=2)
LONGEST_PAUSE: Final = timedelta(seconds=30)
#: An upload that waits is looked at again after this time.
SOON: Final = timedelta(seconds=2)


class Uncleared(FileNotFoundError):
    """There is such a file, and nobody may have it; for whoever reads files it is as if there were none."""


class Withheld(Uncleared):
    """Something was found in it."""

    def __init__(self, finding: str) -> None:
        super().__init__(f"This file was withheld: the virus scanner found {finding} in it.")


class Unchecked(Uncleared):
    """Nobody has looked at it yet."""

    def __init__(self, why: str) -> None:
        super().__init__(f"This file is still being checked for viruses{f': {why}' if why else ''}.")


def scanner_of(config: Config) -> Clamd | None:
    """The scanner that the operator has, if any."""
    return Clamd(scanner_address(config.media.scanner)) if config.media.scanner else None


class Screen:
    """One per gateway, between the files and everybody."""

    def __init__(self, config: Config, store: Store, files: FileStore, metrics: Metrics, clock: Callable[[], datetime]) -> None:
        self._scanner = scanner_of(config)
        self._store = store
        self._files = files
        self._scans = metrics.scans
        self._clock = clock
        self._log = structlog.get_logger("scan")
        self._pause = FIRST_PAUSE
        self._not_before: datetime | None = None

    async def look(self, file: StoredFile) -> StoredFile:
        """The file with what the scanner says of it now: WAITING if it says nothing, NONE without a scanner. Nothing is written."""
        if self._scanner is None:
            return replace(file, verdict=Verdict.NONE, finding="")
        if self._not_before is not None and self._clock() < self._not_before:
            return replace(file, verdict=Verdict.WAITING, finding="the scanner is away")
        try:
            found = await self._scanner.scan(await self._files.locate(file.sha256))
        except ScannerAway as error:
            self._not_before = self._clock() + self._pause
            self._pause = min(2 * self._pause, LONGEST_PAUSE)
            return self._waiting(file, str(error))
        except NotScanned as error:
            return self._waiting(file, str(error))
        except OSError as error:
            return self._waiting(file, f"its bytes cannot be read ({error.strerror or type(error).__name__})")
        self._pause, self._not_before = FIRST_PAUSE, None
        if not found:
            self._scans.labels("clean").inc()
            return replace(file, verdict=Verdict.CLEAN, finding="")
        self._scans.labels("withheld").inc()
        self._log.warning("file withheld", file=file.id, sha256=file.sha256, found=found, conversation=file.conversation_id)
        return replace(file, verdict=Verdict.WITHHELD, finding=found)

    def _waiting(self, file: StoredFile, why: str) -> StoredFile:
        self._scans.labels("waiting").inc()
        self._log.warning("file waits for the scanner", file=file.id, problem=why)
        return replace(file, verdict=Verdict.WAITING, finding=why)

    async def clear(self, file: StoredFile) -> None:
        """Return if anybody may have the file. One that is older than the scanner is looked at now. Raises Withheld, Unchecked."""
        if self._scanner is not None and file.verdict is Verdict.NONE:
            file = await self.look(file)
            if file.verdict is not Verdict.WAITING:
                await self._store.transact(lambda tx: keep_file(tx, file, self._clock()))
        if file.verdict is Verdict.WITHHELD:
            raise Withheld(file.finding)
        if self._scanner is not None and file.verdict is not Verdict.CLEAN:
            raise Unchecked(file.finding)

    async def read_file(self, stored: str) -> bytes:
        """The bytes of a file that goes out, for connectors. Raises FileNotFoundError, also for one that nobody may have."""
        file = await self._store.view(lambda tx: tx.files.get(stored))
        if file is None:
            raise FileNotFoundError(f"no stored file {stored}")
        await self.clear(file)
        return await self._files.read(file.sha256)


async def keep_file(tx: Transaction, file: StoredFile, now: datetime) -> None:
    """Write it down; one that waits comes to the worker that asks again."""
    if entries := await put_file(tx, file, now):
        await tx.stream.append(entries)
    if file.verdict is Verdict.WAITING:
        job = MediaJob(id=file.id, channel="", message_id="", part=0, ref=file.id, attempts=0, next_at=now + SOON)
        await tx.files.put_job(job)
