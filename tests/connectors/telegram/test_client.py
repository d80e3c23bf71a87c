"""The whole client against the simulator, over real HTTP."""

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime

import pytest
from aiohttp import web

from connectors.abilities import Acknowledger, FetchedMedia, MediaFetcher, Provisioner, Receiver
from connectors.content import AnyPart, Choice, Choices, Chosen, ContactCard, Location, Media, MediaKind, Text
from connectors.contract import Failure, Outbound, Outcome, Request, Sent
from connectors.errors import FailureKind
from connectors.event import AnyEvent, ChatStarted, ConsentChanged, MessageEdited, MessageReceived, PayloadIgnored, ReactionChanged
from connectors.telegram import CONNECTOR, Settings
from connectors.telegram.client import TelegramClient
from connectors.telegram.simulator.app import UPDATES
from tests.support.telegram import SECRET, TOKEN, Bench, serving, telegram_bench, until

PIXEL = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==")


async def deliver(bench: Bench, to: int | str, *parts: AnyPart, reply_to: str = "", client: TelegramClient | None = None) -> list[Outcome]:
    settings = bench.settings()
    client = client or bench.client(settings)
    calls = CONNECTOR.render(Outbound(id="msg_1", to=str(to), parts=parts, reply_to=reply_to), settings)
    return [CONNECTOR.read_reply(call, await client.send(call), settings) for call in calls]


async def failure(bench: Bench, to: int | str) -> Failure:
    (outcome,) = await deliver(bench, to, Text(text="hello"))
    assert isinstance(outcome, Failure)
    return outcome


def test_the_client_offers_everything_that_a_bot_can(bench: Bench) -> None:
    client = bench.client()
    for ability in (Receiver, MediaFetcher, Acknowledger, Provisioner):
        assert isinstance(client, ability)


async def test_text_arrives_as_written_and_its_id_is_chat_and_number(bench: Bench) -> None:
    """G3, G9: no parse_mode, so markup is text."""
    user = await bench.phone.user()
    words = "<b>5 < 6</b> *stars* _under_ [a](b) &amp; 👩‍👩‍👧"
    assert await deliver(bench, user, Text(text=words)) == [Sent(f"{user}:1")]
    (message,) = await bench.phone.messages(user)
    assert message["text"] == words
    assert message["from_bot"] is True
    assert [entry["text"] for entry in await bench.phone.ledger()] == [words]


async def test_a_long_text_arrives_whole_in_several_messages(bench: Bench) -> None:
    """G9: 4096 UTF-16 units each; the simulator refuses one more."""
    user = await bench.phone.user()
    words = "𝒶b " * 5000
    outcomes = await deliver(bench, user, Text(text=words.strip()))
    assert all(isinstance(outcome, Sent) for outcome in outcomes)
    assert " ".join(message["text"] for message in await bench.phone.messages(user)).split() == words.split()


async def test_photo_with_caption(bench: Bench) -> None:
    """G10: a photo goes up as multipart, with the caption beside it."""
    user = await bench.phone.user()
    bench.files["med_1"] = PIXEL
    photo = Media(kind=MediaKind.IMAGE, ref="med_1", mime="image/png", name='Größe "M"\r\nX: y.png', size=len(PIXEL))
    assert await deliver(bench, user, photo, Text(text="Like this?")) == [Sent(f"{user}:1")]
    (message,) = await bench.phone.messages(user)
    assert (message["photo"], message["caption"]) == (True, "Like this?")
    fetched = await bench.client().fetch_media(message["file_id"], 1000)
    assert fetched.data == PIXEL


@pytest.mark.parametrize(
    ("kind", "mime", "field"),
    [
        (MediaKind.VIDEO, "video/mp4", "video"),
        (MediaKind.AUDIO, "audio/mpeg", "audio"),
        (MediaKind.VOICE, "audio/ogg", "voice"),
        (MediaKind.FILE, "application/pdf", "document"),
        (MediaKind.STICKER, "image/webp", "sticker"),
        (MediaKind.IMAGE, "image/tiff", "document"),
    ],
)
async def test_every_kind_of_file_has_its_method(bench: Bench, kind: MediaKind, mime: str, field: str) -> None:
    user = await bench.phone.user()
    bench.files["med_1"] = b"bytes"
    (outcome,) = await deliver(bench, user, Media(kind=kind, ref="med_1", mime=mime, name="a.bin"))
    assert isinstance(outcome, Sent)
    assert (await bench.phone.messages(user))[0][field] is True


