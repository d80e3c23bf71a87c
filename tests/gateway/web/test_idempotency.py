"""The same POST twice has one effect, whatever happens in between."""

import asyncio
import hashlib
from datetime import timedelta

from connectors.content import Text
from gateway.web.idempotency import command_id
from routing.command import Actor, Reply
from storage.access import Scope
from storage.record import Message, Role
from tests.support.cast import Cast
from tests.support.pictures import PNG, picture


async def _open(cast: Cast) -> str:
    conversation = await cast.conversation()
    assert (await cast.ada.post(f"/conversations/{conversation['id']}/accept")).status == 200
    return f"/conversations/{conversation['id']}/messages"


async def _replies(cast: Cast, path: str) -> list[str]:
    items = (await cast.ada.get(path)).json["items"]
    return [item["parts"][0]["text"] for item in items if item["kind"] == "outbound"]


async def test_a_repeated_key_gives_the_first_answer(cast: Cast) -> None:
    path = await _open(cast)
    first = await cast.ada.post(path, {"text": "once"}, key="k1")
    again = await cast.ada.post(path, {"text": "once"}, key="k1")
    assert (first.status, again.status, again.raw) == (201, 201, first.raw)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert "Idempotency-Replayed" not in first.headers
    assert await _replies(cast, path) == ["once"]


async def test_a_key_with_another_body_is_refused(cast: Cast) -> None:
    path = await _open(cast)
    await cast.ada.post(path, {"text": "once"}, key="k1")
    other = await cast.ada.post(path, {"text": "twice"}, key="k1")
    assert (other.status, other.code) == (422, "idempotency_mismatch")
    independent = await cast.sue.post(path, {"text": "twice"}, key="k1")
    assert independent.status == 201
    assert await _replies(cast, path) == ["once", "twice"]


async def test_many_at_the_same_time_have_one_effect(cast: Cast) -> None:
    path = await _open(cast)
    answers = await asyncio.gather(*(cast.ada.post(path, {"text": "once"}, key="k1") for _ in range(8)))
    assert {answer.status for answer in answers} <= {201, 409}
    assert any(answer.status == 201 for answer in answers)
    assert {answer.code for answer in answers if answer.status == 409} <= {"idempotency_running"}
    assert await _replies(cast, path) == ["once"]


async def test_a_refused_request_may_be_tried_again(cast: Cast) -> None:
    path = await _open(cast)
    resolve = path.replace("/messages", "/resolve")
    assert (await cast.ada.post(resolve)).status == 200
    assert (await cast.ada.post(path, {"text": "now?"}, key="k1")).code == "resolved"
    await cast.ada.post(path.replace("/messages", "/reopen"))
    assert (await cast.ada.post(path, {"text": "now?"}, key="k1")).status == 201


async def test_a_crash_between_work_and_memory_doubles_nothing(cast: Cast) -> None:
    path = await _open(cast)
    services = cast.gateway.services
    now = services.clock()
    # As a process that died after the work leaves it: reserved long ago, done, never finished.
    mark = hashlib.sha256(b"\0".join((b"POST", f"/api/v1{path}".encode(), b'{"text":"once"}'))).hexdigest()
    await services.store.transact(lambda tx: tx.requests.begin(cast.ada.id, "k1", mark, now - timedelta(minutes=2)))
    actor = Actor(agent_id=cast.ada.id, name="Ada", role=Role.AGENT, scope=Scope(queues=frozenset({cast.general.id}), agent=cast.ada.id))
    command = Reply(id=command_id(cast.ada.id, "k1", now), actor=actor, conversation_id=path.split("/")[2], parts=(Text(text="once"),))
    first = await services.router.handle(command)
    assert isinstance(first, Message)
    again = await cast.ada.post(path, {"text": "once"}, key="k1")
    assert (again.status, again.json["message"]["id"]) == (201, first.id)
    assert await _replies(cast, path) == ["once"]


async def test_a_repeated_upload_is_the_same_file(cast: Cast) -> None:
    kind = {"Content-Type": "image/png"}
    first = await cast.ada.call("POST", "/media", PNG, key="k1", headers=kind)
    again = await cast.ada.call("POST", "/media", PNG, key="k1", headers=kind)
    assert (first.status, again.json) == (201, first.json)
    other = await cast.ada.call("POST", "/media", picture(colour=(0, 0, 1)), key="k1", headers=kind)
    assert (other.status, other.code) == (422, "idempotency_mismatch")


async def test_a_repeated_token_request_gives_the_same_token_though_it_is_not_kept(cast: Cast) -> None:
    first = await cast.ada.post("/tokens", {"label": "till"}, key="k1")
    again = await cast.ada.post("/tokens", {"label": "till"}, key="k1")
    assert first.json == again.json
    headers = {"Authorization": f"Bearer {first.json['secret']}"}
    assert (await cast.gateway.request("GET", "/api/v1/me", headers=headers))[0] == 200
    assert (await cast.ada.post("/tokens", {"label": "other"}, key="k1")).code == "idempotency_mismatch"
    labels = [item["label"] for item in (await cast.ada.get("/tokens")).json["items"]]
    assert sorted(labels) == ["test", "till"]
    assert (await cast.ada.call("DELETE", f"/tokens/{first.json['token']['id']}")).status == 204
    assert (await cast.gateway.request("GET", "/api/v1/me", headers=headers))[0] == 401
