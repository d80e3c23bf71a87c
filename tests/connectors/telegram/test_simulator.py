"""The simulator itself: Telegram's limits and words, the control API, its own bounds."""

import asyncio
import json
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from connectors.telegram.simulator import create_simulator_app
from connectors.telegram.simulator.app import UPDATES
from connectors.telegram.simulator.ledger import Ledger
from connectors.telegram.simulator.limits import ApiError, RateLimits
from connectors.telegram.simulator.state import MESSAGES_PER_CHAT, World
from tests.support.serving import serving
from tests.support.telegram import TOKEN, Bench, Phone, telegram_bench
from tests.support.waiting import until


async def ask(bench: Bench, method: str, token: str = TOKEN, **parameters: Any) -> tuple[int, dict[str, Any]]:
    async with bench.session.post(f"{bench.root}/bot{token}/{method}", json=parameters) as answer:
        return answer.status, await answer.json()


async def refused(bench: Bench, method: str, **parameters: Any) -> str:
    status, body = await ask(bench, method, **parameters)
    assert (body["ok"], body["error_code"]) == (False, status)
    return f"{status} {body['description']}"


async def test_limits_and_words(bench: Bench) -> None:
    """Each as the real one refuses."""
    user = await bench.phone.user()
    assert (await ask(bench, "SENDmessage", chat_id=str(user), text="𝒶" * 2048))[0] == 200
    assert await refused(bench, "sendMessage", chat_id=user, text="𝒶" * 2048 + "a") == "400 Bad Request: message is too long"
    assert await refused(bench, "sendMessage", chat_id=user, text=" \n") == "400 Bad Request: message text is empty"
    assert await refused(bench, "sendMessage", chat_id=user) == "400 Bad Request: message text is empty"
    assert await refused(bench, "sendMessage", chat_id=1, text="x") == "400 Bad Request: chat not found"
    assert await refused(bench, "sendMessage", text="x") == "400 Bad Request: chat_id is empty"
    assert await refused(bench, "sendMessage", chat_id=[1], text="x") == "400 Bad Request: can't parse chat_id"
    assert await refused(bench, "sendPhoto", chat_id=user, photo="nope") == "400 Bad Request: there is no photo in the request"
    assert await refused(bench, "sendLocation", chat_id=user, latitude=91, longitude=0) == "400 Bad Request: invalid location"
    keyboard = {"inline_keyboard": [[{"text": "A", "callback_data": "x" * 65}]]}
    assert await refused(bench, "sendMessage", chat_id=user, text="x", reply_markup=keyboard) == "400 Bad Request: BUTTON_DATA_INVALID"
    assert await refused(bench, "noSuchMethod") == "404 Not Found: method not found"
    assert await refused(bench, "getMe", token="1:wrong") == "401 Unauthorized"
    assert await refused(bench, "getMe", token="garbled") == "404 Not Found"
    assert await refused(bench, "getFile", file_id="x") == "400 Bad Request: wrong file_id or the file is temporarily unavailable"
    assert "query is too old" in await refused(bench, "answerCallbackQuery", callback_query_id="1")
    assert "unallowed characters" in await refused(bench, "setWebhook", url="https://x.test", secret_token="é")
    assert [entry["method"] for entry in await bench.phone.ledger()] == ["sendmessage"]


async def test_parameters_may_come_in_any_form(bench: Bench) -> None:
    user = await bench.phone.user()
    address = f"{bench.root}/bot{TOKEN}/sendMessage"
    async with bench.session.get(address, params={"chat_id": user, "text": "query"}) as answer:
        assert answer.status == 200
    async with bench.session.post(address, data={"chat_id": str(user), "text": "form"}) as answer:
        assert answer.status == 200
    with aiohttp.MultipartWriter("form-data") as writer:
        for name, value in (("chat_id", str(user)), ("text", "multipart")):
            writer.append(value).set_content_disposition("form-data", name=name)
    async with bench.session.post(address, data=writer) as answer:
        assert answer.status == 200
    async with bench.session.post(address, data=b"[1]", headers={"Content-Type": "application/json"}) as answer:
        assert answer.status == 400
    assert [message["text"] for message in await bench.phone.messages(user)] == ["query", "form", "multipart"]