async def test_a_file_of_several_megabytes_arrives_unchanged(bench: Bench) -> None:
    user = await bench.phone.user()
    bench.files["med_1"] = bytes(range(256)) * 16_384
    await deliver(bench, user, Media(kind=MediaKind.FILE, ref="med_1", mime="application/zip", name="a.zip"))
    (message,) = await bench.phone.messages(user)
    fetched = await bench.client().fetch_media(message["file_id"], 1 << 23)
    assert fetched.data == bench.files["med_1"]
    assert (fetched.mime, fetched.name.rpartition(".")[2]) == ("application/zip", "zip")


async def test_place_and_card(bench: Bench) -> None:
    user = await bench.phone.user()
    await deliver(bench, user, Location(latitude=45.4, longitude=9.2), ContactCard(name="Shop", phones=("+3902123",)))
    place, card = await bench.phone.messages(user)
    assert place["location"] == {"latitude": 45.4, "longitude": 9.2}
    assert card["contact"]["phone_number"] == "+3902123"


async def test_answering_quotes_the_message_if_it_still_exists(bench: Bench) -> None:
    user = await bench.phone.user()
    asked = await bench.phone.say(user, text="Open today?")
    assert await deliver(bench, user, Text(text="Yes"), reply_to=f"{user}:{asked}") == [Sent(f"{user}:2")]
    assert await deliver(bench, user, Text(text="Yes"), reply_to=f"{user}:999") == [Sent(f"{user}:3")]
    messages = await bench.phone.messages(user)
    assert messages[1]["reply_to_message_id"] == asked
    assert "reply_to_message_id" not in messages[2]


async def test_blocked_and_gone(bench: Bench) -> None:
    """G6: 403 by the person's will, 403 by the account's end, 400 for nobody."""
    user = await bench.phone.user()
    await bench.phone.post(f"users/{user}/block")
    blocked = await failure(bench, user)
    assert (blocked.kind, blocked.code, blocked.detail) == (FailureKind.OPTED_OUT, "403", "Forbidden: bot was blocked by the user")
    await bench.phone.post(f"users/{user}/deactivate")
    assert (await failure(bench, user)).kind is FailureKind.RECIPIENT
    assert (await failure(bench, 4711)).kind is FailureKind.RECIPIENT


async def test_throttled(bench: Bench) -> None:
    """G8: the wait is Telegram's own."""
    user = await bench.phone.user()
    await bench.phone.post("faults", kind="retry_after", seconds=17)
    throttled = await failure(bench, user)
    assert (throttled.kind, throttled.retry_after) == (FailureKind.THROTTLED, 17.0)
    assert await bench.phone.ledger() == []


async def test_real_rate_limits() -> None:
    """G8: a burst is stopped by the simulator's own limit, not by a fault."""
    async with telegram_bench(rate_limits=True) as bench:
        user = await bench.phone.user()
        outcomes = [(await deliver(bench, user, Text(text=str(number))))[0] for number in range(8)]
        kinds = [outcome.kind if isinstance(outcome, Failure) else "sent" for outcome in outcomes]
        assert kinds[:5] == ["sent"] * 5
        assert kinds[-1] is FailureKind.THROTTLED


async def test_moved(bench: Bench) -> None:
    """G7: the new address comes with the refusal."""
    user = await bench.phone.user()
    await bench.phone.post(f"users/{user}/migrate", to_chat_id=-1001234567890)
    moved = await failure(bench, user)
    assert (moved.kind, moved.moved_to) == (FailureKind.MOVED, "-1001234567890")


@pytest.mark.parametrize(
    ("fault", "kind", "sent"),
    [
        ("500", FailureKind.TRANSIENT, 0),
        ("reset_after", FailureKind.UNKNOWN, 1),
        ("garbage", FailureKind.UNKNOWN, 1),
        ("hang", FailureKind.UNKNOWN, 0),
    ],
)
async def test_faults(bench: Bench, fault: str, kind: FailureKind, sent: int) -> None:
    """Only what certainly had no effect may be repeated."""
    user = await bench.phone.user()
    await bench.phone.post("faults", kind=fault, seconds=0.05)
    assert (await failure(bench, user)).kind is kind
    assert len(await bench.phone.ledger()) == sent


