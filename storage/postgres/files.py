"""Files: those to fetch, and those that we hold."""

from datetime import datetime
from typing import Final

from storage.codec import instant, micros
from storage.postgres.connection import Sql
from storage.record import MediaJob, StoredFile

_JOB: Final = ("id", "channel", "message_id", "part", "ref", "attempts", "next_at")
_FILE: Final = ("id", "sha256", "mime", "name", "size", "created_at", "conversation_id", "uploader")


def _put(table: str, names: tuple[str, ...]) -> str:
    changes = ", ".join(f"{name} = excluded.{name}" for name in names[1:])
    return f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))}) ON CONFLICT (id) DO UPDATE SET {changes}"


class PostgresFiles:
    def __init__(self, sql: Sql) -> None:
        self._sql = sql

    async def put_job(self, job: MediaJob) -> None:
        await self._sql.run(
            _put("media_job", _JOB), (job.id, job.channel, job.message_id, job.part, job.ref, job.attempts, micros(job.next_at))
        )

    async def due_jobs(self, now: datetime, limit: int) -> list[MediaJob]:
        rows = await self._sql.rows(
            f"SELECT {', '.join(_JOB)} FROM media_job WHERE next_at <= ? ORDER BY next_at, id LIMIT ?", (micros(now), limit)
        )
        return [
            MediaJob(id=row[0], channel=row[1], message_id=row[2], part=row[3], ref=row[4], attempts=row[5], next_at=instant(row[6]))
            for row in rows
        ]

    async def next_due(self) -> datetime | None:
        row = await self._sql.row("SELECT next_at FROM media_job ORDER BY next_at LIMIT 1")
        return None if row is None else instant(row[0])

    async def remove_job(self, job_id: str) -> None:
        await self._sql.run("DELETE FROM media_job WHERE id = ?", (job_id,))

    async def put(self, file: StoredFile) -> None:
        await self._sql.run(
            _put("file", _FILE),
            (file.id, file.sha256, file.mime, file.name, file.size, micros(file.created_at), file.conversation_id, file.uploader),
        )

    async def get(self, file_id: str) -> StoredFile | None:
        row = await self._sql.row(f"SELECT {', '.join(_FILE)} FROM file WHERE id = ?", (file_id,))
        return (
            None
            if row is None
            else StoredFile(
                id=row[0],
                sha256=row[1],
                mime=row[2],
                name=row[3],
                size=row[4],
                created_at=instant(row[5]),
                conversation_id=row[6],
                uploader=row[7],
            )
        )
