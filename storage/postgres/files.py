"""Files: those to fetch, and those that we hold."""

from datetime import datetime

from storage.codec import build, instant, micros
from storage.file import MediaJob, StoredFile
from storage.postgres.connection import Sql
from storage.postgres.memory import Way
from storage.postgres.tables import JOBS
from storage.rows.files import FILE, JOB, file_of, file_row, job_of, job_row
from storage.rows.sql import listed, upsert


class PostgresFiles:
    def __init__(self, sql: Sql) -> None:
        self._sql = sql

    async def put_job(self, job: MediaJob) -> None:
        await self._sql.write(JOBS, job_row(job), Way.PUT)

    async def due_jobs(self, now: datetime, limit: int) -> list[MediaJob]:
        rows = await self._sql.rows(
            f"SELECT {listed(JOB)} FROM media_job WHERE next_at <= ? ORDER BY next_at, id LIMIT ?", (micros(now), limit)
        )
        return [job_of(row) for row in rows]

    async def next_due(self) -> datetime | None:
        row = await self._sql.row("SELECT next_at FROM media_job ORDER BY next_at LIMIT 1")
        return None if row is None else instant(row[0])

    async def remove_job(self, job_id: str) -> None:
        await self._sql.run("DELETE FROM media_job WHERE id = ?", (job_id,))

    async def put(self, file: StoredFile) -> None:
        await self._sql.run(upsert("file", FILE, "id"), file_row(file))

    async def get(self, file_id: str) -> StoredFile | None:
        row = await self._sql.row(f"SELECT {listed(FILE)} FROM file WHERE id = ?", (file_id,))
        return build(file_of, row)