async def test_the_control_api_has_the_agreed_shape(bench: Bench) -> None:
    """The phone page depends on it."""
    user = await bench.phone.user("Ada", last_name="Rossi", language_code="it")
    await bench.phone.say(user, text="hi")
    keyboard = {"inline_keyboard": [[{"text": "A", "callback_data": "a"}]]}
    await ask(bench, "sendMessage", chat_id=user, text="hello", reply_markup=keyboard)
    await bench.phone.post(f"users/{user}/edit", message_id=1, text="hi!")
    state = await bench.phone.get("state")
    assert set(state) >= {"bots", "chats"}
    (chat,) = state["chats"]
    assert chat["user"] == {"id": user, "is_bot": False, "first_name": "Ada", "last_name": "Rossi", "language_code": "it"}
    assert (chat["chat_id"], chat["blocked"]) == (user, False)
    mine, theirs = chat["messages"]
    assert (mine["message_id"], mine["from_bot"], mine["text"], mine["edited"]) == (1, False, "hi!", True)
    assert (theirs["from_bot"], theirs["reply_markup"]) == (True, keyboard)
    events = await bench.phone.get("events?after=0")
    assert [item["type"] for item in events["items"]] == ["user.added", "message.added", "message.added", "message.changed"]
    assert [item["pos"] for item in events["items"]] == [1, 2, 3, 4]
    assert events["pos"] == state["pos"] == 4
    assert (await bench.phone.ledger())[0].items() >= {"n": 1, "chat_id": user, "text": "hello"}.items()


async def test_the_phone_can_show_files_but_never_run_them(bench: Bench) -> None:
    user = await bench.phone.user()
    await bench.phone.say(user, photo="iVBORw0KGgo=")
    await bench.phone.say(user, document="PHNjcmlwdD4=", mime="text/html", name="a.html")
    photo, page = await bench.phone.messages(user)
    for message, shown in ((photo, "image/jpeg"), (page, "application/octet-stream")):
        async with bench.session.get(f"{bench.root}/control/file/{message['file_id']}") as answer:
            assert (answer.status, answer.content_type, answer.headers["X-Content-Type-Options"]) == (200, shown, "nosniff")
    async with bench.session.get(f"{bench.root}/control/file/nope") as answer:
        assert answer.status == 404


async def test_events_wait_for_the_next_change(bench: Bench) -> None:
    waiting = asyncio.ensure_future(bench.phone.get("events?after=0"))
    assert (await bench.phone.get("events?after=0&wait=0"))["items"] == []
    user = await bench.phone.user()
    async with asyncio.timeout(30):
        assert [item["chat_id"] for item in (await waiting)["items"]] == [user]


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("users", {"first_name": ""}, 400),
        ("users", {"first_name": "A", "age": 5}, 400),
        ("users", {"first_name": 5}, 400),
        ("users/1/message", {"text": "x"}, 404),
        ("users/x/message", {"text": "x"}, 400),
        ("users/{user}/message", {}, 400),
        ("users/{user}/message", {"text": "a", "sticker": "b"}, 400),
        ("users/{user}/message", {"photo": "not base64!"}, 400),
        ("users/{user}/message", {"text": "a", "reply_to_message_id": 9}, 404),
        ("users/{user}/edit", {"message_id": 9, "text": "x"}, 404),
        ("users/{user}/press", {"message_id": 1, "data": "x"}, 409),
        ("faults", {"kind": "earthquake"}, 400),
        ("faults", {"kind": "500", "count": 0}, 400),
    ],
)
async def test_the_control_api_says_what_is_wrong(bench: Bench, path: str, body: dict[str, Any], status: int) -> None:
    user = await bench.phone.user()
    await bench.phone.say(user, text="hi")
    async with bench.session.post(f"{bench.root}/control/{path.replace('{user}', str(user))}", json=body) as answer:
        assert (answer.status, answer.content_type) == (status, "application/problem+json")
        assert (await answer.json(content_type=None))["detail"]


