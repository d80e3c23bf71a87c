"""One webhook for several accounts, and one batch with a broken entry: each event finds its channel, and none is lost or misplaced."""

import contextlib
import dataclasses
import hashlib
import hmac
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import Struct

from config import ConfigError
from connectors.content import Text
from connectors.contract import Connector, Request
from connectors.event import AnyEvent, MessageReceived, PayloadQuarantined, Sender
from connectors.identity import Identity
from connectors.registry import load_connector
from gateway import channels as planning
from gateway.channels import plan_channels
from gateway.intake import Outcome, Receipt, take_in
from gateway.reprocess import reprocess
from gateway.services import Channel, Services
from storage.errors import Unavailable
from storage.record import Entry
from storage.spooling import Appender, Place
from tests.support.gateway import BOT_TOKEN, CHANNELS, gateway_config
from tests.support.post import Office, Provider, connector, office


class Settings(Struct, frozen=True):
    """A number at a provider, and the secret of the app that it belongs to."""

    account: str
    secret: bytes


class Letter(Struct):
    id: str
    account: str = ""
    text: str = ""


def parse(request: Request, settings: Settings) -> Sequence[AnyEvent]:
    del settings
    events: list[AnyEvent] = []
    for fragment in msgspec.json.decode(request.body, type=list[msgspec.Raw]):
        try:
            letter = msgspec.json.decode(fragment, type=Letter)
        except msgspec.ValidationError as error:
            events.append(PayloadQuarantined(key=f"broken:{bytes(fragment).hex()[:40]}", why=str(error), raw=b"[" + bytes(fragment) + b"]"))
            continue
        sender = Sender(identity=Identity("post", "", letter.id))
        events.append(
            MessageReceived(key=letter.id, message_id=letter.id, sender=sender, parts=(Text(text=letter.text),), account=letter.account)
        )
    return events


def sign(body: bytes, secret: bytes) -> str:
    return hmac.new(secret, body, hashlib.sha256).hexdigest()


def verify(request: Request, settings: Settings) -> bool:
    return hmac.compare_digest(request.headers.get("x-post-signature", ""), sign(request.body, settings.secret))


def number(id_: str, account: str, secret: bytes = b"one app", *, enabled: bool = True) -> Channel:
    post: Any = connector()
    kind: Connector[Settings] = dataclasses.replace(
        post, settings=Settings, verify=verify, parse=parse, account=lambda settings: settings.account
    )
    return Channel(id=id_, title=id_, enabled=enabled, connector=kind, settings=Settings(account, secret), client=Provider())


def with_channels(services: Services, *channels: Channel) -> Services:
    return dataclasses.replace(services, channels={channel.id: channel for channel in channels})


def request(letters: Sequence[object], secret: bytes = b"one app") -> Request:
    body = msgspec.json.encode(letters)
    headers = {"x-post-signature": sign(body, secret), "content-type": "application/json"}
    return Request(method="POST", url="http://test/webhooks/first", headers=headers, body=body, received_at=datetime.now(UTC))


@contextlib.asynccontextmanager
async def numbers(folder: Path, *channels: Channel) -> AsyncIterator[Services]:
    open_: Office
    async with office(folder) as open_:
        yield with_channels(open_.services, *channels)


async def stored(services: Services) -> list[tuple[str, str]]:
    """(type, channel) of all that came in."""
    recorded = await services.store.read(-1, 0, 10_000)
    return [(one.entry.type, one.entry.channel) for one in recorded if one.entry.channel]


def counted(services: Services, channel: str) -> tuple[int, ...]:
    """What was received, and what became of it: appended, duplicate, quarantined, refused."""
    value = services.metrics.value
    outcomes = (value("sportello_inbound_total", channel=channel, outcome=outcome) for outcome in Outcome if outcome is not Outcome.SPOOLED)
    return tuple(int(number) for number in (value("sportello_received_total", channel=channel), *outcomes))


async def take(services: Services, letters: Sequence[object], secret: bytes = b"one app") -> Receipt:
    return await take_in(services, services.channels["first"], request(letters, secret))


async def test_an_event_goes_to_the_channel_with_its_account(tmp_path: Path) -> None:
    async with numbers(tmp_path, number("first", "+1"), number("second", "+2")) as services:
        receipt = await take(services, [Letter("a", "+1"), Letter("b", "+2"), Letter("c")])
        assert [channel.id for channel in receipt.channels] == ["first", "second", "first"]
        assert await stored(services) == [("message.received", "first"), ("message.received", "second"), ("message.received", "first")]
        assert (counted(services, "first"), counted(services, "second")) == ((2, 2, 0, 0, 0), (1, 1, 0, 0, 0))


