"""C12 (the client), C16 and C19: the client against servers that answer as scripted, badly, or not at all."""

import asyncio
import gc
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import structlog
from aiohttp import web

from connectors.abilities import FetchedMedia, MediaFetcher, Receiver
from connectors.contract import Call, Client, ClientContext, Failure, Reply
from connectors.errors import FailureKind
from gateway.kit.bench import Bench
from gateway.kit.case import Download, Route
from gateway.kit.check_pure import discreet, echoing, leaks
from gateway.kit.findings import Findings
from gateway.kit.server import Heard, contained, serving, silent

_PICTURE: Final = b"\xff\xd8\xff\xe0" + b"kit 4711" * 1000
_SECONDS: Final = 10.0
_TIMES: Final = 100
#: So many of the author's refusals are repeated with the whole request in their words.
_REFUSALS: Final = 6
_BOUNDED: Final = "Read at most max_bytes; give FetchedMedia(problem=…) in words for the agent."
_INSIDE: Final = "Follow no redirect by yourself: look where it leads, never into a private network, and leave the credentials behind."


# --- C12 ----------------------------------------------------------------------------------------------------------------


async def discreet_at_work(bench: Bench, to: Findings) -> None:
    """C12: the pure functions, then the client, whose provider repeats the whole request in its answer, and what is logged."""
    discreet(bench, to)
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


# --- C16 ----------------------------------------------------------------------------------------------------------------


async def files(bench: Bench, to: Findings) -> None:
    """C16."""
    if "media" not in bench.able.receives:
        to.exempt("no media arrive on this channel")
        return
    if not await _fetches(bench):
        to.exempt("the client is no MediaFetcher: the gateway fetches by its own guarded fetcher, or has the file already")
        return
    right = bench.downloads and bench.sample.at is not None
    if not to.expect(right, "no case of a file that is fetched", "Write a media case, and Sample.at.", "cases"):
        return
    for case in bench.downloads:
        await _fetched(bench, to, case)


async def _fetches(bench: Bench) -> bool:
    async with contained() as (context, _):
        client = bench.connector.client(bench.settings, context)
        await client.close()
        return isinstance(client, MediaFetcher)


async def _fetched(bench: Bench, to: Findings, case: Download) -> None:
    size = len(_PICTURE)
    found, _ = await _fetch(bench, case, {}, size)
    place = bench.connector.client
    right = found is not None and found.data == _PICTURE and not found.problem
    to.expect(right, f"{case.name}: {_said(found)}", "Give the file's bytes.", place)
    found, _ = await _fetch(bench, case, {}, size - 1)
    to.expect(found is not None and not found.data and found.problem, f"{case.name}, too large: {_said(found)}", _BOUNDED, place)
    for status, words in ((404, "gone"), (410, "expired"), (500, "broken"), (403, "expired")):
        found, _ = await _fetch(bench, case, {"status": status}, size)
        to.expect(found is not None and not found.data and found.problem, f"{case.name}, {words}: {_said(found)}", _BOUNDED, place)
        again, heard = await _fetch(bench, case, {}, size)
        steps = len({line.partition("\n")[0] for line in heard.requests})
        whole = again is not None and again.data == _PICTURE and steps == len(case.answers)
        to.expect(whole, f"{case.name}: an expired link is not asked for again", "Ask for the link each time.", place)
    for where in (
        "http://10.0.0.1/latest",
        "http://169.254.169.254/latest/meta-data",
        "http://[::1]:80/",
        "http://localhost:1/",
        "file:///etc/passwd",
    ):
        await _redirected(bench, to, case, where)
    async with serving(lambda _: web.Response(body=_PICTURE), heard := Heard()) as (host, port):
        await _redirected(bench, to, case, f"http://{host}:{port}/elsewhere")
        for line in heard.requests:
            kept = [*leaks(bench.secrets, line), *(["Authorization"] if "\nauthorization:" in line.lower() else [])]
            to.expect(not kept, f"{case.name}: a redirect to another host takes {', '.join(kept)} along", _INSIDE, place)


