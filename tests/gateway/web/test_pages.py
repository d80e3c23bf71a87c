"""Pages, descriptions and figures: what is served to whom, and with which headers."""

import re
from pathlib import Path

import jsonschema
import msgspec
import pytest
from aiohttp.test_utils import make_mocked_request

from connectors.content import Text
from gateway.web import asyncapi, openapi
from gateway.web.access import client_address
from gateway.web.errors import not_found
from gateway.web.operations import ROUTES
from gateway.web.pages import page
from tests.support.cast import Cast
from tests.support.gateway import RunningGateway, gateway_config, running_gateway

_EVIL = ("..%2f..%2fapp.py", "%2e%2e/app.py", "..\\app.py", ".git", "assets/../../app.py", "a%00b", "//etc/passwd", "")


async def test_every_route_is_described(stage: Cast) -> None:
    status, headers, body = await stage.gateway.request("GET", "/api/openapi.json")
    document = msgspec.json.decode(body)
    assert (status, headers["Content-Type"]) == (200, "application/json")
    assert document["openapi"] == "3.1.0"
    described = {(path, method) for path, item in document["paths"].items() for method in item}
    assert {(f"/api/v1{route.path}", route.method.lower()) for route in ROUTES} <= described
    names = [operation["operationId"] for item in document["paths"].values() for operation in item.values()]
    assert len(names) == len(set(names))
    for reference in re.findall(r'"\$ref":"#/components/schemas/([^"]+)"', body.decode()):
        assert reference in document["components"]["schemas"]


