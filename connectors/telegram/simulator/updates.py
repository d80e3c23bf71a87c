"""Updates on their way to the bot: kept until confirmed, given out by long poll or posted to the webhook."""

import asyncio
import contextlib
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp

from connectors.telegram.simulator.limits import ApiError

PENDING_KEPT: Final = 10_000
FIRST_UPDATE: Final = 100_000_001
#: Telegram leaves these out unless asked.
NOT_BY_DEFAULT: Final = frozenset({"chat_member", "message_reaction", "message_reaction_count"})

Json = dict[str, Any]


@dataclass(slots=True)
class Webhook:
    """Where updates are posted; empty url: nowhere."""

    url: str = ""
    secret_token: str = ""
    max_connections: int = 40
    last_error_date: int = 0
    last_error_message: str = ""


@dataclass(slots=True)
class _Pending:
    update: Json
    #: Order is kept within it.
    chat_id: int
    busy: bool = False
    not_before: float = 0.0
    wait: float = field(default=0.0)


class Updates:
    """The queue, and the two ways out of it."""

    def __init__(self, *, first_wait: float = 0.2, last_wait: float = 30.0) -> None:
        self.webhook = Webhook()
        self.allowed: frozenset[str] = frozenset()
        self._pending: deque[_Pending] = deque(maxlen=PENDING_KEPT)
        self._last = FIRST_UPDATE - 1
        self._wake = asyncio.Event()
        self._poll: asyncio.Future[None] | None = None
        self._posts: set[asyncio.Task[None]] = set()
        self._first_wait, self._last_wait = first_wait, last_wait

    def add(self, kind: str, chat_id: int, content: Json) -> None:
        """A new update, unless the bot did not ask for its kind."""
        if kind not in self.allowed if self.allowed else kind in NOT_BY_DEFAULT:
            return
        self._last += 1
        self._pending.append(_Pending({"update_id": self._last, kind: content}, chat_id))
        self._wake.set()

    def redeliver(self, update: Json) -> None:
        """Puts an update back at the head, as Telegram does when an answer was lost."""
        self._pending.appendleft(_Pending(update, 0))
        self._wake.set()

    @property
    def pending(self) -> int:
        """How many updates wait."""
        return len(self._pending)

    def drop(self) -> None:
        """Forgets what waits."""
        self._pending.clear()

    # --- long poll ----------------------------------------------------------------------------------------------------

    async def get(self, offset: int, limit: int, timeout: float) -> list[Json]:  # noqa: ASYNC109  the API's parameter
        """``getUpdates``: forgets all below ``offset``, then waits for what is left. A newer call ends an older one."""
        if self.webhook.url:
            raise ApiError(
                409, "Conflict: can't use getUpdates method while webhook is active; use deleteWebhook to delete the webhook first"
            )
        if self._poll is not None and not self._poll.done():
            self._poll.set_result(None)
        ended = self._poll = asyncio.get_running_loop().create_future()
        self._confirm(offset)
        deadline = time.monotonic() + timeout
        while not self._pending and (left := deadline - time.monotonic()) > 0:
            self._wake.clear()
            woken = asyncio.ensure_future(self._wake.wait())
            await asyncio.wait({woken, ended}, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            woken.cancel()
            if ended.done():
                raise ApiError(409, "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running")
        return [item.update for item in list(self._pending)[:limit]]

    def _confirm(self, offset: int) -> None:
        if offset < 0:
            while len(self._pending) > -offset:
                self._pending.popleft()
        while self._pending and self._pending[0].update["update_id"] < offset:
            self._pending.popleft()

    # --- webhook ------------------------------------------------------------------------------------------------------

    def set_webhook(self, webhook: Webhook) -> None:
        """From now on updates go to ``webhook.url``, what waits included."""
        self.webhook = webhook
        for item in self._pending:
            item.not_before = item.wait = 0.0
        self._wake.set()

    async def run(self, session: aiohttp.ClientSession) -> None:
        """Posts updates for ever: in order within a chat, several chats at once, again and again until a 2xx."""
        while True:
            self._wake.clear()
            soonest = self._start_due(session) if self.webhook.url else None
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(soonest):
                    await self._wake.wait()

    async def stop(self) -> None:
        """Ends the posts that are under way."""
        for task in tuple(self._posts):
            task.cancel()
        await asyncio.gather(*self._posts, return_exceptions=True)

    def _start_due(self, session: aiohttp.ClientSession) -> float | None:
        """Starts what may go now; returns seconds until the next may."""
        now = time.monotonic()
        soonest: float | None = None
        seen: set[int] = set()
        for item in self._pending:
            if item.chat_id in seen:
                continue
            seen.add(item.chat_id)
            if item.busy or len(self._posts) >= self.webhook.max_connections:
                continue
            if item.not_before > now:
                soonest = min(soonest or 60.0, item.not_before - now)
                continue
            item.busy = True
            task = asyncio.ensure_future(self._post(item, session, self.webhook))
            self._posts.add(task)
            task.add_done_callback(self._posts.discard)
        return soonest

    async def _post(self, item: _Pending, session: aiohttp.ClientSession, webhook: Webhook) -> None:
        headers = {"X-Telegram-Bot-Api-Secret-Token": webhook.secret_token} if webhook.secret_token else {}
        try:
            async with session.post(webhook.url, json=item.update, headers=headers, allow_redirects=False) as answer:
                status = answer.status
            problem = "" if 200 <= status < 300 else f"Wrong response from the webhook: {status}"
        except (aiohttp.ClientError, OSError) as error:
            problem = f"Connection failed: {type(error).__name__}"
        finally:
            item.busy = False
        if problem:
            item.wait = min(max(item.wait * 2, self._first_wait), self._last_wait)
            item.not_before = time.monotonic() + item.wait
            webhook.last_error_date, webhook.last_error_message = int(time.time()), problem
        else:
            with contextlib.suppress(ValueError):
                self._pending.remove(item)
        # Once this task is done, so that the next one of the chat may start.
        asyncio.get_running_loop().call_soon(self._wake.set)
