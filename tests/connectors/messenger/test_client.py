"""The clients of Messenger and Instagram against the simulator, over real connections."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import web

from connectors import instagram, messenger
from connectors.abilities import Component, InboundFinder, MediaFetcher, Prober, Provisioner, ReadMarker, SendFinder, Typist
from connectors.content import AnyPart, Choice, Choices, Media, MediaKind, Text
from connectors.contract import Call, Failure, Outbound, Outcome, Request, Sent
from connectors.errors import FailureKind
from connectors.event import AnyEvent, MessageEchoed, MessageReceived
from connectors.meta.webhook import handshake
from tests.support.messenger import APP_SECRET, TOKEN, MetaBench, a_file, meta_bench
from tests.support.pictures import PNG
from tests.support.serving import serving
from tests.support.waiting import eventually


def connector_of(bench: MetaBench) -> Any:
    return (messenger if bench.platform == "messenger" else instagram).CONNECTOR


def calls_of(bench: MetaBench, to: str, *parts: AnyPart, **more: Any) -> list[Call]:
    message = Outbound(**{"id": "msg_1", "to": to, "parts": parts, "window": "standard", **more})
    return list(connector_of(bench).render(message, bench.settings()))


async def send(bench: MetaBench, to: str, *parts: AnyPart, links: bool = False, **more: Any) -> list[Outcome]:
    client, read_reply = bench.client(links=links), connector_of(bench).read_reply
    return [read_reply(call, await client.send(call), bench.settings()) for call in calls_of(bench, to, *parts, **more)]


async def writer(bench: MetaBench, text: str = "Ciao") -> str:
    """Somebody who has written, so that we may answer."""
    person = await bench.phone.person()
    await bench.phone.say(person, text=text)
    return person


def read(bench: MetaBench, request: Request) -> list[AnyEvent]:
    assert connector_of(bench).verify(request, bench.settings())
    return list(connector_of(bench).parse(request, bench.settings()))


# --- sending ------------------------------------------------------------------------------------------------------------


async def test_texts_and_quick_replies_arrive(bench: MetaBench) -> None:
    """M6: the id is the one that webhooks will name."""
    person = await writer(bench)
    question = Choices(text="Size?", options=(Choice("s:m", "Medium"), Choice("s:l", "Large")))
    found = await send(bench, person, Text(text="word " * 500), question)
    lines = await bench.phone.lines(person, from_shop=True)
    assert [outcome.provider_id for outcome in found if isinstance(outcome, Sent)] == [line["id"] for line in lines]
    assert lines[-1]["options"] == [{"id": "s:m", "label": "Medium"}, {"id": "s:l", "label": "Large"}]
    assert "".join(line["text"] for line in lines[:-1]).replace(" ", "") == "word" * 500


@pytest.mark.parametrize("links", [True, False])
async def test_a_file_arrives_with_its_words(bench: MetaBench, links: bool) -> None:  # noqa: FBT001
    """M6: Messenger gets the bytes with the message; Instagram fetches them, or gets them beforehand where we have no address."""
    person = await writer(bench)
    bench.files["med_1"] = PNG
    picture = Media(kind=MediaKind.IMAGE, ref="med_1", mime="image/png", name="shoe.png", size=len(PNG))
    found = await send(bench, person, picture, Text(text="This one?"), links=links)
    assert all(isinstance(outcome, Sent) for outcome in found)
    first, second = await bench.phone.lines(person, from_shop=True)
    assert ([file["size"] for file in first["files"]], second["text"]) == ([len(PNG)], "This one?")
    uploads = [call for call in bench.simulator.calls if call.endswith("/message_attachments")]
    assert len(uploads) == (bench.platform == "instagram" and not links)


async def test_a_file_that_cannot_be_had_sends_nothing(bench: MetaBench) -> None:
    """What has not left us is known to be harmless."""
    person = await writer(bench)
    picture = Media(kind=MediaKind.IMAGE, ref="med_gone", mime="image/png", name="a.png")
    (found,) = await send(bench, person, picture)
    assert isinstance(found, Failure)
    assert found.kind is FailureKind.TRANSIENT
    assert await bench.phone.ledger() == []


async def test_an_upload_that_breaks_off_has_sent_nothing() -> None:
    """Instagram: whatever becomes of the upload, the message itself was not begun."""
    async with meta_bench("instagram") as bench:
        person = await writer(bench)
        bench.files["med_1"] = PNG
        picture = Media(kind=MediaKind.IMAGE, ref="med_1", mime="image/png", name="a.png")
        for kind, meaning in (
            ("reset_after", FailureKind.TRANSIENT),
            ("garbage", FailureKind.TRANSIENT),
            ("throttled", FailureKind.THROTTLED),
        ):
            await bench.phone.post("faults", kind=kind, on="message_attachments")
            (found,) = await send(bench, person, picture)
            assert isinstance(found, Failure)
            assert found.kind is meaning, kind
        assert await bench.phone.ledger() == []


@pytest.mark.parametrize(
    ("fault", "meaning", "sent"),
    [
        ({"kind": "throttled", "seconds": 7}, FailureKind.THROTTLED, 0),
        ({"kind": "500"}, FailureKind.TRANSIENT, 0),
        ({"kind": "hang", "seconds": 0}, FailureKind.UNKNOWN, 0),
        ({"kind": "reset_after"}, FailureKind.UNKNOWN, 1),
        ({"kind": "garbage"}, FailureKind.UNKNOWN, 1),
        ({"kind": "error", "code": 190}, FailureKind.AUTH, 0),
        ({"kind": "error", "code": 551}, FailureKind.RECIPIENT, 0),
        ({"kind": "error", "code": 2018278}, FailureKind.WINDOW, 0),
        ({"kind": "error", "code": 368}, FailureKind.ACCOUNT, 0),
    ],
)
async def test_m7_faults(bench: MetaBench, fault: dict[str, Any], meaning: FailureKind, sent: int) -> None:
    """M7: and nobody thinks that nothing was sent where something may have been."""
    person = await writer(bench)
    await bench.phone.post("faults", **fault)
    (found,) = await send(bench, person, Text(text="x"))
    assert isinstance(found, Failure)
    assert found.kind is meaning
    assert found.retry_after == (7.0 if fault["kind"] == "throttled" else 0.0)
    assert len(await bench.phone.ledger()) == sent


async def test_m5_windows_close(bench: MetaBench) -> None:
    """M5: after a day only with the tag, after a week not at all."""
    person, start = await writer(bench), bench.simulator.phone.now()
    seen = []
    for age in (80_000, 90_000, 700_000):
        moved = start + age
        bench.simulator.phone.now = lambda: moved  # noqa: B023  read before the next turn
        for window in ("standard", "human_agent"):
            (found,) = await send(bench, person, Text(text="x"), window=window)
            seen.append(found.kind if isinstance(found, Failure) else "sent")
    closed = FailureKind.WINDOW
    assert seen == ["sent", "sent", closed, "sent", closed, closed]


async def test_m7_people_who_are_gone(bench: MetaBench) -> None:
    """M7."""
    person = await writer(bench)
    await bench.phone.post(f"people/{person}/block", blocked=True)
    for to in (person, "7299999999999999"):
        (found,) = await send(bench, to, Text(text="x"))
        assert isinstance(found, Failure)
        assert found.kind is FailureKind.RECIPIENT


async def test_m6_the_providers_own_limit(bench: MetaBench) -> None:
    """M6: ten films a second, and texts besides."""
    person, start = await writer(bench), bench.simulator.phone.now()
    bench.simulator.phone.now = lambda: start
    bench.files["med_1"] = b"\0" * 10
    film = Media(kind=MediaKind.VIDEO, ref="med_1", mime="video/mp4", name="a.mp4")
    found = [(await send(bench, person, film))[0] for _ in range(11)]
    assert [isinstance(outcome, Sent) for outcome in found] == [True] * 10 + [False]
    assert isinstance((await send(bench, person, Text(text="x")))[0], Sent)
    assert connector_of(bench).capabilities.limits.rate <= 10


async def test_m7_the_token_is_in_no_address(bench: MetaBench, capfd: pytest.CaptureFixture[str]) -> None:
    """M7: it travels in a header, and a call elsewhere is not made."""
    person = await writer(bench)
    client = bench.client()
    await send(bench, person, Text(text="x"))
    await client.probe("https://shop.example/webhooks/shop")
    async for _ in client.missed(datetime.now(UTC) - timedelta(hours=1)):
        pass
    assert TOKEN not in repr(list(bench.simulator.calls))
    reply = await client.send(Call(method="POST", url="http://127.0.0.1:1/elsewhere", json={}))
    assert (reply.status, reply.written) == (0, False)
    assert "canary" not in "".join(capfd.readouterr())


# --- comments -----------------------------------------------------------------------------------------------------------


async def test_a_comment_is_answered_in_public_and_once_in_private(bench: MetaBench) -> None:
    """Comments: the second private answer is refused, and no window is open."""
    person = await bench.phone.person()
    comment = await bench.phone.say(person, text="How much?", post="900")
    more: dict[str, Any] = {"reply_to": f"comment:{comment}", "window": ""}
    (public,) = await send(bench, person, Text(text="€50"), public=True, **more)
    (private,) = await send(bench, person, Text(text="We have sent you a message"), **more)
    (again,) = await send(bench, person, Text(text="Hello?"), **more)
    (later,) = await send(bench, person, Text(text="Hello?"), window="")
    assert isinstance(public, Sent)
    assert public.provider_id.startswith("comment:")
    assert isinstance(private, Sent)
    assert isinstance(again, Failure)
    assert (again.kind, again.code) == (FailureKind.INVALID, "10900")
    assert isinstance(later, Failure)
    assert later.kind is FailureKind.WINDOW
    lines = await bench.phone.lines(person, from_shop=True)
    assert [(line.get("post", ""), line["text"]) for line in lines] == [("900", "€50"), ("", "We have sent you a message")]


async def test_a_comment_older_than_a_week_has_no_private_answer(bench: MetaBench) -> None:
    person, start = await bench.phone.person(), bench.simulator.phone.now()
    comment = await bench.phone.say(person, text="How much?", post="900")
    bench.simulator.phone.now = lambda: start + 8 * 86_400
    (found,) = await send(bench, person, Text(text="€50"), reply_to=f"comment:{comment}", window="")
    assert isinstance(found, Failure)
    assert found.kind is FailureKind.WINDOW


# --- courtesies, probes, set-up -----------------------------------------------------------------------------------------


async def test_abilities(bench: MetaBench) -> None:
    """Found by isinstance; files are plain links, which the gateway's guarded fetcher takes."""
    client = bench.client()
    for ability in (InboundFinder, Prober, Provisioner, ReadMarker, SendFinder, Typist):
        assert isinstance(client, ability), ability
    assert not isinstance(client, MediaFetcher)


