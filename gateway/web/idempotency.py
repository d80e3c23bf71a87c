"""The same POST twice has one effect: keys are reserved before the work and answered from memory after it."""

import hashlib
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from aiohttp import web

from gateway.web.errors import Refusal
from storage.access import SavedReply
from storage.foreseen import Shareable
from storage.ids import derive_id, random_id
from storage.protocol import Store, Transaction

HEADER: Final = "Idempotency-Key"
REPLAYED: Final = "Idempotency-Replayed"
_KEY: Final = re.compile(r"[\x21-\x7e]{1,255}")
#: A reservation older than this, or than this process, belongs to one that died; the work is done again, with the same ids.
_ABANDONED: Final = timedelta(seconds=60)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def key_of(request: web.Request) -> str:
    """The request's key; empty if there is none. Raises Refusal 400."""
    values = request.headers.getall(HEADER, [])
    if not values:
        return ""
    if len(values) > 1 or not _KEY.fullmatch(values[0]):
        raise Refusal(400, "bad_idempotency_key", f"{HEADER} must be 1 to 255 visible ASCII characters.", field=HEADER)
    return values[0]


def command_id(principal: str, key: str, now: datetime) -> str:
    """Without a key a fresh id; with one always the same, so that even a crash between the work and its memory doubles nothing."""
    return derive_id("cmd", _EPOCH, principal, key) if key else random_id("cmd", now)


def fingerprint(request: web.Request, body: bytes) -> str:
    """What must be the same for a repetition to count as one."""
    return hashlib.sha256(b"\x00".join((request.method.encode(), request.raw_path.encode("utf-8", "surrogateescape"), body))).hexdigest()


def mismatch() -> Refusal:
    """The key belongs to something else."""
    return Refusal(422, "idempotency_mismatch", "This Idempotency-Key was used for a different request. Use a fresh key.", field=HEADER)


async def same(store: Store, principal: str, key: str, mark: str, now: datetime) -> None:
    """For work that is done again with the same ids: only that the request is the same. Raises Refusal 422."""
    saved = await store.transact(Shareable(lambda tx: tx.requests.begin(principal, key, mark, now)))
    if saved is not None and saved.fingerprint != mark:
        raise mismatch()


async def once(
    store: Store, principal: str, key: str, mark: str, now: datetime, started: datetime, work: Callable[[], Awaitable[web.Response]]
) -> web.Response:
    """Do ``work``, or repeat its first answer. ``started``: when this process began; what is reserved since before it, nobody works on.

    Raises Refusal 422 ``idempotency_mismatch``, 409 ``idempotency_running``.
    """
    abandoned = max(started, now - _ABANDONED)
    saved = await store.transact(Shareable(lambda tx: _reserve(tx, principal, key, mark, now, abandoned)))
    if saved is not None:
        return _repeat(saved, mark)
    try:
        response = await work()
    except Exception:
        # Nothing was changed, or it was changed under an id that a repetition will meet again.
        await store.transact(lambda tx: tx.requests.release(principal, key))
        raise
    body = response.body
    if not isinstance(body, bytes):
        raise TypeError("only plain answers can be kept")
    await store.transact(Shareable(lambda tx: tx.requests.finish(principal, key, response.status, body)))
    return response


async def _reserve(tx: Transaction, principal: str, key: str, mark: str, now: datetime, abandoned: datetime) -> SavedReply | None:
    saved = await tx.requests.begin(principal, key, mark, now)
    if saved is not None and saved.status == 0 and saved.fingerprint == mark and saved.at < abandoned:
        await tx.requests.release(principal, key)
        saved = await tx.requests.begin(principal, key, mark, now)
    return saved


def _repeat(saved: SavedReply, mark: str) -> web.Response:
    if saved.fingerprint != mark:
        raise mismatch()
    if saved.status == 0:
        raise Refusal(
            409,
            "idempotency_running",
            "The first request with this Idempotency-Key is still at work. Try again.",
            headers={"Retry-After": "1"},
        )
    return web.Response(status=saved.status, body=saved.body, content_type="application/json", headers={REPLAYED: "true"})
