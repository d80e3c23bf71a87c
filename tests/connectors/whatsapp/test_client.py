"""The whole client against the simulator, over real HTTP."""

from typing import Any

import pytest
from aiohttp import web
from msgspec import structs

from connectors.abilities import Component, MediaFetcher, Prober, Provisioner, ReadMarker, SendFinder, TemplateSource, Typist
from connectors.content import AnyPart, Choice, Choices, ContactCard, Location, Media, MediaKind, Template, Text
from connectors.contract import Failure, Outbound, Outcome, Sent
from connectors.errors import FailureKind
from connectors.meta.simulator.files import Lookaside
from connectors.whatsapp import CONNECTOR
from connectors.whatsapp.simulator.app import HOOK
from tests.support.graph import APP_SECRET, TOKEN, VERIFY_TOKEN, Bench, whatsapp_bench
from tests.support.serving import serving

PIXEL = b"\x89PNG\r\n\x1a\n" + b"\x00" * 64


async def deliver(bench: Bench, to: str, *parts: AnyPart, reply_to: str = "", **changes: Any) -> list[Outcome]:
    settings = bench.settings(**changes)
    client = bench.client(settings)
    calls = CONNECTOR.render(Outbound(id="msg_1", to=to, parts=parts, reply_to=reply_to), settings)
    return [CONNECTOR.read_reply(call, await client.send(call), settings) for call in calls]


async def shopper(bench: Bench, id_: str = "") -> str:
    """Somebody who has just written: the window is open."""
    person = await bench.phones.person(id_=id_)
    await bench.phones.say(person, "Ciao")
    return person


async def shown(bench: Bench, person: str) -> list[dict[str, Any]]:
    return await bench.phones.lines(person, from_shop=True)


async def failure(bench: Bench, to: str, **changes: Any) -> Failure:
    (outcome,) = await deliver(bench, to, Text(text="hello"), **changes)
    assert isinstance(outcome, Failure)
    return outcome


def test_the_client_offers_everything_that_a_number_can(bench: Bench) -> None:
    client = bench.client()
    for ability in (MediaFetcher, TemplateSource, ReadMarker, Typist, Prober, Provisioner):
        assert isinstance(client, ability)
    # The Cloud API has no list of what was sent: a lost answer is found by its status.
    assert not isinstance(client, SendFinder)


async def test_text_arrives_as_written(bench: Bench) -> None:
    person = await shopper(bench)
    words = "*bold* _it_ ~no~ `code` <b> 👩‍👩‍👧 \n second line"
    (sent,) = await deliver(bench, person, Text(text=words), reply_to=(await bench.phones.lines(person))[0]["id"])
    (line,) = await shown(bench, person)
    assert sent == Sent(line["id"])
    assert (line["text"], line["status"]) == (words, "delivered")
    assert line["reply_to"] == (await bench.phones.lines(person))[0]["id"]
    assert line["extra"]["callback"] == "msg_1:0"


async def test_w5_a_user_id_is_written_to_as_recipient(bench: Bench) -> None:
    """W5: in ``to`` it would be answered with 200 and reach nobody."""
    person = await shopper(bench, "US.13491208655302741918")
    await deliver(bench, person, Text(text="Ciao"))
    assert [line["text"] for line in await shown(bench, person)] == ["Ciao"]
    (call,) = CONNECTOR.render(Outbound(id="msg_2", to="393510000001", parts=(Text(text="lost"),)), bench.settings())
    reply = await bench.client().send(structs.replace(call, json={**call.json, "to": person}))
    assert reply.status == 200
    assert [line["text"] for line in await shown(bench, person)] == ["Ciao"]


@pytest.mark.parametrize(
    ("kind", "mime", "type_"),
    [
        (MediaKind.IMAGE, "image/png", "image"),
        (MediaKind.VIDEO, "video/mp4", "video"),
        (MediaKind.AUDIO, "audio/mpeg", "audio"),
        (MediaKind.VOICE, "audio/ogg", "audio"),
        (MediaKind.STICKER, "image/webp", "sticker"),
        (MediaKind.FILE, "application/pdf", "document"),
    ],
)
async def test_w7_a_file_goes_up_and_then_out(bench: Bench, kind: MediaKind, mime: str, type_: str) -> None:
    """W7, W9: the upload's id is not the message's."""
    person = await shopper(bench)
    bench.files["med_1"] = PIXEL
    (sent,) = await deliver(bench, person, Media(kind=kind, ref="med_1", mime=mime, name='Größe "M"\r\nX: y.png', size=len(PIXEL)))
    (line,) = await shown(bench, person)
    assert isinstance(sent, Sent)
    assert sent.provider_id == line["id"] != line["files"][0]["id"]
    assert (line["extra"]["type"], line["files"][0]["mime"], line["files"][0]["size"]) == (type_, mime, len(PIXEL))


