"""C16: files of shoppers, fetched from the provider or taken out of the message that they came in."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from aiohttp import web

from connectors.abilities import FetchedMedia, MediaFetcher, RawMedia
from connectors.content import Media
from connectors.contract import Client
from gateway.kit.bench import Bench
from gateway.kit.case import Download, Route
from gateway.kit.check_pure import leaks
from gateway.kit.findings import Findings
from gateway.kit.server import Heard, contained, serving

_PICTURE: Final = b"\xff\xd8\xff\xe0" + b"kit 4711" * 1000
_SECONDS: Final = 10.0
_BOUNDED: Final = "Read at most max_bytes; give FetchedMedia(problem=…) in words for the agent."
_INSIDE: Final = "Follow no redirect by yourself: look where it leads, never into a private network, and leave the credentials behind."


async def files(bench: Bench, to: Findings) -> None:
    """C16."""
    if "media" not in bench.able.receives:
        to.exempt("no media arrive on this channel")
        return
    client = await _closed_client(bench)
    if isinstance(client, RawMedia):
        _taken_out(bench, to, client)
        if not isinstance(client, MediaFetcher):
            to.exempt("nothing is fetched: files come within the message")
            return
    if not isinstance(client, MediaFetcher):
        to.exempt("the client is no MediaFetcher: the gateway fetches by its own guarded fetcher, or has the file already")
        return
    right = bench.downloads and bench.sample.at is not None
    if not to.expect(right, "no case of a file that is fetched", "Write a media case, and Sample.at.", "cases"):
        return
    for case in bench.downloads:
        await _fetched(bench, to, case)


async def _closed_client(bench: Bench) -> Client:
    """For a look at its abilities."""
    async with contained() as (context, _):
        client: Client = bench.connector.client(bench.settings, context)
        await client.close()
        return client


def _taken_out(bench: Bench, to: Findings, client: RawMedia) -> None:
    """Files that came within the message, out of the body that the gateway has stored."""
    place, files = bench.connector.client, 0
    for arrival in bench.good:
        raw = arrival.request.body
        for event in bench.parse(arrival.request):
            for media in (part for part in getattr(event, "parts", ()) if isinstance(part, Media) and part.ref.startswith("raw:")):
                files += 1
                what = f"{arrival.name}: the file {media.name!r}"
                right = media.ref.startswith(f"raw:{event.key}#")
                to.expect(right, f"{what} is at {media.ref!r}", "A reference is raw:<event key>#<place>.", bench.connector.parse)
                found = client.extract(raw, media.ref, media.size)
                whole = len(found.data) == media.size and (bool(found.problem) is (media.size == 0))
                to.expect(whole, f"{what} of {media.size:,} bytes: {_said(found)}", "Give the file's bytes.", place)
                for ref, most in ((media.ref, media.size - 1), (f"raw:{event.key}#kit 4711", 1 << 20)):
                    found = client.extract(raw, ref, most)
                    to.expect(not found.data and found.problem, f"{what}, too large or not there: {_said(found)}", _BOUNDED, place)
                for body in (b"", raw[: len(raw) // 2], b"\0" + raw):
                    client.extract(body, media.ref, media.size)
    to.expect(files, "no inbound case has a file within the message", "Write one.", "cases")


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