async def test_typing_and_read_marks(bench: MetaBench) -> None:
    """A comment shows neither; and nobody minds if it fails."""
    person, client = await writer(bench), bench.client()
    await client.show_typing(person, "m_1")
    await client.mark_read(person, "m_1")
    await client.mark_read(person, "comment:1")
    await client.show_typing("comment:1", "comment:1")
    await client.show_typing("7299999999999999", "m_1")
    assert bench.simulator.sending.actions == [(person, "typing_on"), (person, "mark_seen")]


async def test_a_probe_finds_what_is_wrong(bench: MetaBench) -> None:
    """And says what to do about it, without secrets."""
    hook = "https://shop.example/webhooks/shop"
    found = {finding.component: finding for finding in await bench.client().probe(hook)}
    assert [component for component, finding in found.items() if not finding.ok] == [Component.WEBHOOK, Component.INBOUND]
    assert found[Component.WEBHOOK].remedy == "sportello channel connect shop"
    assert hook in found[Component.INBOUND].remedy
    (refused,) = await bench.client(access_token="canary-WRONG").probe(hook)
    assert (refused.component, refused.ok) == (Component.AUTH, False)
    assert "access_token" in refused.remedy
    assert "canary" not in repr((found, refused))
    await bench.phone.post("faults", kind="500", on="node")
    (away,) = await bench.client().probe(hook)
    assert away.component is Component.OUTBOUND