async def test_nobody_listens_at_the_address(bench: Bench) -> None:
    settings = bench.settings(api_base="http://127.0.0.1:1")
    outcomes = await deliver(bench, 1, Text(text="x"), client=bench.client(settings))
    assert isinstance(outcomes[0], Failure)
    assert outcomes[0].kind is FailureKind.TRANSIENT


async def test_a_file_that_cannot_be_read_was_not_sent(bench: Bench) -> None:
    user = await bench.phone.user()
    (outcome,) = await deliver(bench, user, Media(kind=MediaKind.IMAGE, ref="med_gone", mime="image/png"))
    assert isinstance(outcome, Failure)
    assert (outcome.kind, outcome.detail) == (FailureKind.TRANSIENT, "the file med_gone could not be read: KeyError")


@pytest.mark.parametrize("token", ["700000001:wrong", "999:other"])
async def test_wrong_token(bench: Bench, token: str) -> None:
    outcomes = await deliver(bench, 1, Text(text="x"), client=bench.client(bench.settings(token=token)))
    assert isinstance(outcomes[0], Failure)
    assert outcomes[0].kind is FailureKind.AUTH


# --- listening ----------------------------------------------------------------------------------------------------------


async def take(updates: AsyncIterator[Request]) -> Request:
    async with asyncio.timeout(10):
        return await anext(updates)


async def test_an_update_is_forgotten_only_after_it_was_stored(bench: Bench) -> None:
    """G3: died between yield and storing -> the same update again, with the same key."""
    user = await bench.phone.user()
    await bench.phone.say(user, text="first")
    settings = bench.settings()
    once = bench.client(settings).receive()
    first = await take(once)
    await once.aclose()  # type: ignore[attr-defined]
    assert bench.app[UPDATES].pending == 1
    again = bench.client(settings).receive()
    second = await take(again)
    assert CONNECTOR.parse(first, settings)[0].key == CONNECTOR.parse(second, settings)[0].key
    await bench.phone.say(user, text="second")
    third = await take(again)
    assert bench.app[UPDATES].pending == 1, "coming back for the next one confirmed the first"
    assert CONNECTOR.verify(third, settings)
    (event,) = CONNECTOR.parse(third, settings)
    assert isinstance(event, MessageReceived)
    assert event.parts == (Text(text="second"),)
    await again.aclose()  # type: ignore[attr-defined]


async def listen(settings: Settings, updates: AsyncIterator[Request], count: int) -> list[AnyEvent]:
    """The next ``count`` events, each authentic."""
    events: list[AnyEvent] = []
    while len(events) < count:
        request = await take(updates)
        assert CONNECTOR.verify(request, settings)
        events += CONNECTOR.parse(request, settings)
    return events


async def start_listening(bench: Bench, settings: Settings) -> tuple[int, AsyncIterator[Request], TelegramClient]:
    """A user who has written /start, and a poll that has begun: before it, reactions are left out."""
    client = bench.client(settings)
    updates = client.receive()
    waiting = asyncio.ensure_future(take(updates))
    user = await bench.phone.user("Ada", last_name="Rossi", language_code="it")
    await until(lambda: bool(bench.app[UPDATES].allowed))
    await bench.phone.say(user, text="/start abc-1")
    (start,) = CONNECTOR.parse(await waiting, settings)
    assert isinstance(start, ChatStarted)
    assert (start.payload, start.sender.name, start.sender.language) == ("abc-1", "Ada Rossi", "it")
    return user, updates, client