async def test_w9_caption_and_choices(bench: Bench) -> None:
    person = await shopper(bench)
    bench.files["med_1"] = PIXEL
    await deliver(bench, person, Media(kind=MediaKind.IMAGE, ref="med_1", mime="image/png", size=9), Text(text="Like this?"))
    few = tuple(Choice(f"o{number}", f"Colour {number}") for number in range(3))
    many = tuple(Choice(f"o{number}", f"Colour {number}", "nice") for number in range(10))
    await deliver(bench, person, Choices(text="Which?", options=few))
    await deliver(bench, person, Choices(text="Which?", options=many, button="Colours"))
    await deliver(bench, person, Location(latitude=45.0, longitude=9.0), ContactCard(name="Shop", phones=("+3902",)))
    picture, buttons, rows, place, card = await shown(bench, person)
    assert (picture["text"], len(picture["files"])) == ("Like this?", 1)
    assert (buttons["extra"]["interactive"], len(buttons["options"])) == ("button", 3)
    assert (rows["extra"]["interactive"], rows["options"][9]["description"]) == ("list", "nice")
    assert (place["location"]["latitude"], card["contact"]["name"]) == (45.0, "Shop")


async def test_w9_a_file_above_buttons_and_a_form(bench: Bench) -> None:
    person = await shopper(bench)
    bench.files["med_1"] = PIXEL
    photo = Media(kind=MediaKind.IMAGE, ref="med_1", mime="image/png", name="a.png", size=9)
    few = (Choice("o1", "This"), Choice("o2", "That"))
    await deliver(bench, person, Choices(text="Which?", options=few, header_media=photo))
    form = Choice("visit-7", "Choose a day", form="1197715005513101", screen="DAY")
    await deliver(bench, person, Choices(text="Book?", options=(form,)))
    buttons, opened = await shown(bench, person)
    assert (buttons["extra"]["interactive"], len(buttons["files"]), buttons["text"]) == ("button", 1, "Which?")
    assert opened["extra"]["interactive"] == "flow"
    assert (opened["extra"]["form"], opened["extra"]["screen"], opened["options"]) == (
        "1197715005513101",
        "DAY",
        [{"id": "visit-7", "label": "Choose a day"}],
    )


async def test_templates_of_every_kind(bench: Bench) -> None:
    """W10: a template needs no open window."""
    person = await bench.phones.person()
    bench.files["med_1"] = PIXEL
    templates = (
        Template(name="hello", language="en"),
        Template(name="order_update", language="it", parameters=("Ada", "17")),
        Template(name="pickup", language="en", parameters=("Ada", "Monday"), names=("name", "day")),
        Template(
            name="receipt",
            language="en",
            parameters=("Ada",),
            header_media=Media(kind=MediaKind.FILE, ref="med_1", mime="application/pdf", name="r.pdf"),
            buttons=("17", "STOP"),
            button_kinds=("url", "quick_reply"),
        ),
        Template(
            name="shop_place", language="en", header_location=Location(latitude=45.0, longitude=9.0, name="Shop", address="Via Roma 1")
        ),
    )
    for template in templates:
        (sent,) = await deliver(bench, person, template)
        assert isinstance(sent, Sent), sent
    assert [line["text"] for line in await shown(bench, person)] == [
        "Hello, how can we help you today?",
        "Ciao Ada, il tuo ordine 17 è in viaggio.",
        "Dear Ada, your parcel waits until Monday.",
        "Your receipt, Ada.",
        "Come and see us.",
    ]


@pytest.mark.parametrize(
    ("template", "code"),
    [
        (Template(name="nobody", language="en"), "132001"),
        (Template(name="hello", language="fr"), "132001"),
        (Template(name="spring_sale", language="en"), "132001"),
        (Template(name="order_update", language="en", parameters=("Ada",)), "132000"),
        (Template(name="pickup", language="en", parameters=("Ada", "x"), names=("name", "night")), "132012"),
        (Template(name="receipt", language="en", parameters=("Ada",)), "132012"),
        (Template(name="winter_sale", language="en", header="50 %"), "132015"),
    ],
)
async def test_w10_wrong_templates(bench: Bench, template: Template, code: str) -> None:
    (outcome,) = await deliver(bench, await bench.phones.person(), template)
    assert isinstance(outcome, Failure)
    assert (outcome.kind, outcome.code) == (FailureKind.INVALID, code)
    assert len(outcome.detail) > 20


