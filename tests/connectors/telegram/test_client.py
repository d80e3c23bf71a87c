"""What agents write, through the client to the simulator, over real HTTP."""

import pytest

from connectors.content import ContactCard, Location, Text
from connectors.contract import Failure, Sent
from connectors.errors import FailureKind
from tests.support.telegram import Bench, deliver, failure, telegram_bench


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
