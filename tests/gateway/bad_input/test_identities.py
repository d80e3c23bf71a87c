"""B33-B36: who wrote. What looks alike is not the same, what is the same need not look alike, and nobody is joined by a guess."""

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlencode

import pytest

from config import ChannelConfig
from connectors.contract import Request
from connectors.email.address import normalised
from connectors.event import MessageReceived, Sender
from connectors.identity import Evidence, Identity
from connectors.registry import load_connector
from connectors.telegram import Settings
from routing.identity import identify
from storage.record import KnownIdentity
from tests.gateway.bad_input.rows import SIGNED, update
from tests.support.cast import Shopper, assemble
from tests.support.gateway import BOT_SECRET, CHANNELS, gateway_config, running_gateway
from tests.support.settings import settings_of
from tests.support.twilio import ACCOUNT, NUMBER, sms_settings
from tests.support.waiting import DEADLINE

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def _by_sms(address: str) -> MessageReceived:
    form = {"MessageSid": "SM" + "0" * 32, "AccountSid": ACCOUNT, "From": address, "To": NUMBER, "Body": "x"}
    headers = {"content-type": "application/x-www-form-urlencoded"}
    request = Request(method="POST", url="https://x/", headers=headers, body=urlencode(form).encode(), received_at=NOW)
    (event,) = load_connector("sms").parse(request, sms_settings())
    assert isinstance(event, MessageReceived)
    return event


@pytest.mark.parametrize(
    "address",
    [
        "+0012345678",
        "0039351000000",
        "39351000000",
        "+39 351 000000",
        "+39abc",
        "VODAFONE",
        "+" + "1" * 40,
        "whatsapp:+393510000000",
        "+٣٩٣٥١",
        "44444",
    ],
)
def test_b33_what_is_no_phone_is_nobodys_phone(address: str) -> None:
    event = _by_sms(address)
    assert event.sender.identity.scheme == "tel-sender"
    assert event.sender.identity.value == address
    assert event.sender.aliases == ()


def test_b33_a_phone_is_itself() -> None:
    assert _by_sms("+393510000000").sender.identity == Identity("tel", "", "+393510000000")


@pytest.mark.parametrize(
    ("number", "phone"),
    [
        ("393510000000", "+393510000000"),
        ("+39 351 000-0000", "+393510000000"),
        ("0012025550123", ""),
        ("abc", ""),
        ("1" * 40, ""),
        ("٣٩٣٥١٠٠٠", ""),
    ],
)
def test_b33_a_shared_phone_is_one_address_or_none(number: str, phone: str) -> None:
    person = {"id": 33, "is_bot": False, "first_name": "Bad"}
    contact = {"phone_number": number, "first_name": "Bad", "user_id": 33}
    body = json.loads(update(33, **{"from": person}, contact=contact))
    del body["message"]["text"]
    request = Request(method="POST", url="", headers={}, body=json.dumps(body).encode(), received_at=NOW)
    (event,) = load_connector("telegram").parse(request, settings_of(Settings, dict(CHANNELS["bot"].settings)))
    assert isinstance(event, MessageReceived)
    assert event.sender.aliases == (((Identity("tel", "", phone), Evidence.PROVIDER),) if phone else ())


ALICE = "alice@shop.com"


@pytest.mark.parametrize(
    ("written", "same"),
    [
        ("Alice@Shop.COM", True),
        ("ALICE@shop.com", True),
        # Cyrillic, Greek and wide letters, a dotless i, letters that only fall together when the case is folded.
        ("\u0430lice@shop.com", False),
        ("alice@\u0455hop.com", False),
        ("al\u0131ce@shop.com", False),
        ("alic\u03b5@shop.com", False),
        ("\uff41lice@shop.com", False),
        ("alice@xn--hop-lqd.com", False),
        ("alice@shop.co", False),
        ("a.lice@shop.com", False),
        ("alice+x@shop.com", False),
        ("alice\u200b@shop.com", False),
    ],
)
def test_b34_b35_the_same_address_or_another(written: str, *, same: bool) -> None:
    assert (normalised(written) == ALICE) is same


def test_b34_folding_the_case_makes_no_ascii() -> None:
    """``"\u212a".lower()`` is ``k``: by that, a stranger's address would become a customer's."""
    assert normalised("Kate@shop.com") == "kate@shop.com"
    assert normalised("\u212aate@shop.com") == "\u212aate@shop.com"


@pytest.mark.parametrize("written", ["a.b+x@gmail.com", "A.B+x@Gmail.COM"])
def test_b35_dots_and_plus_are_kept(written: str) -> None:
    assert normalised(written) == "a.b+x@gmail.com"


def test_b33_b34_a_claim_joins_nobody() -> None:
    """An address that a visitor types opens no history, however it is written."""
    known = KnownIdentity(identity=Identity("mailto", "", ALICE), customer_id="cus_alice", evidence=Evidence.PROVIDER, since=NOW)
    claimed = ((known.identity, Evidence.CLAIMED),)
    sender = Sender(identity=Identity("visitor", "web", "v"), evidence=Evidence.SIGNED, aliases=claimed)
    assert identify(sender, NOW, None, None, {known.identity: known}).customer.id != "cus_alice"


async def test_b36_one_name_in_two_realms_is_two_people(tmp_path: Path) -> None:
    """The same user at two bots of two shops, and one visitor id in two chats: an id holds only where it was given out."""
    settings = {"secret_token": BOT_SECRET, "api_base": "http://127.0.0.1:9"}
    bots = {
        f"bot{number}": ChannelConfig(
            kind="telegram", settings={**settings, "token": f"100000{number}:canary-token-of-a-bot-that-is-not-there-{number}"}
        )
        for number in (1, 2)
    }
    async with running_gateway(gateway_config(tmp_path, {**bots, "web": CHANNELS["web"], "web2": CHANNELS["web2"]})) as gateway:
        cast = await assemble(gateway)
        for name in bots:
            assert (await gateway.request("POST", f"/webhooks/{name}", data=update(36, text=name), headers=SIGNED))[0] == 200
        async with asyncio.timeout(DEADLINE):
            while len(items := (await cast.sue.get("/conversations")).json["items"]) < len(bots):  # noqa: ASYNC110 - it is far away
                await asyncio.sleep(0.01)
        assert len({item["identity"]["value"] for item in items}) == 1
        assert len({item["identity"]["scope"] for item in items}) == 2
        assert len({item["customer_id"] for item in items}) == 2
        # A token of one chat is none in the other.
        assert (await cast.cleo.begin()).status == 201
        other = Shopper(gateway, channel="web2", origin="https://other.example.org", token=cast.cleo.token)
        headers = {"Origin": other.origin, "Authorization": f"Bearer {other.token}", "Content-Type": "application/json"}
        body = b'{"type":"message","id":"5e8bd1d8-7d63-4d73-8a11-7ab2e1f8a001","text":"x"}'
        assert (await gateway.request("POST", "/chat/v1/web2/frames", data=body, headers=headers))[0] == 401
