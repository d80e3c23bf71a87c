"""C12 (the client) and C19: the client against servers that answer as scripted, badly, or not at all."""

import asyncio
import gc
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import structlog
from aiohttp import web

from connectors.abilities import Receiver
from connectors.contract import Call, Client, ClientContext, Failure, Reply
from connectors.errors import FailureKind
from gateway.kit.bench import Bench
from gateway.kit.check_pure import discreet, echoing, leaks
from gateway.kit.findings import Findings
from gateway.kit.sample import Talk
from gateway.kit.server import Heard, Says, contained, serving, silent

_SECONDS: Final = 10.0
_TIMES: Final = 100
#: So many of the author's refusals are repeated with the whole request in their words.
_REFUSALS: Final = 6
#: Answers of a server that is spoken to line by line, of which one after another is a refusal.
_STEPS: Final = 20


# --- C12 ----------------------------------------------------------------------------------------------------------------


async def discreet_at_work(bench: Bench, to: Findings) -> None:
    """C12: the pure functions, then the client, whose provider repeats the whole request in its answer, and what is logged."""
    discreet(bench, to)
    if bench.sample.talk is not None and bench.sample.at is not None and bench.hello is not None:
        await _repeated_in_talk(bench, to, bench.sample.talk, bench.hello)
        return
    if bench.sample.at is None or bench.hello is None or not bench.over_http:
        to.exempt("the client: the sample names no address (Sample.at), or the calls are not HTTP")
        return
    refusals = [reply for _, reply in bench.answers if reply.status >= 400]
    for refusal in (Reply(status=400), Reply(status=401), Reply(status=500), *refusals[:_REFUSALS]):
        await _repeated(bench, to, bench.hello, refusal)


async def _repeated(bench: Bench, to: Findings, call: Call, refusal: Reply) -> None:
    assert bench.sample.at is not None
    heard = Heard()

    def repeat(_: web.Request) -> web.Response:
        return web.Response(status=refusal.status, body=echoing(refusal.body, heard.requests[-1]))

    async with serving(repeat, heard) as (host, port), contained() as (context, _):
        with logged() as lines:
            reply = await _send(bench, context, bench.sample.at(host, port), call)
        outcome = bench.outcome(call, reply)
    to.expect(
        heard.requests, "the call does not reach the provider that the sample names", "Let Sample.at change every address.", "sample.py"
    )
    for what, shown in (("the outcome of an answer that repeats the request", repr(outcome)), ("the log", "\n".join(lines))):
        for found in leaks(bench.secrets, shown):
            remedy = "Take the credentials out of the provider's words, and log no request."
            to.expect(right=False, what=f"{what} shows {found}", remedy=remedy, place=bench.connector.read_reply)


async def _repeated_in_talk(bench: Bench, to: Findings, talk: Talk, call: Call) -> None:
    """Every answer in turn is a refusal which repeats all that was said."""
    assert bench.sample.at is not None
    for step in range(_STEPS):
        heard: list[str] = []
        async with silent(hang_up=True, says=_repeating(talk, step, heard)) as (_, host, port), contained() as (context, _):
            with logged() as lines:
                reply = await _send(bench, context, bench.sample.at(host, port), call)
            outcome = bench.outcome(call, reply)
        if not heard:
            break
        for what, shown in (("the outcome of a refusal that repeats what was said", repr(outcome)), ("the log", "\n".join(lines))):
            for found in leaks(bench.secrets, shown):
                remedy = "Take the credentials out of the server's words, and log none of them."
                to.expect(right=False, what=f"{what} shows {found}", remedy=remedy, place=bench.connector.client)
        to.expect(isinstance(outcome, Failure), f"a refusal as answer {step + 1}: {outcome}", "It was not sent.", bench.connector.client)
    to.expect(step, "the call does not reach the provider that the sample names", "Let Sample.at change every address.", "sample.py")


def _repeating(talk: Talk, step: int, heard: list[str]) -> Says:
    """Says what ``talk`` does, up to the answer of this number; from then on it refuses, and repeats what it has heard."""
    answers = 0

    def says(lines: Sequence[bytes]) -> bytes | None:
        nonlocal answers
        answer = talk.says(lines)
        if answer != b"":
            answers += 1
        if answers <= step or answer == b"":
            return answer
        heard.append("refused")
        return talk.refuses(" ".join(line.decode("latin-1").strip() for line in lines))

    return says


async def _send(bench: Bench, context: ClientContext, changes: Mapping[str, Any], call: Call) -> Reply:
    settings = bench.settings_with(changes)
    client = bench.connector.client(settings, context)
    try:
        async with asyncio.timeout(_SECONDS):
            return await client.send(moved(call, bench.settings, settings))
    finally:
        await client.close()


def moved(call: Call, before: Any, after: Any) -> Call:
    """The call at the other address, if its URL begins with one of the settings' texts."""
    changes = [
        (old, new)
        for name in before.__struct_fields__
        if isinstance(old := getattr(before, name), str) and old and isinstance(new := getattr(after, name), str) and old != new
    ]
    for old, new in changes:
        if call.url.startswith(old.rstrip("/")):
            return Call(
                **{name: getattr(call, name) for name in call.__struct_fields__}
                | {"url": new.rstrip("/") + call.url[len(old.rstrip("/")) :]}
            )
    return call


@contextmanager
def logged() -> Iterator[list[str]]:
    """Everything that is logged meanwhile, by whatever library."""
    lines: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())

    listener, root = Listener(), logging.getLogger()
    level = root.level
    root.addHandler(listener)
    root.setLevel(logging.DEBUG)
    try:
        with structlog.testing.capture_logs() as told:
            yield lines
        lines.extend(repr(line) for line in told)
    finally:
        root.removeHandler(listener)
        root.setLevel(level)


