"""The long poll against the simulator: what people write and do becomes events, and nothing is lost on the way."""

import asyncio
import base64
from collections.abc import AsyncIterator

from aiohttp import web

from connectors.content import Choice, Choices, Chosen, Location, Text
from connectors.contract import Request
from connectors.event import AnyEvent, ChatStarted, ConsentChanged, MessageEdited, MessageReceived, ReactionChanged
from connectors.telegram import CONNECTOR, Settings
from connectors.telegram.client import TelegramClient
from connectors.telegram.simulator.app import UPDATES
from tests.support.serving import serving
from tests.support.telegram import PIXEL, Bench, deliver, take
from tests.support.waiting import until


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