async def test_the_secret_of_one_app_does_not_write_into_the_channel_of_another(tmp_path: Path) -> None:
    async with numbers(tmp_path, number("first", "+1"), number("second", "+2", b"another app")) as services:
        receipt = await take(services, [Letter("b", "+2")])
        assert receipt.outcome is Outcome.QUARANTINED
        assert await stored(services) == [("payload.quarantined", "first")]
        (event,) = receipt.events
        assert isinstance(event, PayloadQuarantined)
        assert "second" in event.why
        # Nor later, when somebody tries again.
        assert await reprocess(services) == {"recovered": 0, "remaining": 1, "events": 0}


@pytest.mark.parametrize("twin", [number("second", "+2", enabled=False), number("third", "+3")], ids=["switched off", "not there"])
async def test_events_for_an_account_that_no_channel_has_wait_for_one(tmp_path: Path, twin: Channel) -> None:
    async with numbers(tmp_path, number("first", "+1"), twin) as services:
        receipt = await take(services, [Letter("a", "+1"), Letter("b", "+2"), Letter("c", "+2"), Letter("d", "+9")])
        assert receipt.outcome is Outcome.QUARANTINED
        kept = [event for event in receipt.events if isinstance(event, PayloadQuarantined)]
        assert [event.account for event in kept] == ["+2", "+9"]
        assert "+2" in kept[0].why
        assert counted(services, "first") == (3, 1, 0, 2, 0)
        await take(services, [Letter("a", "+1"), Letter("b", "+2"), Letter("c", "+2"), Letter("d", "+9")])
        assert counted(services, "first") == (6, 1, 3, 2, 0)
        assert await reprocess(services) == {"recovered": 0, "remaining": 2, "events": 0}
        later = with_channels(services, number("first", "+1"), number("second", "+2"))
        assert await reprocess(later) == {"recovered": 1, "remaining": 1, "events": 2}
        assert (await stored(later)).count(("message.received", "second")) == 2
        assert (await stored(later)).count(("message.received", "first")) == 1


async def test_one_broken_entry_of_a_thousand(tmp_path: Path) -> None:
    letters: list[object] = [Letter(f"l{index}", "+1") for index in range(1000)]
    letters[500] = {"id": 5}
    async with numbers(tmp_path, number("first", "+1")) as services:
        assert (await take(services, letters)).outcome is Outcome.QUARANTINED
        assert counted(services, "first") == (1000, 999, 0, 1, 0)
        assert (await stored(services)).count(("message.received", "first")) == 999
        (recorded,) = await services.store.view(lambda tx: tx.stream.quarantined(0, 10))
        assert recorded.entry.raw == b'[{"id":5}]'
        # Its headers are kept too: it is parsed again like all the rest.
        assert msgspec.json.decode(recorded.entry.data, type=PayloadQuarantined).headers == {"content-type": "application/json"}


def test_two_channels_of_one_account_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kind = dataclasses.replace(load_connector("telegram"), account=lambda settings: settings.token.reveal().partition(":")[0])
    monkeypatch.setattr(planning, "load_connector", lambda _: kind)
    bot, off = CHANNELS["bot"], CHANNELS["off"]
    assert len(plan_channels(gateway_config(tmp_path, {"bot": bot, "off": off}))) == 2
    with pytest.raises(ConfigError) as raised:
        plan_channels(gateway_config(tmp_path, {"bot": bot, "twin": bot}))
    (problem,) = raised.value.problems
    assert problem.key == "channels.twin"
    assert "bot" in problem.what
    assert "1000001" in problem.what
    assert BOT_TOKEN not in str(raised.value)


async def test_ten_thousand_entries_are_appended_in_turns(tmp_path: Path) -> None:
    letters = [Letter(f"l{index}", "+1") for index in range(2500)]
    async with numbers(tmp_path, number("first", "+1")) as services:
        inbound = Narrow(services.inbound, 2)
        narrow = dataclasses.replace(services, inbound=inbound)
        with pytest.raises(Unavailable):
            await take(narrow, letters)
        assert inbound.sizes == [1000, 1000, 500]
        assert counted(services, "first") == (2500, 2000, 0, 0, 500)
        assert (await take(services, letters)).outcome is Outcome.APPENDED
        assert counted(services, "first") == (5000, 2500, 2000, 0, 500)


class Narrow:
    """Takes so many batches and then no more."""

    def __init__(self, inner: Appender, most: int) -> None:
        self._inner = inner
        self._most = most
        self.sizes: list[int] = []

    async def append(self, entries: Sequence[Entry]) -> Sequence[Place]:
        self.sizes.append(len(entries))
        if len(self.sizes) > self._most:
            raise Unavailable("the disk is full")
        return await self._inner.append(entries)