async def test_another_sites_form_cannot_reach_the_control_api(bench: Bench) -> None:
    async with bench.session.post(
        f"{bench.root}/control/users", data=b'{"first_name":"A"}', headers={"Content-Type": "text/plain"}
    ) as answer:
        assert answer.status == 415


async def test_a_blocked_bot_hears_nothing(bench: Bench) -> None:
    user = await bench.phone.user()
    await bench.phone.post(f"users/{user}/block")
    async with bench.session.post(f"{bench.root}/control/users/{user}/message", json={"text": "x"}) as answer:
        assert answer.status == 409


async def test_people_and_bot_as_asked_for() -> None:
    app = create_simulator_app(token=TOKEN, username="my_shop_bot", first_user=42)
    async with serving(app) as root, aiohttp.ClientSession() as session:
        phone = Phone(session, root)
        assert await phone.user() == 42
        bot = {"id": 700000001, "is_bot": True, "first_name": "My Shop", "username": "my_shop_bot"}
        assert (await phone.get("state"))["bots"] == [bot]


async def test_two_simulators_in_one_process_know_nothing_of_each_other() -> None:
    async with telegram_bench() as one, telegram_bench() as other:
        await one.phone.user()
        assert (await other.phone.get("state"))["chats"] == []


@asynccontextmanager
async def mounted() -> AsyncIterator[str]:
    inner = create_simulator_app(token=TOKEN)
    outer = web.Application(client_max_size=1 << 20)
    outer.add_subapp("/sim/telegram", inner)
    async with serving(outer) as root:
        yield f"{root}/sim/telegram"


async def test_mounted_below_a_prefix_of_an_application_with_a_small_bound() -> None:
    async with mounted() as root, aiohttp.ClientSession() as session:
        phone = Phone(session, root)
        user = await phone.user()
        form = aiohttp.FormData({"chat_id": str(user)})
        form.add_field("document", b"x" * 1_000_000 + b"y" * 48_000, filename="a.bin", content_type="application/pdf")
        form.add_field("caption", "z" * 1000)
        async with session.post(f"{root}/bot{TOKEN}/sendDocument", data=form) as answer:
            assert answer.status == 200, await answer.text()
        (message,) = await phone.messages(user)
        assert message["file_name"] == "a.bin"


async def test_a_newer_poll_ends_an_older_one(bench: Bench) -> None:
    """409, as when two gateways run the same bot."""
    older = asyncio.ensure_future(ask(bench, "getUpdates", timeout=20))
    await until(lambda: bench.app[UPDATES]._poll is not None)
    newer = asyncio.ensure_future(ask(bench, "getUpdates", timeout=20))
    async with asyncio.timeout(30):
        status, body = await older
    assert (status, "terminated by other getUpdates" in body["description"]) == (409, True)
    await bench.phone.say(await bench.phone.user(), text="x")
    async with asyncio.timeout(30):
        assert len((await newer)[1]["result"]) == 1


async def test_updates_are_kept_until_their_number_is_passed(bench: Bench) -> None:
    user = await bench.phone.user()
    for text in "abc":
        await bench.phone.say(user, text=text)
    found = (await ask(bench, "getUpdates", limit=2))[1]["result"]
    assert [update["message"]["text"] for update in found] == ["a", "b"]
    found = (await ask(bench, "getUpdates", offset=found[0]["update_id"] + 1))[1]["result"]
    assert [update["message"]["text"] for update in found] == ["b", "c"]
    found = (await ask(bench, "getUpdates", offset=-1))[1]["result"]
    assert [update["message"]["text"] for update in found] == ["c"]


