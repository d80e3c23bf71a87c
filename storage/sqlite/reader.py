"""Readers: threads with connections that cannot write; each view is one snapshot, beside any writer."""

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import SimpleQueue
from typing import Any

from storage.errors import StorageError, Unavailable
from storage.sqlite.connection import Sql
from storage.sqlite.schema import roll_back
from storage.sqlite.transaction import SqliteTransaction
from storage.sqlite.writer import Answer, Job


class Readers:
    """A few threads on one queue. ``deliver`` is called in a reader's thread after each view."""

    def __init__(self, connections: Sequence[Sql], deliver: Callable[[Answer], None], bound: int) -> None:
        self._deliver = deliver
        self._bound = bound
        self._queue: SimpleQueue[Job | None] = SimpleQueue()
        self._threads = [
            threading.Thread(target=self._run, args=(sql,), name=f"sqlite-reader-{number}", daemon=True)
            for number, sql in enumerate(connections, start=1)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, job: Job) -> None:
        """Raises Unavailable if too much is waiting already."""
        if self._queue.qsize() >= self._bound:
            raise Unavailable(f"{self._bound} reads are waiting for the database: try again in a second")
        self._queue.put(job)

    def close(self) -> None:
        """Finish what is queued, then close. Waits."""
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            thread.join()

    def _run(self, sql: Sql) -> None:
        transaction = SqliteTransaction(sql, heads=None)
        while (job := self._queue.get()) is not None:
            self._deliver(_view(sql, transaction, job))
        sql.connection.close()


def _view(sql: Sql, transaction: SqliteTransaction, job: Job) -> Answer:
    work: Any = job.work
    try:
        sql.run("BEGIN")
        answer = Answer(job.ticket, work(transaction), None)
    except BaseException as error:  # noqa: BLE001  # it belongs to the caller, whatever it is
        answer = Answer(job.ticket, None, error)
    with suppress(StorageError):
        roll_back(sql)
    return answer
