"""Every exchange with a provider is in the channel's log: once, without credentials, linked to its message."""

import base64
import json
from pathlib import Path

from connectors.abilities import Component, Finding
from storage.interaction import InteractionKind
from tests.support import pictures
from tests.support.bird import Aviary, aviary, bird_config
from tests.support.gateway import running_gateway
from tests.support.telegram import SECRET

PNG = base64.b64encode(pictures.PNG).decode()


async def test_a_webhook_and_its_answer_are_one_story(town: Aviary) -> None:
    _, conversation = await town.conversation("Siete aperti?")
    sent = await town.reply(conversation, "Fino alle 19.")
    (webhook,) = await town.until_logged(InteractionKind.WEBHOOK)
    assert (webhook.ok, webhook.result, webhook.events) == (True, "appended", ("message.received",))
    assert webhook.request is not None
    assert json.loads(webhook.request.body)["message"]["text"] == "Siete aperti?"
    assert webhook.request.headers["x-telegram-bot-api-secret-token"] == f"({len(SECRET)} characters, hidden)"
    assert webhook.ms > 0
    recorded = await town.services.store.read(-1, webhook.positions[0] - 1, 1)
    assert recorded[0].entry.channel == "shop"
    (call,) = await town.until_logged(InteractionKind.SEND)
    assert (call.ok, call.result, call.status, call.message_id) == (True, "sent", 200, sent["id"])
    assert call.request is not None
    assert call.reply is not None
    assert json.loads(call.request.body)["text"] == "Fino alle 19."
    assert json.loads(call.reply.body)["ok"] is True
    assert call.node == town.services.duties.node.id


async def test_found_by_message_in_both_directions(town: Aviary) -> None:
    user, conversation = await town.conversation()
    await town.conversation("something else")
    sent = await town.reply(conversation, "one")
    number = (await town.phone.messages(user))[0]["message_id"]
    async with town.cast.sue.feed() as feed:
        await town.phone.post(f"users/{user}/edit", message_id=number, text="Ciao!")
        frame = await feed.of("message.changed")
    await town.until_logged(InteractionKind.WEBHOOK, 3)
    received = frame["data"]["message"]["id"]
    found = (await town.cast.sue.get(f"/channels/shop/log?message={received}")).json["items"]
    assert [one["events"] for one in found] == [["message.edited"], ["message.received"]]
    found = (await town.cast.sue.get(f"/channels/shop/log?message={sent['id']}")).json["items"]
    assert [one["kind"] for one in found] == ["send"]
    assert (await town.cast.sue.get("/channels/shop/log?message=msg_none")).json["items"] == []


async def test_a_failed_sending_says_why(town: Aviary) -> None:
    user, conversation = await town.conversation()
    await town.phone.post(f"users/{user}/deactivate")
    await town.reply(conversation, "hello?", "failed")
    (call,) = await town.until_logged(InteractionKind.SEND)
    assert (call.ok, call.result, call.status) == (False, "recipient", 403)
    assert "deactivated" in call.detail
    failed = (await town.cast.sue.get("/channels/shop/log?ok=false")).json["items"]
    assert [one["id"] for one in failed] == [call.id]


async def test_each_try_is_an_entry(town: Aviary) -> None:
    _, conversation = await town.conversation()
    await town.phone.post("faults", kind="500", count=1)
    await town.reply(conversation, "again and again")
    first, second = await town.until_logged(InteractionKind.SEND, 2)
    assert [(one.ok, one.result, one.status) for one in (first, second)] == [(False, "transient", 500), (True, "sent", 200)]
    assert first.message_id == second.message_id


async def test_a_file_is_an_entry_of_its_message(town: Aviary) -> None:
    user, _ = await town.conversation()
    async with town.cast.sue.feed() as feed:
        await town.phone.say(user, photo=PNG)
        frame = await feed.of("message.changed")
    (entry,) = await town.until_logged(InteractionKind.MEDIA)
    assert (entry.ok, entry.result, entry.message_id) == (True, "stored", frame["data"]["message"]["id"])