# --- what goes wrong -----------------------------------------------------------------------------------------------------------


async def test_a_wrong_token_is_auth_and_is_not_repeated(bench: Bench) -> None:
    wrong = await failure(bench, "393510000001", access_token="canary-OTHER-token")
    assert (wrong.kind, wrong.code) == (FailureKind.AUTH, "190")
    assert "canary-OTHER-token" not in wrong.detail
    assert "********" in wrong.detail


async def test_a_wrong_number_is_configuration(bench: Bench) -> None:
    wrong = await failure(bench, "393510000001", phone_number_id="7")
    assert (wrong.kind, wrong.code) == (FailureKind.CONFIG, "100/33")


async def test_w11_throttled(bench: Bench) -> None:
    await bench.phones.fault("throttled", seconds=17)
    slow = await failure(bench, await shopper(bench))
    assert (slow.kind, slow.code, slow.retry_after) == (FailureKind.THROTTLED, "130429", 17.0)


async def test_w11_the_pair_limit() -> None:
    """W11: 45 at once, then one in 6 seconds."""
    async with whatsapp_bench(limits=True) as bench:
        person, other = await shopper(bench), await shopper(bench)
        outcomes = [(await deliver(bench, person, Text(text=str(number))))[0] for number in range(46)]
        assert all(isinstance(outcome, Sent) for outcome in outcomes[:45])
        refused = outcomes[45]
        assert isinstance(refused, Failure)
        assert (refused.kind, refused.code, refused.retry_after) == (FailureKind.THROTTLED, "131056", 6.0)
        assert isinstance((await deliver(bench, other, Text(text="x")))[0], Sent)
        await bench.phones.post("clock", ahead=6)
        assert isinstance((await deliver(bench, person, Text(text="later")))[0], Sent)


async def test_w11_the_throughput() -> None:
    async with whatsapp_bench(limits=True, now=lambda: 1_795_200_000.0) as bench:
        people = [await shopper(bench) for _ in range(2)]
        outcomes = [(await deliver(bench, people[number % 2], Text(text="x")))[0] for number in range(81)]
        last = outcomes[80]
        assert isinstance(last, Failure)
        assert (last.kind, last.code) == (FailureKind.THROTTLED, "130429")


@pytest.mark.parametrize(
    ("fault", "kind", "sent"),
    [
        ("500", FailureKind.TRANSIENT, 0),
        ("hang", FailureKind.UNKNOWN, 0),
        ("reset_after", FailureKind.UNKNOWN, 1),
        ("garbage", FailureKind.UNKNOWN, 1),
    ],
)
async def test_what_is_known_after_a_failure(bench: Bench, fault: str, kind: FailureKind, sent: int) -> None:
    person = await shopper(bench)
    await bench.phones.fault(fault, seconds=0.01)
    assert (await failure(bench, person)).kind is kind
    assert len(await bench.phones.ledger()) == sent


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("500", FailureKind.TRANSIENT),
        ("hang", FailureKind.TRANSIENT),
        ("reset_after", FailureKind.TRANSIENT),
        ("garbage", FailureKind.TRANSIENT),
        ("throttled", FailureKind.THROTTLED),
    ],
)
async def test_a_lost_upload_is_no_doubt(bench: Bench, fault: str, kind: FailureKind) -> None:
    """W7: whatever became of the file, no message was sent; it may be tried again at once."""
    person = await shopper(bench)
    bench.files["med_1"] = PIXEL
    await bench.phones.fault(fault, on="media", seconds=0.01)
    photo = Media(kind=MediaKind.IMAGE, ref="med_1", mime="image/png", size=len(PIXEL))
    (outcome,) = await deliver(bench, person, photo)
    assert isinstance(outcome, Failure)
    assert outcome.kind is kind
    assert await bench.phones.ledger() == []
    assert isinstance((await deliver(bench, person, photo))[0], Sent)


async def test_a_lost_answer_after_the_upload_is_doubtful(bench: Bench) -> None:
    person = await shopper(bench)
    bench.files["med_1"] = PIXEL
    await bench.phones.fault("reset_after", on="messages")
    (outcome,) = await deliver(bench, person, Media(kind=MediaKind.IMAGE, ref="med_1", mime="image/png", size=len(PIXEL)))
    assert isinstance(outcome, Failure)
    assert outcome.kind is FailureKind.UNKNOWN
    assert len(await bench.phones.ledger()) == 1