async def test_what_a_person_writes_becomes_events(bench: Bench) -> None:
    """G4, G11: message, edit, contact, album, sticker, place, by a long poll without a configured secret."""
    settings = bench.settings(secret_token="")
    user, updates, _ = await start_listening(bench, settings)
    number = await bench.phone.say(user, text="hello", reply_to_message_id=1)
    await bench.phone.post(f"users/{user}/edit", message_id=number, text="hello!")
    await bench.phone.say(user, contact_own="393511234567")
    photo = base64.b64encode(PIXEL).decode()
    await bench.phone.say(user, album=[{"photo": photo, "caption": "two"}, {"photo": photo}])
    await bench.phone.say(user, sticker="🎉")
    await bench.phone.say(user, location={"latitude": 1.5, "longitude": 2.5})
    hello, edit, contact, one, two, sticker, place = await listen(settings, updates, 7)
    await updates.aclose()  # type: ignore[attr-defined]
    assert isinstance(hello, MessageReceived)
    assert hello.reply_to == f"{user}:1"
    assert isinstance(edit, MessageEdited)
    assert edit.parts == (Text(text="hello!"),)
    assert isinstance(contact, MessageReceived)
    assert str(contact.sender.aliases[0][0]) == "tel::+393511234567"
    assert isinstance(one, MessageReceived)
    assert isinstance(two, MessageReceived)
    assert one.group == two.group != ""
    assert isinstance(sticker, MessageReceived)
    assert isinstance(place, MessageReceived)
    assert place.parts == (Location(latitude=1.5, longitude=2.5),)


async def test_what_a_person_does_becomes_events(bench: Bench) -> None:
    """G2, G5, G6: button, reaction, block, unblock; the button's spinner is stopped."""
    settings = bench.settings()
    user, updates, client = await start_listening(bench, settings)
    await deliver(bench, user, Choices(text="Size?", options=(Choice("m", "Medium"),)))
    pressed = await bench.phone.post(f"users/{user}/press", message_id=2, data="m")
    await bench.phone.post(f"users/{user}/react", message_id=2, emoji="👍")
    await bench.phone.post(f"users/{user}/block")
    await bench.phone.post(f"users/{user}/unblock")
    button, reaction, out, back = await listen(settings, updates, 4)
    await updates.aclose()  # type: ignore[attr-defined]
    assert isinstance(button, MessageReceived)
    assert (button.parts, button.reply_to) == ((Chosen(id="m", label="Medium"),), f"{user}:2")
    assert isinstance(reaction, ReactionChanged)
    assert reaction.emoji == ("👍",)
    assert isinstance(out, ConsentChanged)
    assert isinstance(back, ConsentChanged)
    assert (out.opted_in, back.opted_in) == (False, True)
    before = (await bench.phone.get("state"))["pos"]
    await client.acknowledge(button)
    await client.acknowledge(out)
    answered = await bench.phone.get(f"events?after={before}&wait=5")
    assert [(item["type"], item["callback_query_id"]) for item in answered["items"]] == [
        ("callback.answered", pressed["callback_query_id"])
    ]


async def test_a_left_over_webhook_is_removed_for_the_long_poll(bench: Bench) -> None:
    """G1: 409 means webhook and getUpdates at once."""
    await bench.client(bench.settings(mode="webhook")).provision("http://127.0.0.1:1/hook")
    user = await bench.phone.user()
    await bench.phone.say(user, text="hi")
    updates = bench.client().receive()
    assert b'"hi"' in (await take(updates)).body
    await updates.aclose()  # type: ignore[attr-defined]


async def test_the_poll_survives_faults(bench: Bench) -> None:
    user = await bench.phone.user()
    await bench.phone.say(user, text="hi")
    for kind in ("500", "garbage", "reset_after", "hang"):
        await bench.phone.post("faults", kind=kind, method="getUpdates", seconds=0.01)
    updates = bench.client().receive()
    assert b'"hi"' in (await take(updates)).body
    await updates.aclose()  # type: ignore[attr-defined]


# --- webhook, files, set-up ---------------------------------------------------------------------------------------------


async def test_webhooks_are_posted_with_the_secret_until_they_are_taken(bench: Bench) -> None:
    """G1: header, repetition on non-2xx, order within a chat, findings in words."""
    settings = bench.settings(mode="webhook")
    seen: list[tuple[bool, str]] = []
    refuse = 1

    async def hook(request: web.Request) -> web.Response:
        nonlocal refuse
        body = await request.read()
        received = Request(
            method="POST",
            url=str(request.url),
            headers={name.lower(): value for name, value in request.headers.items()},
            body=body,
            received_at=bench_time(),
        )
        (event,) = CONNECTOR.parse(received, settings)
        assert isinstance(event, MessageReceived)
        part = event.parts[0]
        assert isinstance(part, Text)
        seen.append((CONNECTOR.verify(received, settings), part.text))
        refuse -= 1
        return web.Response(status=503 if refuse >= 0 else 200)

    app = web.Application()
    app.router.add_post("/hook", hook)
    async with serving(app) as root:
        client = bench.client(settings)
        found = await client.provision(f"{root}/hook")
        assert "Bot @demo_shop_bot" in found
        assert f"Webhook {root}/hook set." in found
        user = await bench.phone.user()
        for number in range(3):
            await bench.phone.say(user, text=str(number))
        await until(lambda: bench.app[UPDATES].pending == 0)
        assert seen == [(True, "0"), (True, "0"), (True, "1"), (True, "2")]
        found = await client.provision(f"{root}/hook")
    assert SECRET not in found


