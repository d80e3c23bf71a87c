"""One predicate decides what everybody sees. Who may not see a thing cannot tell whether it exists."""

import re

import pytest

from gateway.web.operations import ROUTES
from gateway.web.route import Route
from tests.support.cast import Answer, Cast, Shopper
from tests.support.pictures import PNG

UNKNOWN = {"conversation": "cnv_00000000000000000000000000", "customer": "cus_00000000000000000000000000"}
_BODIES: dict[str, object] = {
    "/conversations/{id}/messages": {"text": "x"},
    "/conversations/{id}/plan": {"text": "x"},
    "/conversations/{id}/assign": {"agent_id": None},
    "/conversations/{id}/transfer": {"queue_id": "que_00000000000000000000000000"},
    "/conversations/{id}/snooze": {"until": "2026-12-31T00:00:00Z"},
    "/conversations/{id}/read": {"pos": 1},
    "/customers/{id}/merge": {"from_id": UNKNOWN["customer"]},
    "/customers/{id}/unmerge": {"from_id": UNKNOWN["customer"]},
    "/customers/{id}/links": {"channel": "bot"},
}
_OWNED = tuple(route for route in ROUTES if re.match(r"/(conversations|customers)/{id}", route.path))


def _filled(path: str, identifier: str) -> str:
    return re.sub(r"\{\w+\}", "msg_00000000000000000000000000", path.replace("{id}", identifier))


async def _call(cast: Cast, who: str, route: Route, identifier: str) -> Answer:
    person = getattr(cast, who)
    path = _filled(route.path, identifier)
    return await person.call(route.method, path, _BODIES.get(route.path, {} if route.body else None))  # type: ignore[no-any-return]


@pytest.mark.parametrize("route", _OWNED, ids=lambda route: route.name)
async def test_what_is_not_yours_looks_like_what_is_not_there(route: Route, cast: Cast) -> None:
    conversation = await cast.conversation()
    kind = "conversation" if route.path.startswith("/conversations") else "customer"
    real = conversation["id"] if kind == "conversation" else conversation["customer_id"]
    foreign = await _call(cast, "ben", route, real)
    missing = await _call(cast, "ben", route, UNKNOWN[kind])
    assert (foreign.status, foreign.raw) == (missing.status, missing.raw)
    assert foreign.status == 404


@pytest.mark.parametrize("route", [route for route in ROUTES if route.roles is not None], ids=lambda route: route.name)
async def test_strangers_get_in_nowhere(route: Route, stage: Cast) -> None:
    path = _filled(route.path, "x")
    for headers in ({}, {"Cookie": "sportello_session=guessed"}, {"Authorization": "Bearer gw_a_b"}, {"Authorization": "Basic eDp5"}):
        status, _, body = await stage.gateway.request(route.method, f"/api/v1{path}", headers={**headers, "Origin": stage.gateway.url})
        assert (status, b'"code":"unauthenticated"' in body) == (401, True)


@pytest.mark.parametrize(
    "route", [route for route in ROUTES if route.roles is not None and len(route.roles) < 4], ids=lambda route: route.name
)
async def test_roles_are_kept(route: Route, stage: Cast) -> None:
    path = _filled(route.path, "x")
    for who in ("amy", "sue", "ada"):
        person = getattr(stage, who)
        answer = await person.call(route.method, path, {} if route.body else None)
        allowed = person.agent.role in (route.roles or ())
        assert (answer.status == 403) is not allowed, (who, answer.raw)


