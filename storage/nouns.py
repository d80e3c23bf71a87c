"""The smaller nouns of a store; the others, and the store itself, are in ``protocol.py``."""

from datetime import datetime
from typing import Protocol

from connectors.event import Instant
from storage.access import Credential, SavedReply
from storage.file import MediaJob, StoredFile
from storage.record import Agent


class Agents(Protocol):
    async def get(self, agent_id: str) -> Agent | None: ...

    async def by_email(self, email: str) -> Agent | None: ...

    async def all(self) -> list[Agent]: ...

    async def put(self, agent: Agent) -> None:
        """Insert or replace. Raises Conflict if another agent has the e-mail."""

    async def password_hash(self, agent_id: str) -> str:
        """Empty if none is set."""

    async def set_password_hash(self, agent_id: str, value: str) -> None: ...

    async def open_count(self, agent_id: str) -> int: ...

    async def put_credential(self, credential: Credential) -> None: ...

    async def credential(self, digest: str) -> Credential | None: ...

    async def credentials(self, agent_id: str, kind: str) -> list[Credential]: ...

    async def touch_credential(self, credential_id: str, used_at: datetime) -> None: ...

    async def remove_credential(self, credential_id: str) -> None: ...

    async def remove_credentials(self, agent_id: str, kind: str) -> None:
        """All of one kind, for instance every session after a change of password."""

    async def forget_credentials(self, before: datetime) -> int:
        """Remove those that ended before ``before``; returns how many."""


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


class Tallies(Protocol):
    """How often something was done by one party, counted by hours of UTC: for limits that hold on all nodes and after a restart."""

    async def add(self, name: str, at: datetime) -> None:
        """Count one more."""

    async def total(self, name: str, at: datetime, hours: int) -> int:
        """How many in the hour of ``at`` and those before it, ``hours`` in all."""

    async def forget(self, before: datetime) -> int:
        """Remove hours that ended before the one of ``before``; returns how many."""


def hour_of(at: datetime) -> int:
    """Whole hours since 1970."""
    return int(at.timestamp()) // 3600
