"""Providers' questions are answered, their webhooks as they like it; and a shopper's app shows that an agent has read, or types."""

import dataclasses
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from connectors.contract import Answer, Request
from gateway.services import Channel
from gateway.web.courtesies import TYPING_PAUSE, Courtesies
from storage.interaction import InteractionKind, LogFilter
from storage.protocol import WHOLE
from tests.gateway.bad_input.rows import HOOK, SIGNED, update
from tests.support.cast import Cast
from tests.support.gateway import RunningGateway
from tests.support.post import Letter, Office, Provider, office
from tests.support.waiting import eventually


def change(gateway: RunningGateway, id_: str, **fields: Any) -> None:
    channels = gateway.services.channels
    assert isinstance(channels, dict)
    channel: Channel = channels[id_]
    channels[id_] = dataclasses.replace(channel, connector=dataclasses.replace(channel.connector, **fields))


def handshake(request: Request, settings: object) -> bytes | None:
    assert settings is not None
    if "crash" in request.query:
        raise ValueError("a bug")
    return request.query["challenge"].encode() if request.query.get("token") == "right" else None


async def test_a_provider_that_asks_whether_the_address_is_ours_is_answered(gateway: RunningGateway) -> None:
    assert (await gateway.request("GET", HOOK + "?token=right&challenge=123"))[0] == 403
    change(gateway, "bot", handshake=handshake)
    status, headers, body = await gateway.request("GET", HOOK + "?token=right&challenge=%3Cb%3E")
    assert (status, body, headers["Content-Type"]) == (200, b"<b>", "text/plain")
    assert headers["X-Content-Type-Options"] == "nosniff"
    for query in ("?token=wrong&challenge=1", "", "?crash=1"):
        status, _, body = await gateway.request("GET", HOOK + query)
        assert (status, body) == (403, b"")
    assert not any(one.entry.channel for one in await gateway.services.store.read(WHOLE, 0, 1000))
    await gateway.services.journal.write()
    wanted = LogFilter(kind=InteractionKind.HANDSHAKE)
    log = await gateway.services.store.view(lambda tx: tx.channel_log.page("bot", wanted, "", 10))
    assert Counter((one.ok, one.result, one.detail) for one in log) == {
        (True, "answered", ""): 1,
        (False, "refused", ""): 3,
        (False, "refused", "the check failed: ValueError"): 1,
    }
    assert not any("right" in one.request.url for one in log if one.request), "a verify token stands in the address"
    assert gateway.services.metrics.value("sportello_received_total", channel="bot") == 0


async def test_a_webhook_is_answered_as_its_provider_likes_it(gateway: RunningGateway) -> None:
    change(gateway, "bot", answer=Answer(status=202, body=b"<Response/>", content_type="text/xml"))
    status, headers, body = await gateway.request("POST", HOOK, data=update(1), headers=SIGNED)
    assert (status, body, headers["Content-Type"].partition(";")[0]) == (202, b"<Response/>", "text/xml")
    assert (await gateway.request("POST", HOOK, data=update(1)))[0] == 403


class KindProvider(Provider):
    """Shows what agents do."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, str]] = []
        self.typed: list[tuple[str, str]] = []
        self.error: Exception | None = None

    async def mark_read(self, thread: str, message_id: str) -> None:
        self.seen.append((thread, message_id))
        if self.error:
            raise self.error

    async def show_typing(self, thread: str, message_id: str) -> None:
        self.typed.append((thread, message_id))
        if self.error:
            raise self.error


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 11, 22, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


def kind_courtesies(open_: Office, provider: KindProvider) -> Courtesies:
    channels = open_.services.channels
    assert isinstance(channels, dict)
    channels["post"] = dataclasses.replace(channels["post"], client=provider)
    return Courtesies(open_.services)


async def test_a_read_mark_names_the_newest_message_that_was_seen_and_once(tmp_path: Path) -> None:
    provider = KindProvider()
    async with office(tmp_path) as open_:
        courtesies = kind_courtesies(open_, provider)
        await open_.take(Letter(id="1", sender="ada", text="one"))
        await open_.take(Letter(id="2", sender="ada", text="two"))
        await open_.reply("ada", "an answer")
        conversation = await open_.conversation("ada")
        first, second, _ = [line.pos for line in await open_.messages("ada") if line.parts and line.kind != "activity"]
        await courtesies.seen(conversation, first)
        await courtesies.seen(conversation, second - 1)
        await courtesies.seen(conversation, conversation.last_pos)
        await courtesies.seen(conversation, conversation.last_pos + 1000)
        assert provider.seen == [("ada", "1"), ("ada", "2")]
        await courtesies.seen(conversation, 0)
        provider.error = RuntimeError("a bug")
        await courtesies.seen(conversation, first)
        await courtesies.typing(conversation)
        # A channel that cannot show it is not asked to.
        await courtesies.seen(await open_.conversation("ben", "other"), 1000)
        await courtesies.typing(await open_.conversation("ben", "other"))
        assert {(one.ok, one.result, one.refs, one.detail) for one in await open_.logged(InteractionKind.COURTESY)} == {
            *[(True, "read", (number,), "") for number in ("1", "2")],
            *[(False, what, (number,), "RuntimeError") for what, number in (("read", "1"), ("typing", "2"))],
        }
        assert await open_.logged(InteractionKind.COURTESY, "other") == []


async def test_typing_is_told_now_and_then(tmp_path: Path) -> None:
    clock, provider = Clock(), KindProvider()
    async with office(tmp_path, clock=clock) as open_:
        courtesies = kind_courtesies(open_, provider)
        for sender in ("ada", "ben"):
            await open_.take(Letter(id=f"from {sender}", sender=sender, text="x"))
        ada, ben = await open_.conversation("ada"), await open_.conversation("ben")
        for seconds in (0, 6, 13, 3):
            clock.now += timedelta(seconds=seconds)
            for conversation in (ada, ben):
                await courtesies.typing(conversation)
        assert provider.typed == [("ada", "from ada"), ("ben", "from ben")] * 2
        assert timedelta(seconds=20) == TYPING_PAUSE


async def test_the_apis_own_paths_lead_there(cast: Cast) -> None:
    web = cast.gateway.services.channels["web"]
    provider = KindProvider()
    channels = cast.gateway.services.channels
    assert isinstance(channels, dict)
    conversation = await cast.conversation()
    path = f"/conversations/{conversation['id']}"
    channels["web"] = dataclasses.replace(web, client=provider)
    assert (await cast.ada.post(f"{path}/read", {"pos": conversation["last_pos"]})).status == 200
    await eventually(lambda: _number(provider.seen))
    for _ in range(3):
        assert (await cast.ada.post(f"{path}/typing")).status == 204
    await eventually(lambda: _number(provider.typed), lambda number: number == 1)
    channels["web"] = web


async def _number(of: list[tuple[str, str]]) -> int:
    return len(of)
