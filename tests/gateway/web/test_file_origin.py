"""People's files at an origin of their own: only files there, no file here, and links that end."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from msgspec.structs import replace

from config import Secret
from config.model import Media
from gateway.web.file_tokens import FOR_PAGES, FOR_PROVIDERS, make_token, open_token
from gateway.web.public_files import file_linker
from tests.gateway.web.test_public_files import link, uploaded
from tests.support.cast import Answer, Cast, assemble
from tests.support.gateway import gateway_config, running_gateway, with_server
from tests.support.pictures import PNG
from tests.support.visitor import events

FILES = "http://files.example.org"
HTML = b"<!doctype html><script>alert(1)</script>"


@pytest.fixture
async def apart(tmp_path: Path) -> AsyncIterator[Cast]:
    config = replace(gateway_config(tmp_path / "apart"), media=Media(origin=f"{FILES}/"))
    async with running_gateway(config) as gateway:
        yield await assemble(gateway)


async def _at(cast: Cast, path: str, host: str = "files.example.org", **headers: str) -> Answer:
    """One request as if the gateway were reached by this name."""
    return Answer(*await cast.gateway.request("GET", path, headers={"Host": host, **headers}))


def _path(url: str) -> str:
    assert url.startswith(f"{FILES}/"), url
    return url.removeprefix(FILES)


async def test_an_agents_page_is_led_to_the_files_origin(apart: Cast) -> None:
    file = await uploaded(apart, PNG, "a.png")
    answer = await apart.ada.get(f"/media/{file}")
    assert (answer.status, answer.raw) == (302, b"")
    shown = await _at(apart, _path(answer.headers["Location"]))
    assert (shown.status, shown.raw, shown.headers["Content-Type"]) == (200, PNG, "image/png")
    assert shown.headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
    assert shown.headers["X-Content-Type-Options"] == "nosniff"
    # The inbox shows it, from another origin.
    assert shown.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    assert "Set-Cookie" not in shown.headers
    # Within five minutes it is the same address, for the browser's cache.
    assert file not in answer.headers["Location"]
    page = await _at(apart, _path((await apart.ada.get(f"/media/{await uploaded(apart, HTML, 'a.html')}")).headers["Location"]))
    assert page.headers["Content-Type"] == "application/octet-stream"
    assert page.headers["Content-Disposition"].startswith("attachment;")
    # Who may not see it learns nothing.
    assert (await apart.ben.get(f"/media/{file}")).status == 404


async def test_a_link_ends_and_is_for_one_purpose(apart: Cast) -> None:
    services, file = apart.gateway.services, await uploaded(apart, PNG, "a.png")
    secret, now = services.config.server.secret_key, services.clock()
    answer = await apart.ada.get(f"/media/{file}")
    good = _path(answer.headers["Location"])
    wrong = [
        good[:-1] + ("A" if good[-1] != "A" else "B"),
        "/media/x",
        "/media/" + make_token(secret, file, now - timedelta(seconds=1), FOR_PAGES),
        "/media/" + make_token(secret, file, now + timedelta(minutes=5), FOR_PROVIDERS),
        "/files/" + make_token(secret, file, now + timedelta(minutes=5), FOR_PAGES),
        "/media/" + make_token(secret, "med_gone", now + timedelta(minutes=5), FOR_PAGES),
    ]
    assert {(await _at(apart, path)).status for path in wrong} == {404}
    until = next(minutes for minutes in range(1, 30) if _token(services, file, minutes) == good.removeprefix("/media/"))
    assert until <= 10


def _token(services: object, file: str, minutes: int) -> str:
    clock, config = services.clock, services.config  # type: ignore[attr-defined]
    now = clock().replace(second=0, microsecond=0)
    return make_token(config.server.secret_key, file, now + timedelta(minutes=minutes), FOR_PAGES)


async def test_at_the_files_origin_there_is_nothing_else(apart: Cast) -> None:
    file = await uploaded(apart, PNG, "a.png")
    paths = ["/", "/inbox/", "/api/v1/me", f"/api/v1/media/{file}", "/api/openapi.json", "/api/docs", "/healthz", "/readyz", "/metrics"]
    paths += ["/widget.js", "/chat/v1/web/events", "/chat/v1/web/socket", "/webhooks/bot", "/favicon.ico", "/nothing", "/media/"]
    for path in paths:
        for host in ("files.example.org", "FILES.example.org", "files.example.org:80"):
            answer = await _at(apart, path, host, Cookie=apart.ada.cookie_header["Cookie"])
            assert (answer.status, answer.code) == (404, "not_found"), path
            assert "Set-Cookie" not in answer.headers
    status, _, _ = await apart.gateway.request("POST", "/api/v1/sessions", headers={"Host": "files.example.org"}, json={})
    assert status == 404


async def test_at_the_gateways_own_origin_there_is_no_file(apart: Cast) -> None:
    services, file = apart.gateway.services, await uploaded(apart, PNG, "a.png")
    shown = _path((await apart.ada.get(f"/media/{file}")).headers["Location"])
    for path in (link(services, file), shown, "/chat/v1/web/files/med_1?until=1&sig=x-_"):
        for host in (f"127.0.0.1:{apart.gateway.port}", "files.example.org:8443", "elsewhere.example.org"):
            answer = await _at(apart, path, host)
            assert (answer.status, answer.raw, answer.headers["Location"]) == (302, b"", FILES + path)
    assert (await _at(apart, link(services, file))).raw == PNG


async def test_visitors_and_providers_get_links_to_it(apart: Cast) -> None:
    conversation = await apart.conversation()
    path = f"/conversations/{conversation['id']}"
    await apart.ada.post(f"{path}/accept")
    file = await uploaded(apart, PNG, "a.png")
    async with events(apart.cleo) as stream:
        await apart.ada.post(f"{path}/messages", {"parts": [{"type": "media", "kind": "image", "ref": file}]})
        url = (await stream.of("message"))["parts"][0]["url"]
    assert (await _at(apart, _path(url))).raw == PNG
    services = apart.gateway.services
    public = await file_linker(services.config, services.store, services.screen, services.clock)(file)
    assert (await _at(apart, _path(public))).raw == PNG


async def test_our_pages_may_show_pictures_from_exactly_that_origin(apart: Cast, cast: Cast) -> None:
    _, headers, _ = await apart.gateway.request("GET", "/api/docs")
    _, plain, _ = await cast.gateway.request("GET", "/api/docs")
    policy, without = headers["Content-Security-Policy"], plain["Content-Security-Policy"]
    assert f"img-src 'self' data: blob: {FILES};" in policy
    assert policy.replace(f" {FILES}", "") == without
    assert urlsplit(FILES).netloc not in without


async def test_without_an_origin_of_its_own_a_pages_link_is_worth_nothing(cast: Cast) -> None:
    services, file = cast.gateway.services, await uploaded(cast, PNG, "a.png")
    token = make_token(services.config.server.secret_key, file, services.clock() + timedelta(minutes=5), FOR_PAGES)
    assert (await cast.gateway.request("GET", f"/media/{token}"))[0] == 404
    assert (await cast.ada.get(f"/media/{file}")).raw == PNG


async def test_hosts_that_cannot_be_read_get_the_gateway_and_no_file(tmp_path: Path) -> None:
    config = with_server(replace(gateway_config(tmp_path), media=Media(origin="https://files.example.org:8443")))
    async with running_gateway(config) as gateway:
        cast = await assemble(gateway)
        for host, status in (("files.example.org:8443", 404), ("files.example.org", 200), ("[::1", 200), ("files.example.org.:8443", 200)):
            assert (await _at(cast, "/healthz", host)).status == status, host


@pytest.mark.parametrize("name", ["med_1", "med_12", "med_123"])
def test_a_token_has_one_spelling(name: str) -> None:
    secret, now = Secret("canary-key-of-one-spelling-0123456789"), datetime(2026, 11, 22, tzinfo=UTC)
    token = make_token(secret, name, now + timedelta(minutes=5), FOR_PAGES)
    others = set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") - {token[-1]}
    assert open_token(secret, token, now, FOR_PAGES) == name
    assert {open_token(secret, token[:-1] + char, now, FOR_PAGES) for char in others} == {""}
