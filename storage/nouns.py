"""The smaller nouns of a store; the others, and the store itself, are in ``protocol.py``."""

from datetime import datetime
from typing import Protocol

from connectors.event import Instant
from storage.access import SavedReply
from storage.record import MediaJob, StoredFile


class Files(Protocol):
    async def put_job(self, job: MediaJob) -> None: ...

    async def due_jobs(self, now: datetime, limit: int) -> list[MediaJob]: ...

    async def next_due(self) -> Instant | None: ...

    async def remove_job(self, job_id: str) -> None: ...

    async def put(self, file: StoredFile) -> None: ...

    async def get(self, file_id: str) -> StoredFile | None: ...


class Requests(Protocol):
    """Idempotency keys of the API."""

    async def begin(self, principal: str, key: str, fingerprint: str, at: datetime) -> SavedReply | None:
        """Reserve the key and return None, or return what is there (``status`` 0: still being handled)."""

    async def finish(self, principal: str, key: str, status: int, body: bytes) -> None: ...

    async def release(self, principal: str, key: str) -> None:
        """Give a reserved key back, when the request failed in a way that allows another try."""

    async def forget(self, before: datetime) -> int:
        """Remove those older than ``before``; returns how many."""


class Settings(Protocol):
    """What all nodes must agree on and no configuration says, by name: the secret key, why sending is held."""

    async def get(self, name: str) -> str:
        """Empty if it was never put."""

    async def put(self, name: str, value: str) -> None:
        """Insert or replace; an empty value removes it."""
