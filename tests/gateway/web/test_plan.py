"""Before anything is sent an agent sees what the shopper will get; what a channel cannot carry is refused before it is accepted."""

import asyncio
import dataclasses
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from connectors.abilities import TemplateDefinition
from connectors.capabilities import Window
from connectors.contract import Call, Client
from gateway.services import Channel
from gateway.web.template_cache import FRESH
from gateway.work.actor import GATEWAY
from routing.rules import Rules
from storage.interaction import InteractionKind, LogFilter
from storage.record import Conversation
from tests.support.cast import Answer, Cast
from tests.support.pictures import PNG

OPTIONS = [{"id": str(number), "label": f"Option {number}", "description": "more"} for number in range(25)]
WINDOWS = (
    Window(name="day", seconds=86_400, sends=frozenset({"text", "media", "choices", "template"})),
    Window(name="always", seconds=0, sends=frozenset({"template"})),
)
WELCOME = TemplateDefinition(
    name="welcome",
    language="it",
    status="approved",
    body="Ciao {{name}}, {{order}}",
    parameters=("name", "order"),
    header="image",
    buttons=("Track", "Stop"),
    button_parameters=(0,),
)
PLAIN = TemplateDefinition(
    name="plain", language="en_US", status="approved", parameters=("1",), header="text", header_text="Order {{1}}"
)  # fmt: skip
PAUSED = TemplateDefinition(name="paused", language="it", status="paused")


class Shelf:
    """A client whose provider has templates."""

    def __init__(self, inner: Client) -> None:
        self.inner = inner
        self.asked = 0
        self.away = False

    async def templates(self) -> Sequence[TemplateDefinition]:
        self.asked += 1
        if self.away:
            raise OSError("away")
        return [WELCOME, PLAIN, PAUSED]

    async def send(self, call: Call) -> Any:
        return await self.inner.send(call)

    async def close(self) -> None:
        await self.inner.close()


def equip(cast: Cast, **able: Any) -> Channel:
    """The web chat, able to do other things than it is."""
    services = cast.gateway.services
    channels = services.channels
    assert isinstance(channels, dict)
    web: Channel = channels["web"]
    capabilities = msgspec.structs.replace(web.connector.capabilities, bundles=False, **able)
    connector = dataclasses.replace(
        web.connector,
        capabilities=capabilities,
        render=lambda outbound, settings: [Call(method="POST", url="x", segments=3) for _ in outbound.parts],  # noqa: ARG005
    )
    equipped = dataclasses.replace(web, connector=connector, client=Shelf(web.client))
    channels["web"] = equipped
    rules: Rules = services.router._rules
    changed = msgspec.structs.replace(rules.channel("web"), sends=capabilities.sends, windows=capabilities.windows)
    services.router._rules = msgspec.structs.replace(rules, channels={**rules.channels, "web": changed})
    return equipped


async def opened(cast: Cast) -> str:
    conversation = await cast.conversation()
    assert (await cast.ada.post(f"/conversations/{conversation['id']}/accept")).status == 200
    return f"/conversations/{conversation['id']}"


async def last_wrote(cast: Cast, path: str, at: datetime | None) -> None:
    """The shopper has last written then."""
    store = cast.gateway.services.store
    found = await store.view(lambda tx: tx.conversations.get(path.rpartition("/")[2], GATEWAY.scope))
    assert isinstance(found, Conversation)
    await store.transact(lambda tx: tx.conversations.update(msgspec.structs.replace(found, last_private_at=at)))


async def lines(cast: Cast, path: str) -> list[str]:
    return [line["kind"] for line in (await cast.ada.get(f"{path}/messages")).json["items"] if line["kind"] != "activity"]


async def test_a_plan_says_what_will_be_sent_and_keeps_nothing(cast: Cast) -> None:
    equip(cast)
    path = await opened(cast)
    question = {"type": "choices", "text": "Which?", "options": OPTIONS}
    plan = (await cast.ada.post(f"{path}/plan", {"parts": [{"type": "text", "text": "Hello"}, question]})).json
    assert [message[0]["type"] for message in plan["messages"]] == ["text", "text"]
    assert plan["messages"][1][0]["text"].startswith("Which?\n1) Option 0\n2) Option 1\n")
    assert [(note["code"], note["part"]) for note in plan["notes"]] == [("choices_as_text", 1)]
    assert plan["notes"][0]["detail"]
    assert plan["window"] is None
    assert await cast.gateway.services.store.view(lambda tx: tx.outbox.waiting_count()) == {}
    assert await lines(cast, path) == ["inbound"]
    assert (await cast.ada.post(f"{path}/plan", {"text": "x", "note": True})).code == "note"


