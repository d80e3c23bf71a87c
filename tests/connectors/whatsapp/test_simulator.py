"""The simulator is as hard as Meta: signatures, limits, order, redelivery."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from config import Secret
from connectors.contract import Request
from connectors.signature import sign
from connectors.whatsapp import CONNECTOR
from connectors.whatsapp.simulator.app import HOOK
from tests.support.graph import APP_SECRET, NUMBER, TOKEN, WABA, Bench, make_settings, whatsapp_bench
from tests.support.process import free_port
from tests.support.serving import serving
from tests.support.waiting import until

PNG = {"data": "iVBORw0KGgo=", "mime": "image/png"}


@dataclass
class Listener:
    """A gateway that takes webhooks, or does not."""

    bodies: list[bytes] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    #: Answers to come; then 200.
    answers: list[int] = field(default_factory=list)

    async def take(self, request: web.Request) -> web.Response:
        body = await request.read()
        status = self.answers.pop(0) if self.answers else 200
        if status == 200:
            self.bodies.append(body)
            self.headers.append({name.lower(): value for name, value in request.headers.items()})
        return web.Response(status=status)

    def values(self) -> list[dict[str, Any]]:
        return [change["value"] for body in self.bodies for entry in json.loads(body)["entry"] for change in entry["changes"]]

    def statuses(self) -> list[str]:
        return [status["status"] for value in self.values() for status in value.get("statuses", ())]


@asynccontextmanager
async def heard(**options: Any) -> AsyncIterator[tuple[Bench, Listener]]:
    listener = Listener()
    app = web.Application()
    app.router.add_post("/wa", listener.take)
    async with serving(app) as root, whatsapp_bench(webhook_url=f"{root}/wa", **options) as bench:
        yield bench, listener


async def send(bench: Bench, **body: Any) -> tuple[int, dict[str, Any]]:
    url = f"{bench.root}/v26.0/{NUMBER}/messages"
    message = {"messaging_product": "whatsapp", **body}
    async with bench.session.post(url, json=message, headers={"Authorization": f"Bearer {TOKEN}"}) as answer:
        return answer.status, await answer.json()


async def test_webhooks_are_signed_over_escaped_bytes_and_the_connector_believes_them() -> None:
    async with heard() as (bench, listener):
        await bench.phones.say(await bench.phones.person(), "è 👋 a/b")
        await until(lambda: listener.bodies)
        body, headers = listener.bodies[0], listener.headers[0]
        assert b"\\u00e8 \\ud83d\\udc4b a\\/b" in body
        assert headers["x-hub-signature-256"] == "sha256=" + sign("sha256", Secret(APP_SECRET), body)
        request = Request(method="POST", url="https://x/wa", headers=headers, body=body, received_at=datetime.now(UTC))
        assert CONNECTOR.verify(request, make_settings())


async def test_webhooks_come_again_until_they_are_taken() -> None:
    async with heard() as (bench, listener):
        listener.answers = [500, 503, 500]
        await bench.phones.say(await bench.phones.person(), "again")
        await until(lambda: listener.bodies)
        assert listener.answers == []


async def test_several_entries_in_one_webhook() -> None:
    async with heard() as (bench, listener):
        bench.batch(5)
        person = await bench.phones.person()
        for number in range(5):
            await bench.phones.say(person, f"{number}")
        await until(lambda: listener.bodies)
        assert [value["messages"][0]["text"]["body"] for value in listener.values()] == ["0", "1", "2", "3", "4"]
        assert len(listener.bodies) == 1
        assert bench.app[HOOK].batch == 5


async def test_statuses_follow_the_phone() -> None:
    async with heard() as (bench, listener):
        person = await bench.phones.person()
        await bench.phones.say(person, "hi")
        await bench.phones.post(f"people/{person}/network", online=False)
        await send(bench, to=person, type="text", text={"body": "x"}, biz_opaque_callback_data="mine")
        await until(lambda: listener.statuses() == ["sent"])
        await bench.phones.post(f"people/{person}/network", online=True)
        await until(lambda: listener.statuses() == ["sent", "delivered"])
        await bench.phones.post(f"people/{person}/read")
        await until(lambda: listener.statuses() == ["sent", "delivered", "read"])
        assert {status["biz_opaque_callback_data"] for value in listener.values() for status in value.get("statuses", ())} == {"mine"}


async def test_statuses_come_in_any_order_on_demand() -> None:
    async with heard() as (bench, listener):
        person = await bench.phones.person()
        await bench.phones.say(person, "hi")
        await until(lambda: listener.bodies)
        await bench.phones.fault("shuffled", on="webhook", count=2)
        await send(bench, to=person, type="text", text={"body": "x"})
        await until(lambda: len(listener.statuses()) == 2)
        assert listener.statuses() == ["delivered", "sent"]


@pytest.mark.parametrize(("later", "code"), [("", 131047), ("later", 131053)])
async def test_failures_that_come_later(later: str, code: int) -> None:
    async with heard() as (bench, listener):
        person = await bench.phones.person()
        if later:
            await bench.phones.say(person, "hi")
            await bench.phones.fault("later", code=131053)
        assert (await send(bench, to=person, type="text", text={"body": "x"}))[0] == 200
        await until(lambda: listener.statuses() == ["failed"])
        (error,) = listener.values()[-1]["statuses"][0]["errors"]
        assert error["code"] == code


async def test_the_24_hours_are_over_and_begin_again() -> None:
    async with heard() as (bench, listener):
        person = await bench.phones.person()
        await bench.phones.say(person, "hi")
        await bench.phones.post("clock", ahead=86_399)
        await send(bench, to=person, type="text", text={"body": "just in time"})
        await bench.phones.post("clock", ahead=2)
        await send(bench, to=person, type="text", text={"body": "late"})
        await bench.phones.say(person, "hi again")
        await send(bench, to=person, type="text", text={"body": "and again"})
        await until(lambda: len(listener.statuses()) == 5)
        assert listener.statuses() == ["sent", "delivered", "failed", "sent", "delivered"]


async def test_who_wants_no_marketing_gets_no_templates_but_answers() -> None:
    async with heard() as (bench, listener):
        person = await bench.phones.person()
        await bench.phones.say(person, "hi")
        await bench.phones.post(f"people/{person}/block", blocked=True)
        template = {"name": "hello", "language": {"code": "en"}}
        await send(bench, to=person, type="template", template=template)
        await send(bench, to=person, type="text", text={"body": "x"})
        await until(lambda: len(listener.statuses()) == 3)
        assert listener.statuses() == ["failed", "sent", "delivered"]
        assert any(value.get("user_preferences", [{}])[0].get("value") == "stop" for value in listener.values())


async def test_an_album_is_a_webhook_for_each_picture() -> None:
    async with heard() as (bench, listener):
        await bench.phones.say(await bench.phones.person(), "album", files=[PNG | {"name": f"{number}"} for number in range(3)])
        await until(lambda: len(listener.bodies) == 3)
        images = [value["messages"][0]["image"] for value in listener.values()]
        assert sorted(image.get("caption", "") for image in images) == ["", "", "album"]
        assert len({image["id"] for image in images}) == 3


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"type": "text", "text": {"body": "x" * 4097}}, 100),
        ({"type": "text", "text": {"body": ""}}, 131008),
        ({"type": "text"}, 131008),
        ({"type": "hologram", "hologram": {"x": 1}}, 131051),
        ({"type": "image", "image": {"id": "77"}}, 131009),
        ({"type": "contacts", "contacts": [{"name": {"formatted_name": "A"}}]}, 100),
        ({"type": "interactive", "interactive": {"type": "button", "body": {"text": "x"}, "action": {"buttons": []}}}, 100),
        ({"type": "interactive", "interactive": {"type": "flow", "body": {"text": "x"}, "action": {}}}, 100),
        ({"type": "text", "text": {"body": "x"}, "biz_opaque_callback_data": "x" * 513}, 100),
        ({"type": "text", "text": {"body": "x"}, "messaging_product": "telegram"}, 100),
    ],
)
async def test_what_meta_refuses_is_refused(bench: Bench, body: dict[str, Any], code: int) -> None:
    status, answer = await send(bench, **{"to": await bench.phones.person(), **body})
    assert (status, answer["error"]["code"]) == (400, code)
    assert answer["error"]["fbtrace_id"]
    assert await bench.phones.ledger() == []


@pytest.mark.parametrize(
    ("buttons", "rows", "right"),
    [(3, 0, True), (4, 0, False), (0, 10, True), (0, 11, False)],
)
async def test_as_many_options_as_meta_takes(bench: Bench, buttons: int, rows: int, right: bool) -> None:  # noqa: FBT001
    replies = [{"type": "reply", "reply": {"id": f"{n}", "title": f"t{n}"}} for n in range(buttons)]
    sections = [{"rows": [{"id": f"{n}", "title": f"t{n}"} for n in range(rows)]}]
    action = {"buttons": replies} if buttons else {"button": "Menu", "sections": sections}
    content = {"type": "button" if buttons else "list", "body": {"text": "?"}, "action": action}
    status, _ = await send(bench, to=await bench.phones.person(), type="interactive", interactive=content)
    assert (status == 200) is right


@pytest.mark.parametrize("place", ["no header", "address", "wrong"])
async def test_the_token_is_taken_from_the_header_only(bench: Bench, place: str) -> None:
    query = {"access_token": TOKEN} if place == "address" else {}
    headers = {"Authorization": "Bearer wrong"} if place == "wrong" else {}
    async with bench.session.get(f"{bench.root}/v26.0/{NUMBER}", params=query, headers=headers) as answer:
        assert answer.status == 401
        assert (await answer.json())["error"]["code"] == 190


async def test_people_who_hide_their_number() -> None:
    async with heard() as (bench, listener):
        await bench.phones.say(await bench.phones.person("Ann", "US.1349"), "hi")
        await until(lambda: listener.bodies)
        (value,) = listener.values()
        assert "from" not in value["messages"][0]
        assert "wa_id" not in value["contacts"][0]
        assert value["messages"][0]["from_user_id"] == "US.1349"


async def test_before_user_ids() -> None:
    async with heard() as (bench, listener):
        bench.whatsapp.user_ids = False
        await bench.phones.say(await bench.phones.person(), "hi")
        await until(lambda: listener.bodies)
        assert "user_id" not in str(listener.values())


async def test_it_runs_alone() -> None:
    port = free_port()
    program = ("-m", "connectors.whatsapp.simulator", "--port", str(port), "--token", "t", "--app-secret", "s")
    process = await asyncio.create_subprocess_exec(sys.executable, *program, stdout=asyncio.subprocess.DEVNULL)
    try:
        async with asyncio.timeout(20), aiohttp.ClientSession() as session:
            while True:
                try:
                    async with session.get(f"http://127.0.0.1:{port}/control/state") as answer:
                        assert "press" in (await answer.json())["features"]
                        break
                except aiohttp.ClientError:
                    assert process.returncode is None
                    await asyncio.sleep(0.05)
            async with session.get(
                f"http://127.0.0.1:{port}/v26.0/{WABA}/message_templates", headers={"Authorization": "Bearer t"}
            ) as answer:
                assert answer.status == 200
    finally:
        process.terminate()
        await process.wait()