async def test_a_stranger_and_a_riddle_are_entries_too(town: Aviary) -> None:
    assert await town.post(b"{}", {"X-Telegram-Bot-Api-Secret-Token": "guessed-by-somebody"}) == 403
    assert await town.post(b"not json") == 200
    refused, riddle = await town.until_logged(InteractionKind.WEBHOOK, 2)
    assert (refused.ok, refused.result) == (False, "refused")
    assert "guessed" not in str(refused)
    assert (riddle.ok, riddle.result, riddle.events) == (False, "quarantined", ("payload.quarantined",))
    assert riddle.request is not None
    assert riddle.request.body == "not json"


async def test_long_bodies_are_trimmed_and_credentials_at_the_edge_are_not_halved(town: Aviary) -> None:
    body = b"x" * (4096 - len(SECRET) // 2) + SECRET.encode() + b"y" * 9000
    assert await town.post(body) == 200
    (entry,) = await town.until_logged(InteractionKind.WEBHOOK)
    assert entry.request is not None
    assert entry.request.size == len(body)
    assert 4000 < len(entry.request.body) <= 4096
    assert SECRET[:4] not in entry.request.body


async def test_many_masks_do_not_draw_a_half_credential_in(town: Aviary) -> None:
    """Each mask is shorter than what it hides: the end of what was looked at, perhaps cut, moves forward."""
    body = (SECRET.encode() + b" ") * 1000
    assert await town.post(body) == 200
    (entry,) = await town.until_logged(InteractionKind.WEBHOOK)
    assert entry.request is not None
    assert set(entry.request.body) == {"*", " "}


async def test_a_credential_that_a_provider_cut_short_is_hidden(town: Aviary) -> None:
    """Connectors trim what a provider says before anybody knows that it quotes us."""
    cut = f"you sent {SECRET[:-2]}"
    town.services.journal.asked("shop", InteractionKind.LOOKUP, "failed", 0.0, ok=False, detail=cut)
    town.services.journal.probed("shop", [Finding(component=Component.AUTH, ok=False, detail=cut)] * 2, 0.0)
    (lookup,) = await town.until_logged(InteractionKind.LOOKUP)
    (probe,) = await town.until_logged(InteractionKind.PROBE)
    assert lookup.detail == "you sent ********"
    assert probe.detail == "you sent ********; you sent ********"
    assert [one.detail for one in probe.findings] == ["you sent ********"] * 2


async def test_without_bodies_nothing_that_people_wrote_is_kept(tmp_path: Path) -> None:
    async with aviary(tmp_path, bodies=False) as town:
        _, conversation = await town.conversation("a very private matter")
        await town.reply(conversation, "a very private answer")
        (webhook,) = await town.until_logged(InteractionKind.WEBHOOK)
        (call,) = await town.until_logged(InteractionKind.SEND)
        assert "private" not in str((webhook, call))
        assert webhook.request is not None
        assert webhook.request.size > 100


async def test_pages_and_bounds(town: Aviary) -> None:
    for number in range(5):
        await town.post(b"riddle %d" % number)
    await town.until_logged(InteractionKind.WEBHOOK, 5)
    seen: list[str] = []
    after = ""
    while True:
        page = (await town.cast.sue.get(f"/channels/shop/log?limit=2&kind=webhook{after}")).json
        seen += [one["request"]["body"] for one in page["items"]]
        if page["next"] is None:
            break
        after = f"&after={page['next']}"
    assert seen == [f"riddle {number}" for number in (4, 3, 2, 1, 0)]
    for query in ("limit=0", "limit=201", "kind=x", "ok=perhaps", "after=;drop", "colour=red", f"message={'m' * 200}"):
        answer = await town.cast.sue.get(f"/channels/shop/log?{query}")
        assert (answer.status, answer.code) == (400, "bad_query"), query
    assert (await town.cast.sue.get("/channels/none/log")).status == 404
    assert (await town.cast.ada.get("/channels/shop/log")).status == 403


async def test_it_survives_a_restart(tmp_path: Path) -> None:
    async with aviary(tmp_path) as town:
        await town.post(b"riddle")
    async with running_gateway(bird_config(tmp_path, "http://127.0.0.1:9")) as gateway:
        assert "shop" in await gateway.services.store.view(lambda tx: tx.channel_log.newest())


async def test_a_chat_on_our_own_page_has_a_log_too(town: Aviary) -> None:
    await town.cast.conversation("from the web")
    entries = await town.until_logged(InteractionKind.WEBHOOK, channel="web")
    assert any("from the web" in one.request.body for one in entries if one.request)