async def test_set_up_and_probe_again(bench: MetaBench) -> None:
    """The webhook is asked for the verify token before it is believed; all is well afterwards."""

    async def answer(request: web.Request) -> web.Response:
        asked = Request(method="GET", url="", headers={}, body=b"", query=dict(request.query), received_at=datetime.now(UTC))
        challenge = handshake(asked, bench.settings())
        return web.Response(body=challenge) if challenge else web.Response(status=403)

    app = web.Application()
    app.add_routes([web.get("/hook", answer)])
    async with serving(app) as gateway:
        hook = f"{gateway}/hook"
        said = await bench.client().provision(hook)
        assert "subscribed." in said
        if bench.platform == "instagram":
            # Meta has no call for it.
            assert "by hand" in said or hook in said
            await bench.phone.post("webhook", url=hook)
        assert bench.simulator.account.webhook_url == hook
        assert all(finding.ok for finding in await bench.client().probe(hook))
    assert APP_SECRET not in said


async def test_a_wrong_address_is_refused() -> None:
    """Meta's own words reach the operator."""
    async with meta_bench("messenger") as bench:
        assert "couldn't be validated" in await bench.client().provision("http://127.0.0.1:9/hook")
        assert "dashboard" in await bench.client(app_id="").provision("http://127.0.0.1:9/hook")