async def test_one_chats_trouble_does_not_hold_up_another(bench: Bench) -> None:
    """Order is kept within a chat only."""
    bad, good = await bench.phone.user("Bad"), await bench.phone.user("Good")
    seen: list[tuple[int, str]] = []

    async def hook(request: web.Request) -> web.Response:
        message = (await request.json())["message"]
        if message["chat"]["id"] == bad:
            return web.Response(status=500)
        seen.append((message["chat"]["id"], message["text"]))
        return web.Response()

    app = web.Application()
    app.router.add_post("/", hook)
    async with serving(app) as root:
        await ask(bench, "setWebhook", url=root)
        for text in "abc":
            await bench.phone.say(bad, text=text)
            await bench.phone.say(good, text=text)
        await until(lambda: len(seen) == 3)
    assert seen == [(good, "a"), (good, "b"), (good, "c")]
    status, body = await ask(bench, "getWebhookInfo")
    assert (status, body["result"]["pending_update_count"]) == (200, 3)
    assert body["result"]["last_error_message"] == "Wrong response from the webhook: 500"
    await ask(bench, "deleteWebhook", drop_pending_updates=True)
    assert (await ask(bench, "getWebhookInfo"))[1]["result"]["pending_update_count"] == 0


def test_rates_by_a_clock_of_its_own() -> None:
    now = 0.0
    limits = RateLimits(enabled=True, clock=lambda: now)

    def refusals(chat: int, count: int) -> list[int]:
        found = []
        for _ in range(count):
            try:
                limits.check(chat)
            except ApiError as error:
                found.append(error.parameters["retry_after"])
        return found

    assert refusals(1, 7) == [1, 1]
    now = 1.0
    assert refusals(1, 1) == []
    now = 100.0
    assert sum(len(refusals(chat, 1)) for chat in range(2, 40)) == 38 - 30
    limits.enabled = False
    assert refusals(1, 100) == []


def test_memory_is_bounded() -> None:
    world = World(TOKEN, "bot", Ledger(), RateLimits(enabled=False))
    chat = world.add_user("A", "", "")
    for number in range(MESSAGES_PER_CHAT + 50):
        world.add_message(chat, from_bot=False, content={"text": str(number)})
    assert len(chat.messages) == MESSAGES_PER_CHAT
    assert next(iter(chat.messages)) == 51
    for _ in range(300):
        last = world.add_file(bytes(1 << 20), "x", "d", "")
    assert sum(len(file.data) for file in world._files.values()) <= 256 << 20
    assert world.file(last.id) is last


async def test_the_ledger_survives_and_counts_on(tmp_path: Path) -> None:
    """For crash tests: what was answered is on disk."""
    path = tmp_path / "ledger.jsonl"
    for run in (1, 2):
        async with telegram_bench(ledger_path=path) as bench:
            user = await bench.phone.user()
            await ask(bench, "sendMessage", chat_id=user, text=f"run {run}")
            assert [json.loads(line)["n"] for line in path.read_text().splitlines()] == list(range(1, run + 1))


async def test_alone_on_a_port() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "connectors.telegram.simulator", "--port", str(port), "--token", TOKEN]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.DEVNULL)
    try:
        async with aiohttp.ClientSession() as session, asyncio.timeout(30):
            while True:
                try:
                    async with session.get(f"http://127.0.0.1:{port}/bot{TOKEN}/getMe") as answer:
                        assert (await answer.json())["result"]["id"] == 700000001
                        break
                except aiohttp.ClientConnectorError:
                    await asyncio.sleep(0.05)
    finally:
        process.terminate()
        await process.wait()


def test_a_token_without_number_is_refused() -> None:
    with pytest.raises(ValueError, match="123456:secret"):
        create_simulator_app(token="nonsense")