async def test_a_plan_is_refused_as_the_reply_would_be(cast: Cast) -> None:
    path = await opened(cast)
    tries: list[tuple[Any, dict[str, Any]]] = [
        (cast.ada, {"text": "x" * 10_001}),
        (cast.ada, {"parts": [{"type": "template", "name": "a", "language": "it"}]}),
        (cast.ada, {"parts": [{"type": "text", "text": " "}]}),
        (cast.ada, {"text": "x", "public": True}),
        (cast.ada, {"text": "x", "reply_to": "msg_none"}),
        (cast.ada, {"text": "x", "if_last_pos": 0}),
        (cast.ben, {"text": "x"}),
    ]
    for who, body in tries:
        planned, sent = [await who.post(f"{path}/{what}", body) for what in ("plan", "messages")]
        assert 400 <= planned.status < 500, body
        assert (planned.status, planned.raw) == (sent.status, sent.raw), body
    await cast.ada.post(f"{path}/resolve")
    assert (await cast.ada.post(f"{path}/plan", {"text": "x"})).code == "resolved"
    assert await lines(cast, path) == ["inbound"]


async def test_a_reply_carries_the_notes(cast: Cast) -> None:
    equip(cast)
    path = await opened(cast)
    answer = await cast.ada.post(
        f"{path}/messages", {"parts": [{"type": "choices", "text": "Which?", "options": OPTIONS}], "priority": "bulk"}
    )
    assert (answer.status, [note["code"] for note in answer.json["notes"]]) == (201, ["choices_as_text"])
    item = await cast.gateway.services.store.view(lambda tx: tx.outbox.get(answer.json["message"]["id"]))
    assert item is not None
    assert (int(item.priority), item.author) == (1, "Ada")
    assert (await cast.ada.post(f"{path}/messages", {"text": "x", "priority": "urgent"})).status == 400


async def test_a_window_is_shown_and_kept(cast: Cast) -> None:
    equip(cast, windows=WINDOWS, sends=frozenset({"text", "media", "choices", "template"}))
    path = await opened(cast)
    window = (await cast.ada.get(path)).json["conversation"]["window"]
    assert (window["name"], window["sends"]) == ("day", ["choices", "media", "template", "text"])
    closes_at = datetime.fromisoformat(window["closes_at"])
    assert timedelta(hours=23) < closes_at - datetime.now(UTC) < timedelta(hours=25)
    plan = (await cast.ada.post(f"{path}/plan", {"text": "x"})).json
    assert (plan["window"], plan["segments"]) == (window, 3)
    await last_wrote(cast, path, datetime.now(UTC) - timedelta(days=2))
    (shown,) = (await cast.ada.get("/conversations")).json["items"]
    assert (shown["window"]["name"], shown["window"]["sends"]) == ("always", ["template"])
    for what in ("plan", "messages"):
        refused = await cast.ada.post(f"{path}/{what}", {"text": "x"})
        assert (refused.status, refused.code, refused.json["sends"]) == (409, "window_closed", ["template"])
        assert datetime.fromisoformat(refused.json["closes_at"]) < datetime.now(UTC)
    template = {"type": "template", "name": "plain", "language": "en_US", "parameters": ["x"], "header": "12"}
    assert (await cast.ada.post(f"{path}/plan", {"parts": [template]})).status == 200


async def upload(cast: Cast) -> str:
    answer = await cast.ada.call("POST", "/media", PNG, headers={"Content-Type": "image/png"})
    return str(answer.json["id"])


