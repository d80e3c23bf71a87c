"""Many who ask the database something small at the same moment share one transaction.

When a node restarts, thousands of clients come back within seconds. Were each to wait for a connection of its own to ask who it is,
most would wait in vain, be told to try again, and come back together.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Final, NamedTuple, TypeVar

from storage.errors import StorageError, Unavailable
from storage.protocol import Transaction

T = TypeVar("T")

#: Calls that share a transaction at most.
SHARE: Final = 100

Work = Callable[[Transaction], Awaitable[Any]]


class _Call(NamedTuple):
    work: Work
    answer: "asyncio.Future[Any]"


class Together:
    """A store's ``view`` or ``transact`` for what takes a moment; who comes while others are being served shares the next one."""

    def __init__(self, run: Callable[[Work], Awaitable[Any]], *, at_once: int = 1) -> None:
        """``at_once``: transactions beside each other; everybody else needs the database, too."""
        self._run = run
        self._at_once = at_once
        self._waiting: deque[_Call] = deque()
        self._serving: set[asyncio.Task[None]] = set()

    async def __call__(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        """Run ``work`` in a transaction that begins after this call. Raises what ``work`` or the store raises."""
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Call(work, answer))
        if len(self._serving) < self._at_once:
            task = asyncio.create_task(self._serve(), name="together")
            self._serving.add(task)
        return await answer

    async def _serve(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        try:
            while self._waiting:
                calls = [self._waiting.popleft() for _ in range(min(SHARE, len(self._waiting)))]
                calls = [call for call in calls if not call.answer.done()]
                while calls:
                    calls = await self._share(calls)
        finally:
            # In the same step as the last look at who waits: a callback would come too late for who calls in between.
            self._serving.discard(task)

    async def _share(self, calls: list[_Call]) -> list[_Call]:
        """One transaction for all; returns those that are to try once more, because of another one's failure."""
        values: list[Any] = []

        async def work(tx: Transaction) -> None:
            # The store may begin it again.
            values.clear()
            for call in calls:
                values.append(await call.work(tx))  # noqa: PERF401 - how many there are tells who failed

        try:
            await self._run(work)
        except BaseException as error:
            if not isinstance(error, Exception) or isinstance(error, Unavailable) or len(values) >= len(calls):
                for call in calls:
                    _refuse(call, _own(error))
                if not isinstance(error, Exception):
                    raise
                return []
            _refuse(calls[len(values)], error)
            return calls[: len(values)] + calls[len(values) + 1 :]
        for call, value in zip(calls, values, strict=True):
            if not call.answer.done():
                call.answer.set_result(value)
        return []


def _refuse(call: _Call, error: BaseException) -> None:
    if not call.answer.done():
        call.answer.set_exception(error)


def _own(error: BaseException) -> Exception:
    """Each gets an exception of its own: one that is raised twice mixes their tracebacks."""
    if not isinstance(error, StorageError):
        return Unavailable(f"the transaction was ended by {type(error).__name__}")
    copy = type(error)(*error.args)
    copy.__cause__ = error.__cause__
    return copy