async def test_answers_fit_their_description(cast: Cast) -> None:
    conversation = await cast.conversation()
    await cast.ada.post(f"/conversations/{conversation['id']}/accept")
    line = (await cast.ada.get(f"/conversations/{conversation['id']}/messages")).json["items"][0]["id"]
    document = openapi.describe("http://x")
    concrete = {"/conversations/{id}": conversation["id"], "/customers/{id}": conversation["customer_id"], "/queues/{id}": cast.general.id}
    checked = 0
    for route in ROUTES:
        prefix = next((prefix for prefix in concrete if route.path.startswith(prefix)), None)
        if route.method != "GET" or route.response is None or ("{" in route.path and prefix is None):
            continue
        path = route.path.replace("{id}", concrete[prefix]) if prefix else route.path
        answer = await cast.amy.get(path.replace("{message_id}", line))
        assert answer.status == 200, route.path
        schema = document["paths"][f"/api/v1{route.path}"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
        jsonschema.Draft202012Validator({**schema, "components": document["components"]}).validate(answer.json)
        checked += 1
    assert checked >= 14


async def test_frames_of_the_feed_fit_their_description(cast: Cast) -> None:
    document = asyncapi.describe("http://x")
    async with cast.sue.feed() as frames:
        conversation = await cast.conversation()
        await cast.ada.post(f"/conversations/{conversation['id']}/accept")
        await cast.ada.post(f"/conversations/{conversation['id']}/messages", {"text": "Hi"})
        await cast.ada.post(f"/conversations/{conversation['id']}/resolve")
        await cast.ada.call("PATCH", "/me", {"presence": "online"})
        await cast.sue.post("/queues", {"name": "New"})
        await frames.of("queue.changed")
    for frame in frames.seen:
        payload = document["components"]["messages"][frame["type"].replace(".", "_")]["payload"]
        jsonschema.Draft202012Validator({**payload, "components": document["components"]}).validate(frame)
    assert len({frame["type"] for frame in frames.seen}) >= 6


async def test_the_docs_page_needs_nothing_from_elsewhere(stage: Cast) -> None:
    for path, mime in (("/api/docs", "text/html"), ("/api/docs/docs.js", "text/javascript"), ("/api/docs/docs.css", "text/css")):
        status, headers, body = await stage.gateway.request("GET", path)
        assert (status, headers["Content-Type"].split(";")[0]) == (200, mime)
        assert b"http://" not in body
        assert b"https://" not in body
        assert b"innerHTML" not in body
    csp = (await stage.gateway.request("GET", "/api/docs"))[1]["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in csp
    assert "unsafe" not in csp


async def test_headers_of_answers(stage: Cast) -> None:
    headers = (await stage.ada.get("/me")).headers
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert headers["Server"] == "sportello"
    assert "Access-Control-Allow-Origin" not in headers


async def test_health_and_figures(stage: Cast) -> None:
    assert (await stage.gateway.request("GET", "/healthz"))[0] == 200
    status, _, body = await stage.gateway.request("GET", "/readyz")
    assert (status, msgspec.json.decode(body)["status"]) == (200, "ok")
    status, _, body = await stage.gateway.request("GET", "/metrics")
    assert status == 200
    assert b"sportello_http_seconds_count" in body
    assert b"cnv_" not in body
    proxied = {"X-Forwarded-For": "203.0.113.9"}
    assert (await stage.gateway.request("GET", "/metrics", headers=proxied))[0] == 404
    bearer = {**proxied, "Authorization": f"Bearer {stage.amy.token}"}
    assert (await stage.gateway.request("GET", "/metrics", headers=bearer))[0] == 200
    bearer = {**proxied, "Authorization": f"Bearer {stage.ada.token}"}
    assert (await stage.gateway.request("GET", "/metrics", headers=bearer))[0] == 403


@pytest.mark.parametrize("name", _EVIL)
async def test_no_file_outside_is_served(name: str, tmp_path: Path) -> None:
    (tmp_path / "dist").mkdir()
    (tmp_path / "app.py").write_text("secret")
    with pytest.raises(type(not_found())):
        page(tmp_path / "dist", name)


async def test_evil_paths_over_http(stage: Cast) -> None:
    for name in _EVIL[:-1]:
        status, _, body = await stage.gateway.request("GET", f"/inbox/{name}")
        assert status in (404, 503)
        assert b"create_app" not in body


async def test_demo_pages_are_for_the_demo(tmp_path: Path) -> None:
    async with running_gateway(gateway_config(tmp_path)) as gateway:
        assert await _status(gateway, "/") == (302, "/inbox/")
        assert (await _status(gateway, "/phone/"))[0] == 404
        assert await _status(gateway, "/inbox") == (308, "/inbox/")
    async with running_gateway(gateway_config(tmp_path), demo=True) as gateway:
        assert (await _status(gateway, "/"))[0] in (200, 503)
        assert (await _status(gateway, "/phone/"))[0] in (200, 503)
        status, headers, _ = await gateway.request("GET", "/inbox/", headers={"Host": f"localhost:{gateway.port}"})
        assert (status, headers["Location"]) == (307, f"{gateway.url}/inbox/")
        status, headers, _ = await gateway.request("GET", "/inbox/", headers={"Host": "evil.example"})
        assert "evil" not in headers.get("Location", "")


async def test_an_unexpected_error_says_only_a_reference(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> str:
        raise RuntimeError(f"secret {Text(text='detail')}")

    monkeypatch.setattr(type(cast.gateway.services.metrics), "render", broken)
    status, headers, body = await cast.gateway.request("GET", "/metrics")
    problem = msgspec.json.decode(body)
    assert (status, headers["Content-Type"], problem["code"]) == (500, "application/problem+json", "internal")
    assert len(problem["reference"]) == 12
    assert b"secret" not in body


def test_addresses_behind_proxies() -> None:
    def address(forwarded: str, trusted: tuple[str, ...]) -> str:
        request = make_mocked_request("GET", "/", headers={"X-Forwarded-For": forwarded}).clone(remote="10.0.0.1")
        return client_address(request, trusted)

    assert address("203.0.113.9", ()) == "10.0.0.1"
    assert address("203.0.113.9", ("10.0.0.0/8",)) == "203.0.113.9"
    assert address("1.1.1.1, 203.0.113.9, 10.0.0.2", ("10.0.0.0/8",)) == "203.0.113.9"
    assert address("forged\x1b, nonsense", ("10.0.0.0/8",)) == "10.0.0.1"
    assert address("", ("10.0.0.0/8",)) == "10.0.0.1"


async def _status(gateway: RunningGateway, path: str) -> tuple[int, str]:
    status, headers, _ = await gateway.request("GET", path)
    return status, headers.get("Location", "")