def bench_time() -> datetime:
    return datetime(2026, 11, 21, tzinfo=UTC)


async def test_provisioning_says_what_is_wrong(bench: Bench) -> None:
    """G1: last_error_message and pending_update_count reach the operator."""
    assert "Unauthorized" in await bench.client(bench.settings(token="700000001:wrong")).provision("https://x.test/")
    client = bench.client(bench.settings(mode="webhook"))
    assert "Webhook refused: Bad Request: bad webhook" in await client.provision("ftp://x.test/")
    await client.provision("http://127.0.0.1:1/hook")
    await bench.phone.say(await bench.phone.user(), text="lost?")
    await until(lambda: bool(bench.app[UPDATES].webhook.last_error_message))
    info = await client._ask("getWebhookInfo")
    assert b"Connection failed" in info.body
    assert b'"pending_update_count":1' in info.body


async def test_files_that_cannot_be_had(bench: Bench) -> None:
    """G10: > 20 MB is told, an unknown id is final, more than asked for is not read."""
    user = await bench.phone.user()
    await bench.phone.say(user, document=base64.b64encode(bytes(20_000_001)).decode(), name="huge.bin")
    await bench.phone.say(user, document=base64.b64encode(b"x" * 5000).decode(), name="small.bin")
    huge, small = await bench.phone.messages(user)
    client = bench.client()
    assert "20 MB" in (await client.fetch_media(huge["file_id"], 1 << 30)).problem
    assert "larger than 4999" in (await client.fetch_media(small["file_id"], 4999)).problem
    assert (await client.fetch_media(small["file_id"], 5000)).data == b"x" * 5000
    gone = await client.fetch_media("AgAC-nothing", 5000)
    assert gone.problem
    await bench.phone.post("faults", kind="500", method="getFile")
    again = await client.fetch_media(small["file_id"], 5000)
    assert (again.data, again.retry) == (b"", True)


async def rogue_telegram(bench: Bench, path: str, file: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> FetchedMedia:
    """A Bot API whose files are at ``path``, and behave like ``file``."""

    async def get_file(_request: web.Request) -> web.Response:
        return web.json_response({"ok": True, "result": {"file_id": "x", "file_unique_id": "x", "file_path": path}})

    app = web.Application()
    app.router.add_post("/bot{token}/getfile", get_file)
    app.router.add_get("/{path:.*}", file)
    async with serving(app) as root:
        return await bench.client(bench.settings(api_base=root)).fetch_media("x", 1000)


@pytest.mark.parametrize("path", ["/etc/passwd", "../../getMe", "photos/../../x", ".."])
async def test_a_file_must_lie_below_its_place(bench: Bench, path: str) -> None:
    """Or the answer would choose which address gets the token."""

    async def file(_request: web.Request) -> web.Response:
        raise AssertionError("must not be asked for")

    fetched = await rogue_telegram(bench, path, file)
    assert (fetched.data, fetched.retry) == (b"", False)
    assert fetched.problem


async def test_downloads_that_fail(bench: Bench) -> None:
    """C16: an expired link is asked for again, a redirect is not followed, a torn file is no file."""
    seen: list[str] = []

    async def gone(_request: web.Request) -> web.Response:
        return web.Response(status=404)

    async def elsewhere(request: web.Request) -> web.Response:
        seen.append(request.path)
        return web.Response(status=302, headers={"Location": "/secrets"})

    async def torn(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "500"})
        await response.prepare(request)
        await response.write(b"x" * 100)
        assert request.transport is not None
        request.transport.abort()
        return response

    for file in (gone, elsewhere, torn):
        fetched = await rogue_telegram(bench, "photos/ä b#?.jpg", file)
        assert (fetched.data, fetched.retry) == (b"", True)
        assert fetched.problem
        assert "canary" not in fetched.problem
    assert seen == [f"/file/bot{TOKEN}/photos/ä b#?.jpg"]