async def test_a_template_is_looked_at_before_it_is_sent(cast: Cast) -> None:
    web = equip(cast, sends=frozenset({"text", "template"}))
    path, file = await opened(cast), await upload(cast)
    good = {
        "type": "template",
        "name": "welcome",
        "language": "it",
        "parameters": ["Ada", "12"],
        "header_media": {"type": "media", "kind": "image", "ref": file},
        "buttons": ["12"],
    }

    async def plan(**changes: Any) -> Answer:
        part = {name: value for name, value in {**good, **changes}.items() if value is not None}
        return await cast.ada.post(f"{path}/plan", {"parts": [{"type": "text", "text": "first"}, part]})

    planned = await plan()
    assert planned.status == 200, planned.raw
    # The provider wants the placeholders by name.
    assert planned.json["messages"][1][0]["names"] == ["name", "order"]
    assert planned.json["messages"][1][0]["header_media"]["stored"] == file
    wrong: list[tuple[dict[str, Any], str, str]] = [
        ({"name": "none"}, "unknown_template", "name"),
        ({"language": "de"}, "unknown_template", "language"),
        ({"name": "paused"}, "template_not_approved", "name"),
        ({"parameters": ["Ada"]}, "invalid_template", "parameters"),
        ({"parameters": ["Ada", " "]}, "invalid_template", "parameters"),
        ({"names": ["name", "other"]}, "invalid_template", "names"),
        ({"header_media": None}, "invalid_template", "header_media"),
        ({"header_media": {"type": "media", "kind": "video", "ref": file}}, "invalid_template", "header_media"),
        ({"header_media": {"type": "media", "kind": "image", "ref": "med_none"}}, "unknown_file", "header_media.ref"),
        ({"buttons": []}, "invalid_template", "buttons"),
        ({"buttons": ["a", "b"]}, "invalid_template", "buttons"),
        ({"buttons": ["a", "", ""]}, "invalid_template", "buttons"),
        ({"name": "plain", "language": "en_US", "parameters": ["x"], "header_media": None, "buttons": []}, "invalid_template", "header"),
        ({"name": "plain", "language": "en_US", "parameters": ["x"], "header": "1", "buttons": []}, "invalid_template", "header_media"),
    ]
    for changes, code, field in wrong:
        refused = await plan(**changes)
        assert (refused.status, refused.code, refused.json["field"]) == (422, code, f"$.parts[1].{field}"), (changes, refused.raw)
    assert isinstance(web.client, Shelf)
    assert web.client.asked == 1


async def test_templates_are_listed_and_kept_for_a_while(cast: Cast) -> None:
    web = equip(cast)
    shelf = web.client
    assert isinstance(shelf, Shelf)
    listed = await asyncio.gather(*(cast.ada.get("/channels/web/templates") for _ in range(5)))
    assert [[one["name"] for one in answer.json["items"]] for answer in listed] == [["welcome", "plain", "paused"]] * 5
    assert shelf.asked == 1
    assert (await cast.ada.get("/channels/web/templates?refresh=true")).code == "forbidden"
    assert (await cast.sue.get("/channels/web/templates?refresh=true")).status == 200
    assert shelf.asked == 2
    shelf.away = True
    away = await cast.sue.get("/channels/web/templates?refresh=true")
    assert (away.status, away.code) == (503, "provider_away")
    assert (await cast.ada.get("/channels/web/templates")).status == 200
    services = cast.gateway.services
    await services.journal.write()
    log = await services.store.view(lambda tx: tx.channel_log.page("web", LogFilter(kind=InteractionKind.TEMPLATES), "", 10))
    assert [(one.ok, one.result, one.detail) for one in log] == [
        (False, "unreachable", "OSError"),
        *[(True, "ok", "3 templates")] * (shelf.asked - 1),
    ]
    none = await cast.ada.get("/channels/bot/templates")
    assert (none.status, none.code) == (409, "no_templates")
    for channel in ("off", "none"):
        assert (await cast.ada.get(f"/channels/{channel}/templates")).status == 404
    assert timedelta(minutes=1) < FRESH <= timedelta(minutes=5)


@pytest.mark.parametrize(
    ("part", "status", "code"),
    [
        ({"type": "envelope", "subject": "a\r\nBcc: all@example.org"}, 422, "invalid_envelope"),
        ({"type": "envelope", "cc": ["a@example.org\r\nBcc: b@example.org"]}, 400, "invalid_body"),
        ({"type": "envelope", "bcc": ["a@example.org, b@example.org"]}, 400, "invalid_body"),
        ({"type": "envelope", "cc": ["not an address"]}, 400, "invalid_body"),
        ({"type": "envelope", "to": ["a@example.org"]}, 400, "invalid_body"),
    ],
)
async def test_an_envelope_cannot_smuggle_headers(cast: Cast, part: dict[str, Any], status: int, code: str) -> None:
    path = await opened(cast)
    answer = await cast.ada.post(f"{path}/messages", {"parts": [{"type": "text", "text": "x"}, part]})
    assert (answer.status, answer.code) == (status, code), answer.raw