async def test_a_file_that_cannot_be_read_was_not_sent(bench: Bench) -> None:
    (outcome,) = await deliver(bench, await shopper(bench), Media(kind=MediaKind.IMAGE, ref="med_9", mime="image/png"))
    assert isinstance(outcome, Failure)
    assert outcome.kind is FailureKind.TRANSIENT


# --- files in --------------------------------------------------------------------------------------------------------------------


async def incoming(bench: Bench, data: bytes = PIXEL, mime: str = "image/png") -> str:
    """The number of a file that somebody sent."""
    person = await bench.phones.person()
    await bench.phones.send_file(person, data, mime)
    found: str = list(_lookaside(bench).files)[-1]
    return found


def _lookaside(bench: Bench) -> Lookaside:
    return bench.whatsapp._files


async def test_w7_a_file_is_fetched_in_two_steps(bench: Bench) -> None:
    found = await bench.client().fetch_media(await incoming(bench), 1000)
    assert (found.data, found.mime, found.problem) == (PIXEL, "image/png", "")


async def test_w7_a_large_file_arrives_unchanged_and_one_too_large_is_not_begun(bench: Bench) -> None:
    data = bytes(range(256)) * 16_384
    number = await incoming(bench, data, "video/mp4")
    assert (await bench.client().fetch_media(number, len(data))).data == data
    refused = await bench.client().fetch_media(number, len(data) - 1)
    assert (refused.data, refused.retry) == (b"", False)
    assert "larger" in refused.problem


async def test_w7_a_link_to_elsewhere_is_not_followed(bench: Bench) -> None:
    async def lie(_: web.Request) -> web.Response:
        return web.json_response({"url": f"{bench.root}/lookaside/", "mime_type": "image/png"})

    app = web.Application()
    app.router.add_get("/v26.0/{id}", lie)
    async with serving(app) as root:
        found = await bench.client(bench.settings(graph_base=root)).fetch_media("1", 1000)
    assert "does not lead to a host of Meta's" in found.problem