async def test_provisioning_a_long_poll_removes_the_webhook(bench: Bench) -> None:
    await bench.client(bench.settings(mode="webhook")).provision("http://127.0.0.1:1/hook")
    assert bench.app[UPDATES].webhook.url
    assert "long poll" in await bench.client().provision("http://127.0.0.1:1/hook")
    assert not bench.app[UPDATES].webhook.url


async def test_an_update_without_number_does_not_spin(bench: Bench) -> None:
    """It could not be confirmed: the poll backs off instead of asking at full speed."""
    asked = 0

    async def get_updates(_request: web.Request) -> web.Response:
        nonlocal asked
        asked += 1
        return web.json_response({"ok": True, "result": [{"message": {}}] if asked < 3 else [{"update_id": 5}]})

    app = web.Application()
    app.router.add_post("/bot{token}/getupdates", get_updates)
    async with serving(app) as root:
        settings = bench.settings(api_base=root)
        updates = bench.client(settings).receive()
        assert CONNECTOR.parse(await take(updates), settings)[0].key == "5:update"
        await updates.aclose()  # type: ignore[attr-defined]
    assert asked == 3


async def test_the_offset_is_dropped_when_all_is_confirmed(bench: Bench) -> None:
    """G3: after a quiet week the numbers restart, perhaps below it; an old offset would delete new messages unread."""
    offsets: list[str | None] = []
    answers = iter([[{"update_id": 900}, {"update_id": 901}], [], [{"update_id": 7}], []])

    async def get_updates(request: web.Request) -> web.Response:
        offsets.append((await request.post()).get("offset"))  # type: ignore[arg-type]
        return web.json_response({"ok": True, "result": next(answers)})

    app = web.Application()
    app.router.add_post("/bot{token}/getupdates", get_updates)
    async with serving(app) as root:
        updates = bench.client(bench.settings(api_base=root)).receive()
        assert [(await take(updates)).body for _ in range(3)] == [b'{"update_id":900}', b'{"update_id":901}', b'{"update_id":7}']
        await updates.aclose()  # type: ignore[attr-defined]
    assert offsets == [None, "902", None]


async def test_an_acknowledgement_that_fails_is_no_trouble(bench: Bench) -> None:
    client = bench.client()
    await client.acknowledge(PayloadIgnored(key="1:callback:777", why="x"))
    await client.acknowledge(PayloadIgnored(key="1:message:1:1", why="x"))


async def test_nothing_shows_token_or_secret(bench: Bench, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> None:
    """G10, B110: logs at DEBUG, reprs, replies, outcomes and findings, with everything going wrong."""
    caplog.set_level("DEBUG")
    caplog.set_level("DEBUG", "telegram")  # the gateway's own set-up keeps it quiet
    settings: Settings = bench.settings(mode="webhook")
    client = bench.client(settings)
    said = [repr(settings), repr(client), repr(client._bot), await client.provision("http://127.0.0.1:1/hook")]
    user = await bench.phone.user()
    for kind in ("500", "garbage", "reset_after", "hang"):
        await bench.phone.post("faults", kind=kind, seconds=0.01)
        said.append(repr(await deliver(bench, user, Text(text="x"), client=client)))
    unreachable = bench.client(bench.settings(api_base="http://127.0.0.1:1"))
    said.append(repr(await deliver(bench, user, Text(text="x"), client=unreachable)))
    said.append(await unreachable.provision("https://x.test/"))
    await bench.phone.post("faults", kind="500", method="getUpdates")
    polling = bench.client().receive()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0.2):
            await anext(polling)
    await polling.aclose()  # type: ignore[attr-defined]
    said.append(repr(await client.fetch_media("nope", 1)))
    captured = capfd.readouterr()
    everything = "\n".join([*said, caplog.text, captured.out, captured.err])
    assert "sendmessage" in everything, "the library's DEBUG lines must be among what is searched"
    for canary in (TOKEN, TOKEN.partition(":")[2], SECRET):
        assert canary not in everything