async def test_a_linked_account_keeps_the_pages_subscriptions() -> None:
    """Instagram by its page: the Messenger channel of the same page must not lose its fields."""
    async with meta_bench("instagram", node="104000000000001", fields=("messages", "feed")) as bench:
        client = bench.client(page_id="104000000000001")
        assert "The page is subscribed." in await client.provision("https://shop.example/webhooks/shop")
        assert bench.simulator.account.fields == ("messages", "feed")
        bench.simulator.account.fields = ()
        assert "The account is subscribed." in await client.provision("https://shop.example/webhooks/shop")
        assert list(bench.simulator.account.fields) == ["feed"]


# --- what was missed ----------------------------------------------------------------------------------------------------


async def test_what_was_missed_comes_with_the_same_keys(bench: MetaBench) -> None:
    """Lost webhooks are made good; what did arrive is not taken twice; our own answers are echoes."""
    bodies: list[bytes] = []

    async def hook(request: web.Request) -> web.Response:
        bodies.append(await request.read())
        return web.Response()

    app = web.Application()
    app.add_routes([web.post("/hook", hook)])
    async with serving(app) as gateway:
        await bench.phone.post("webhook", url=f"{gateway}/hook")
        start = bench.simulator.phone.now()
        bench.simulator.phone.now = lambda: start - 7200
        await writer(bench, "long ago")
        bench.simulator.phone.now = lambda: start
        ada = await writer(bench, "first")
        await bench.phone.say(ada, files=[a_file()])
        await send(bench, ada, Text(text="answer"))
        await writer(bench, "another")
        await eventually(lambda: _all(bodies), lambda found: len(found) >= (6 if bench.platform == "messenger" else 5))
    keys = set()
    for body in bodies:
        signed = Request(method="POST", url="", headers={}, body=body, received_at=datetime.now(UTC))
        keys |= {
            event.key for event in connector_of(bench).parse(signed, bench.settings()) if isinstance(event, MessageReceived | MessageEchoed)
        }
    requests = [request async for request in bench.client().missed(datetime.fromtimestamp(start - 60, UTC))]
    events = [event for request in requests for event in read(bench, request)]
    assert [type(event) for event in events].count(MessageReceived) == 3
    assert [type(event) for event in events].count(MessageEchoed) == 1
    assert {event.key for event in events} < keys
    assert b"long ago" not in b"".join(request.body for request in requests)


async def _all(bodies: list[bytes]) -> list[bytes]:
    return bodies


async def test_what_was_missed_cannot_be_asked(bench: MetaBench) -> None:
    await bench.phone.post("faults", kind="500", on="conversations")
    with pytest.raises(OSError, match="conversations"):
        _ = [request async for request in bench.client().missed(datetime.now(UTC))]


async def test_a_lost_answer_is_found(bench: MetaBench) -> None:
    """By person, text and time; files and comments cannot be told apart, and nothing is guessed."""
    person = await writer(bench)
    begun = datetime.now(UTC)
    (call,) = calls_of(bench, person, Text(text="only once, please"))
    assert await bench.client().find_sent(call, begun) == []
    await bench.phone.post("faults", kind="reset_after")
    assert (await bench.client().send(call)).status == 0
    (line,) = await bench.phone.lines(person, from_shop=True)
    assert await bench.client().find_sent(call, begun) == [line["id"]]
    assert await bench.client().find_sent(call, begun + timedelta(minutes=5)) == []
    (other,) = calls_of(bench, person, Text(text="something else"))
    assert await bench.client().find_sent(other, begun) == []
    comment = await bench.phone.say(person, text="?", post="900")
    for call in (
        *calls_of(bench, person, Media(kind=MediaKind.IMAGE, ref="med_1", mime="image/png")),
        *calls_of(bench, person, Text(text="x"), reply_to=f"comment:{comment}", window=""),
        *calls_of(bench, person, Text(text="x"), reply_to=f"comment:{comment}", public=True),
    ):
        assert await bench.client().find_sent(call, begun) is None
    await bench.phone.post("faults", kind="500", on="conversations")
    assert await bench.client().find_sent(other, begun) is None