async def _redirected(bench: Bench, to: Findings, case: Download, where: str) -> None:
    found, _, tried = await _fetch_watched(bench, case, {"status": 302, "location": where}, len(_PICTURE))
    place = bench.connector.client
    to.expect(not tried, f"{case.name}: a redirect to {where} is followed", _INSIDE, place)
    if not where.startswith("http://127.0.0.1"):
        to.expect(found is not None and not found.data and found.problem, f"{case.name}, redirected: {_said(found)}", _INSIDE, place)


async def _fetch(bench: Bench, case: Download, file: Mapping[str, Any], most: int) -> tuple[FetchedMedia | None, Heard]:
    found, heard, _ = await _fetch_watched(bench, case, file, most)
    return found, heard


async def _fetch_watched(bench: Bench, case: Download, file: Mapping[str, Any], most: int) -> tuple[FetchedMedia | None, Heard, list[str]]:
    """One download from a fresh provider; ``file`` may change its answer for the file itself."""
    assert bench.sample.at is not None
    heard = Heard()

    def answer(request: web.Request) -> web.StreamResponse:
        route = _route(case, request)
        if route is None:
            return web.Response(status=404, text=f"the media case {case.name!r} has no answer for {request.method} {request.path}")
        if route.file and file:
            headers = {"Location": file["location"]} if "location" in file else {}
            return web.Response(status=file["status"], headers=headers)
        if route.file:
            return web.Response(status=route.status, body=_PICTURE, content_type=case.mime, headers=route.headers)
        return web.json_response(_placed(route.json, request), status=route.status, headers=_placed(dict(route.headers), request))

    async with serving(answer, heard) as (host, port), contained() as (context, tried):
        client = bench.connector.client(bench.settings_with(bench.sample.at(host, port)), context)
        assert isinstance(client, MediaFetcher)
        try:
            async with asyncio.timeout(_SECONDS):
                return await client.fetch_media(case.ref.replace("{server}", f"http://{host}:{port}"), most), heard, tried
        except TimeoutError:
            return None, heard, tried
        finally:
            await client.close()


def _route(case: Download, request: web.Request) -> Route | None:
    asked = f"{request.method} {request.path_qs}"
    for pattern, route in case.answers.items():
        if asked == pattern or request.path == pattern.partition(" ")[2] or (pattern.endswith("*") and asked.startswith(pattern[:-1])):
            return route
    return None


def _placed(value: Any, request: web.Request) -> Any:
    if isinstance(value, str):
        return value.replace("{server}", f"http://{request.host}")
    if isinstance(value, list):
        return [_placed(inner, request) for inner in value]
    return {name: _placed(inner, request) for name, inner in value.items()} if isinstance(value, dict) else value


def _said(found: FetchedMedia | None) -> str:
    return "no answer in time" if found is None else found.problem or f"{len(found.data):,} bytes"


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
    assert bench.sample.at is not None
    place = bench.connector.client
    async with silent(hang_up=False) as (mute, host, port), contained() as (context, _):
        settings = bench.settings_with(bench.sample.at(host, port))
        client = bench.connector.client(settings, context)
        sending = asyncio.create_task(client.send(moved(call, bench.settings, settings)))
        with suppress(TimeoutError):
            async with asyncio.timeout(_SECONDS):
                await mute.connected.wait()
        reached = mute.connected.is_set()
        to.expect(reached, "the call does not reach the provider that the sample names", "Let Sample.at change every address.", "sample.py")
        sending.cancel()
        done, _ = await asyncio.wait({sending}, timeout=_SECONDS)
        to.expect(done, "a cancelled call goes on", "Let CancelledError pass.", place)
        swallowed = bool(done) and not sending.cancelled()
        to.expect(not swallowed, "a cancelled call gives an answer", "Let CancelledError pass: catch Exception at most.", place)
        await client.close()
    unknown = bench.outcome(call, Reply(status=0, written=True))
    safe = isinstance(unknown, Failure) and (unknown.kind is FailureKind.UNKNOWN or bench.able.idempotent)
    to.expect(safe, f"a call without answer is {unknown}", "It may have gone out: UNKNOWN.", bench.connector.read_reply)


async def _cut_off(bench: Bench, to: Findings, call: Call) -> None:
    """The provider hangs up; nobody is there."""
    assert bench.sample.at is not None
    place = bench.connector.client
    async with silent(hang_up=True) as (mute, host, port), contained() as (context, _):
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