async def test_foreign_ids_in_an_own_body(cast: Cast) -> None:
    mine = await cast.conversation()
    path = f"/conversations/{mine['id']}"
    await cast.ada.post(f"{path}/accept")
    foreign = await cast.conversation("For Ben", Shopper(cast.gateway))
    await cast.sue.post(f"/conversations/{foreign['id']}/transfer", {"queue_id": cast.returns.id})
    line = (await cast.ben.get(f"/conversations/{foreign['id']}/messages")).json["items"][0]["id"]
    upload = await cast.ben.call("POST", "/media", PNG, headers={"Content-Type": "image/png"})
    media = {"type": "media", "kind": "image", "ref": upload.json["id"]}
    tries = [
        (f"{path}/messages", {"text": "x", "reply_to": line}, 422),
        (f"{path}/messages", {"text": "x", "reply_to": "msg_none"}, 422),
        (f"{path}/messages", {"parts": [media]}, 422),
        (f"{path}/assign", {"agent_id": cast.ben.id}, 409),
        (f"{path}/assign", {"agent_id": "agt_none"}, 404),
        (f"{path}/transfer", {"queue_id": "que_none"}, 404),
        (f"/customers/{mine['customer_id']}/merge", {"from_id": foreign["customer_id"]}, 404),
        (f"/customers/{mine['customer_id']}/merge", {"from_id": "cus_none"}, 404),
    ]
    for where, body, status in tries:
        answer = await cast.ada.post(where, body)
        assert answer.status == status, (where, body, answer.raw)
    assert (await cast.ada.get(f"/media/{upload.json['id']}")).status == 404


async def test_replies_that_cannot_be(cast: Cast) -> None:
    conversation = await cast.conversation()
    path = f"/conversations/{conversation['id']}"
    await cast.sue.post(f"{path}/accept")
    taken = await cast.ada.post(f"{path}/messages", {"text": "mine?"})
    assert (taken.status, taken.code) == (409, "taken")
    assert (await cast.sue.post(f"{path}/resolve")).status == 200
    resolved = await cast.sue.post(f"{path}/messages", {"text": "too late"})
    assert (resolved.status, resolved.code) == (409, "resolved")
    assert (await cast.sue.post("/conversations/cnv_none/messages", {"text": "x"})).status == 404
    long = await cast.sue.post(f"{path}/messages", {"text": "x" * 10_001})
    assert (long.status, long.code) == (422, "too_long")
    assert "10000" in long.json["detail"]


async def test_secrets_and_line_breaks_do_not_reach_the_log(cast: Cast, capfd: pytest.CaptureFixture[str]) -> None:
    canary = "gw_canary_0123456789abcdef"
    await cast.gateway.request("GET", f"/api/v1/me?token={canary}")
    await cast.gateway.request("GET", "/api/v1/me", headers={"Authorization": f"Bearer {canary}"})
    await cast.gateway.request("GET", "/api/v1/me?a%0d%0aInjected:%20line%1b[31m=1&secret=x")
    await cast.gateway.request("POST", "/api/v1/sessions", json={"email": "a@example.org\r\nInjected: line", "password": canary})
    written = "".join(capfd.readouterr())
    assert "canary" not in written
    assert not any(line.startswith("Injected") for line in written.splitlines())
    assert "\x1b[31m=" not in written


async def test_files_are_shown_to_who_may_see_their_conversation(cast: Cast) -> None:
    headers = {"Content-Type": "text/html", "X-File-Name": "..%2F..%2Fca%00t%E2%80%AEgnp.png"}
    upload = (await cast.ada.call("POST", "/media", PNG, headers=headers)).json
    assert (upload["mime"], upload["size"], upload["name"]) == ("image/png", len(PNG), "catgnp.png")
    path = f"/media/{upload['id']}"
    assert (await cast.sue.get(path)).status == 404
    shown = await cast.ada.get(path)
    assert (shown.status, shown.raw, shown.headers["Content-Type"]) == (200, PNG, "image/png")
    assert shown.headers["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in shown.headers["Content-Security-Policy"]
    page = (await cast.ada.call("POST", "/media", b"<script>alert(1)</script>", headers={"Content-Type": "image/png"})).json
    hostile = await cast.ada.get(f"/media/{page['id']}")
    assert hostile.headers["Content-Type"] == "application/octet-stream"
    assert hostile.headers["Content-Disposition"].startswith("attachment")
    conversation = await cast.conversation()
    await cast.ada.post(f"/conversations/{conversation['id']}/accept")
    note = {"parts": [{"type": "media", "kind": "image", "ref": upload["id"]}], "note": True}
    assert (await cast.ada.post(f"/conversations/{conversation['id']}/messages", note)).status == 201
    assert (await cast.sue.get(path)).status == 200
    assert (await cast.ben.get(path)).status == 404