# --- C19 ----------------------------------------------------------------------------------------------------------------


async def lives(bench: Bench, to: Findings) -> None:
    """C19."""
    await _opened_often(bench, to)
    if bench.sample.at is None or bench.hello is None:
        to.exempt("calls that are cut off: the sample names no address (Sample.at), or the channel sends nothing")
        return
    await _cancelled(bench, to, bench.hello)
    await _cut_off(bench, to, bench.hello)


async def _opened_often(bench: Bench, to: Findings) -> None:
    async with contained() as (context, _):
        await _open_and_close(bench, context)  # what is made once for all is made now
        tasks, handles = len(asyncio.all_tasks()), _handles()
        for _ in range(_TIMES):
            await _open_and_close(bench, context)
        await asyncio.sleep(0)
        gc.collect()
        left = len(asyncio.all_tasks()) - tasks
        to.expect(left <= 0, f"{left} tasks are left after {_TIMES} openings", "End them in close().", bench.connector.client)
        more = _handles() - handles
        to.expect(
            more < _TIMES // 10,
            f"{more} files or sockets are left after {_TIMES} openings",
            "Close them in close().",
            bench.connector.client,
        )
        to.expect(not context.session.closed, "the lent session was closed", "It is the gateway's: leave it open.", bench.connector.client)


async def _open_and_close(bench: Bench, context: ClientContext) -> None:
    client: Client = bench.connector.client(bench.settings, context)
    if isinstance(client, Receiver):
        stream = client.receive()
        task = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0)
        task.cancel()
        with suppress(asyncio.CancelledError, StopAsyncIteration):
            await task
        with suppress(AttributeError):
            await stream.aclose()  # type: ignore[attr-defined]  # an async generator has it, another iterator may not
    await client.close()


def _handles() -> int:
    place = Path("/proc/self/fd")
    return len(os.listdir(place)) if place.is_dir() else 0  # noqa: PTH208  a list of names is all that is wanted


async def _cancelled(bench: Bench, to: Findings, call: Call) -> None:
    """The gateway gives up waiting: the call must end at once, and it is the gateway that then knows it is unknown."""
    await _cancelled_at(bench, to, call, None)
    if bench.sample.talk is not None:
        # In the moment of the greatest doubt, too.
        await _cancelled_at(bench, to, call, bench.sample.talk.says)
    unknown = bench.outcome(call, Reply(status=0, written=True))
    safe = isinstance(unknown, Failure) and (unknown.kind is FailureKind.UNKNOWN or bench.able.idempotent)
    to.expect(safe, f"a call without answer is {unknown}", "It may have gone out: UNKNOWN.", bench.connector.read_reply)


async def _cancelled_at(bench: Bench, to: Findings, call: Call, says: Says | None) -> None:
    """When the connection is there; or, of a server that ``says`` something, when it has got the whole message."""
    assert bench.sample.at is not None
    place = bench.connector.client
    async with silent(hang_up=False, says=says) as (mute, host, port), contained() as (context, _):
        there = mute.connected if says is None else mute.got
        settings = bench.settings_with(bench.sample.at(host, port))
        client = bench.connector.client(settings, context)
        sending = asyncio.create_task(client.send(moved(call, bench.settings, settings)))
        with suppress(TimeoutError):
            async with asyncio.timeout(_SECONDS):
                await there.wait()
        reached = there.is_set()
        to.expect(reached, "the call does not reach the provider that the sample names", "Let Sample.at change every address.", "sample.py")
        sending.cancel()
        done, _ = await asyncio.wait({sending}, timeout=_SECONDS)
        to.expect(done, "a cancelled call goes on", "Let CancelledError pass.", place)
        swallowed = bool(done) and not sending.cancelled()
        to.expect(not swallowed, "a cancelled call gives an answer", "Let CancelledError pass: catch Exception at most.", place)
        await client.close()


async def _cut_off(bench: Bench, to: Findings, call: Call) -> None:
    """The provider hangs up; nobody is there."""
    assert bench.sample.at is not None
    place = bench.connector.client
    talk = bench.sample.talk
    async with silent(hang_up=True, says=None if talk is None else talk.says) as (mute, host, port), contained() as (context, _):
        outcome = await _outcome(bench, context, bench.sample.at(host, port), call)
        got = mute.got.is_set()
    allowed = {FailureKind.UNKNOWN} if got and not bench.able.idempotent else {FailureKind.UNKNOWN, FailureKind.TRANSIENT}
    right = isinstance(outcome, Failure) and outcome.kind in allowed
    to.expect(right, f"the provider hangs up: {outcome}", "What was written may have gone out: Reply(status=0), and UNKNOWN.", place)
    async with contained() as (context, _):
        outcome = await _outcome(bench, context, bench.sample.at(host, port), call)
    right = isinstance(outcome, Failure) and outcome.kind is FailureKind.TRANSIENT
    to.expect(right, f"nobody is there: {outcome}", "Nothing was written: Reply(status=0, written=False), and TRANSIENT.", place)


async def _outcome(bench: Bench, context: ClientContext, changes: Mapping[str, Any], call: Call) -> object:
    try:
        return bench.outcome(call, await _send(bench, context, changes, call))
    except TimeoutError:
        return "no answer in time"
    except Exception as error:  # noqa: BLE001  clients promise not to raise
        return f"raised {type(error).__name__}: {error}"