async def test_w7_the_hash_is_checked(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    number = await incoming(bench)
    client = bench.client()
    honest = client.download

    async def damaged(url: str, max_bytes: int, *, bearer: bool) -> Any:
        found = await honest(url, max_bytes, bearer=bearer)
        return type(found)(status=found.status, data=found.data + b"!", mime=found.mime)

    monkeypatch.setattr(client, "download", damaged)
    found = await client.fetch_media(number, 1000)
    assert (found.data, found.retry) == (b"", True)
    assert "hash" in found.problem


async def test_w7_an_expired_link_is_asked_for_once_more() -> None:
    """W7: links live for five minutes; a worker may be late."""
    async with whatsapp_bench() as bench:
        number, client = await incoming(bench), bench.client()
        honest, asked = client._media_info, []

        async def late(ref: str) -> Any:
            info = await honest(ref)
            asked.append(ref)
            if len(asked) == 1:
                await bench.phones.post("clock", ahead=301)
            return info

        client._media_info = late  # type: ignore[method-assign]
        assert (await client.fetch_media(number, 1000)).data == PIXEL
        assert len(asked) == 2


async def test_w7_a_link_that_stays_dead_is_tried_another_day() -> None:
    async with whatsapp_bench(link_seconds=-1) as bench:
        found = await bench.client().fetch_media(await incoming(bench), 1000)
        assert (found.data, found.retry) == (b"", False)
        assert "404" in found.problem


@pytest.mark.parametrize(("ref", "words"), [("404404404", "does not exist"), ("../secrets", "no media id"), ("", "no media id")])
async def test_w7_a_file_that_is_gone_is_not_asked_for_again(bench: Bench, ref: str, words: str) -> None:
    found = await bench.client().fetch_media(ref, 1000)
    assert (found.data, found.retry) == (b"", False)
    assert words in found.problem


async def test_w7_without_rights_the_file_waits_for_the_operator(bench: Bench) -> None:
    number = await incoming(bench)
    found = await bench.client(bench.settings(access_token="canary-OTHER-token")).fetch_media(number, 1000)
    assert (found.data, found.retry) == (b"", True)
    assert "canary-OTHER-token" not in found.problem


# --- courtesy, templates, checks, set-up ---------------------------------------------------------------------------------------------


async def test_w14_read_mark_and_typing(bench: Bench) -> None:
    person = await bench.phones.person()
    line, client = await bench.phones.say(person, "Hello?"), bench.client()
    await client.mark_read(person, line)
    await client.show_typing(person, line)
    assert bench.world.courtesies == [{"message_id": line, "typing": False}, {"message_id": line, "typing": True}]
    assert (await bench.phones.lines(person))[0]["extra"]["read"] is True
    await client.mark_read(person, "wamid.nobody")


async def test_all_templates_come_page_by_page() -> None:
    many = [
        {"id": str(n), "name": f"t{n}", "language": "en", "status": "APPROVED", "components": [{"type": "BODY", "text": "x"}]}
        for n in range(60)
    ]
    async with whatsapp_bench(templates=many) as bench:
        assert [one.name for one in await bench.client().templates()] == [f"t{n}" for n in range(60)]


async def test_definitions_say_what_has_to_be_filled_in(bench: Bench) -> None:
    found = {(one.name, one.language): one for one in await bench.client().templates()}
    receipt, pickup = found["receipt", "en"], found["pickup", "en"]
    assert (receipt.header, receipt.parameters, receipt.buttons) == ("document", ("1",), ("Track", "Stop", "Call"))
    assert (receipt.button_parameters, receipt.button_kinds) == ((0,), ("url", "quick_reply", "phone_number"))
    assert (receipt.status, receipt.category, receipt.id) == ("approved", "utility", "1689556908000005")
    assert (pickup.parameters, pickup.body) == (("name", "day"), "Dear {{name}}, your parcel waits until {{day}}.")
    assert (found["winter_sale", "en"].header, found["winter_sale", "en"].header_text) == ("text", "{{1}} off")
    assert (found["winter_sale", "en"].status, found["spring_sale", "en"].status) == ("paused", "pending")
    assert found["order_update", "en"].footer == "Demo Shop"


async def test_templates_that_cannot_be_asked_for_are_an_error(bench: Bench) -> None:
    with pytest.raises(OSError, match="message_templates"):
        await bench.client(bench.settings(graph_base="http://127.0.0.1:9")).templates()


async def test_the_probe_of_a_healthy_number(bench: Bench) -> None:
    bench.app[HOOK].url = "http://127.0.0.1:9/"
    findings = await bench.client().probe("https://shop.example.org/webhooks/wa")
    assert all(finding.ok for finding in findings)
    assert {finding.component for finding in findings} == {Component.AUTH, Component.OUTBOUND, Component.WEBHOOK}
    assert "+15550783881 (Demo Shop)" in findings[0].detail


async def test_the_probe_says_what_is_wrong_and_how_to_mend_it(bench: Bench) -> None:
    business = bench.world.business
    business.quality, business.name_status = "RED", "DECLINED"
    trouble = {"error_code": 141006, "error_description": "Payment failed", "possible_solution": "Add a payment method"}
    business.health = {
        "can_send_message": "BLOCKED",
        "entities": [{"entity_type": "WABA", "can_send_message": "BLOCKED", "errors": [trouble]}],
    }
    findings = [finding for finding in await bench.client().probe("https://shop.example.org/webhooks/wa") if not finding.ok]
    assert [finding.component for finding in findings] == [Component.OUTBOUND] * 3 + [Component.WEBHOOK]
    assert all(finding.remedy for finding in findings)
    assert findings[0].remedy == "Add a payment method"


async def test_the_probe_of_a_wrong_token(bench: Bench) -> None:
    (finding,) = await bench.client(bench.settings(access_token="canary-OTHER-token")).probe("https://x")
    assert (finding.component, finding.ok) == (Component.AUTH, False)
    assert "System users" in finding.remedy
    assert "canary-OTHER-token" not in finding.detail


async def test_the_probe_of_a_meta_that_is_away(bench: Bench) -> None:
    with pytest.raises(OSError, match="cannot be asked"):
        await bench.client(bench.settings(graph_base="http://127.0.0.1:9")).probe("https://x")


async def test_the_webhook_is_registered_after_the_challenge(bench: Bench) -> None:
    asked: list[dict[str, str]] = []

    async def gateway(request: web.Request) -> web.Response:
        asked.append(dict(request.query))
        return web.Response(text=request.query["hub.challenge"])

    app = web.Application()
    app.router.add_get("/webhooks/wa", gateway)
    async with serving(app) as root:
        words = await bench.client().provision(f"{root}/webhooks/wa")
        assert f"Webhook {root}/webhooks/wa set." in words
        assert "come to our address" in words
        assert asked[0]["hub.verify_token"] == VERIFY_TOKEN
        findings = await bench.client().probe("https://elsewhere.example.org/")
        assert [finding.ok for finding in findings if finding.component is Component.WEBHOOK] == [False]
    refused = await bench.client().provision("http://127.0.0.1:9/webhooks/wa")
    assert "2200" in refused
    assert not any(secret in words + refused for secret in (TOKEN, APP_SECRET, VERIFY_TOKEN))
