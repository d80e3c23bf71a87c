"""What a channel's exchanges say of its health; the judgement is pure, its announcement happens once."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from connectors.abilities import Component, Finding
from connectors.errors import FailureKind
from gateway.channel_health import ACCOUNT_COUNTS, changed, judge, worst
from storage.ids import derive_id
from storage.interaction import ComponentHealth, Health, HealthState, Interaction, InteractionKind
from storage.protocol import WHOLE
from tests.support.bird import Aviary

NOW = datetime(2026, 11, 3, 12, 0, tzinfo=UTC)
OK, DEGRADED, DOWN, UNKNOWN = HealthState.OK, HealthState.DEGRADED, HealthState.DOWN, HealthState.UNKNOWN
SEND, WEBHOOK, FETCH = InteractionKind.SEND, InteractionKind.WEBHOOK, InteractionKind.FETCH
RECEIVER, TOKEN, PROBE = InteractionKind.RECEIVER, InteractionKind.TOKEN, InteractionKind.PROBE

Said = tuple[InteractionKind, str]
GOOD: dict[InteractionKind, str] = {SEND: "sent", WEBHOOK: "appended", FETCH: "appended"}


def said(*words: Said, findings: tuple[Finding, ...] = ()) -> list[Interaction]:
    """Interactions one second apart, the last one now."""
    made = []
    for number, (kind, result) in enumerate(words):
        at = NOW - timedelta(seconds=len(words) - 1 - number)
        ok = result in {"sent", "appended", "duplicate", "ok", "spooled"}
        code = "" if ok else "E1"
        id_ = derive_id("log", at, str(number))
        made.append(Interaction(id=id_, channel="bot", at=at, kind=kind, ok=ok, result=result, code=code, findings=findings))
    return made


def states(health: Health) -> dict[str, str]:
    return {component.value: part.state.value for component, part in health.items() if part.state is not UNKNOWN}


def times(number: int, kind: InteractionKind, result: str) -> list[Said]:
    return [(kind, result)] * number


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ([], {}),
        ([(SEND, "sent")], {"outbound": "ok", "auth": "ok"}),
        ([(WEBHOOK, "appended")], {"inbound": "ok", "webhook": "ok"}),
        ([(WEBHOOK, "duplicate")], {"inbound": "ok", "webhook": "ok"}),
        ([(WEBHOOK, "spooled")], {"inbound": "ok", "webhook": "ok"}),
        ([(FETCH, "appended")], {"inbound": "ok", "auth": "ok"}),
        # one trouble is none
        ([(SEND, "sent"), *times(2, SEND, "transient")], {"outbound": "ok", "auth": "ok"}),
        ([(SEND, "sent"), *times(3, SEND, "transient")], {"outbound": "degraded", "auth": "ok"}),
        ([(SEND, "sent"), *times(10, SEND, "unknown")], {"outbound": "down", "auth": "ok"}),
        ([*times(10, SEND, "throttled"), (SEND, "sent")], {"outbound": "ok", "auth": "ok"}),
        (times(3, SEND, "transient"), {"outbound": "degraded"}),
        # a refused recipient is an answer
        *[
            ([(SEND, kind.value)], {"outbound": "ok", "auth": "ok"})
            for kind in (FailureKind.RECIPIENT, FailureKind.OPTED_OUT, FailureKind.INVALID, FailureKind.WINDOW, FailureKind.MOVED)
        ],
        # these need an operator, at once
        ([(SEND, "sent"), (SEND, "auth")], {"outbound": "down", "auth": "down"}),
        ([(SEND, "sent"), (SEND, "account")], {"outbound": "down", "auth": "ok"}),
        ([(SEND, "config")], {"outbound": "down"}),
        ([(SEND, "auth"), *times(2, SEND, "transient")], {"outbound": "down", "auth": "down"}),
        ([(SEND, "auth"), (SEND, "sent")], {"outbound": "ok", "auth": "ok"}),
        # anybody may post nonsense
        ([(WEBHOOK, "appended"), *times(2, WEBHOOK, "refused")], {"inbound": "ok", "webhook": "ok"}),
        ([(WEBHOOK, "appended"), *times(3, WEBHOOK, "refused")], {"inbound": "ok", "webhook": "degraded"}),
        ([*times(9, WEBHOOK, "refused"), (WEBHOOK, "appended")], {"inbound": "ok", "webhook": "ok"}),
        (times(3, WEBHOOK, "quarantined"), {"inbound": "degraded", "webhook": "ok"}),
        (times(3, WEBHOOK, "unavailable"), {"inbound": "degraded", "webhook": "ok"}),
        ([(RECEIVER, "auth")], {"inbound": "down", "auth": "down"}),
        ([(RECEIVER, "auth"), (RECEIVER, "ok")], {"inbound": "ok", "auth": "ok"}),
        (times(3, RECEIVER, "failed"), {"inbound": "degraded"}),
        ([(TOKEN, "auth")], {"inbound": "down", "auth": "down"}),
        ([(TOKEN, "ok")], {"auth": "ok"}),
        ([(SEND, "sent"), (InteractionKind.BREAKER, "failed")], {"outbound": "degraded", "auth": "ok"}),
        ([(InteractionKind.BREAKER, "failed"), (InteractionKind.BREAKER, "ok")], {"outbound": "ok"}),
        ([(SEND, "sent"), (InteractionKind.ACCOUNT, "failed")], {"outbound": "degraded", "auth": "ok"}),
        (times(20, InteractionKind.MEDIA, "given_up"), {}),
        (times(3, PROBE, "unreachable"), {"outbound": "degraded"}),
    ],
)
def test_verdicts(words: Sequence[Said], wanted: dict[str, str]) -> None:
    health = judge({}, said(*words), NOW)
    assert states(health) == wanted
    assert all(part.why for part in health.values() if part.state in (DEGRADED, DOWN))


def test_the_order_in_which_they_are_read_does_not_matter() -> None:
    found = said((SEND, "auth"), (SEND, "sent"), *times(4, SEND, "transient"))
    assert judge({}, found, NOW) == judge({}, found[::-1], NOW)


def test_a_probe_tells_each_component_and_the_remedy() -> None:
    findings = (
        Finding(component=Component.AUTH, ok=True, detail="the bot is @x"),
        Finding(component=Component.WEBHOOK, ok=True, detail="a"),
        Finding(component=Component.WEBHOOK, ok=False, detail="another address", remedy="Run: connect."),
    )
    health = judge({}, said((PROBE, "failed"), findings=findings), NOW)
    assert states(health) == {"auth": "ok", "webhook": "down"}
    assert health[Component.WEBHOOK].why == "another address. Run: connect"


def test_since_and_why_stay_while_the_state_does() -> None:
    before = judge({}, said((SEND, "auth")), NOW)
    after = judge(before, said((SEND, "auth"), (SEND, "account")), NOW + timedelta(hours=1))
    assert after[Component.OUTBOUND] == before[Component.OUTBOUND]
    well = judge(after, said((SEND, "sent")), NOW + timedelta(hours=2))
    assert well[Component.OUTBOUND] == ComponentHealth(state=OK, since=NOW + timedelta(hours=2))


@pytest.mark.parametrize("state", [OK, DEGRADED, DOWN])
def test_without_evidence_nothing_changes(state: HealthState) -> None:
    """The log is short: what it has forgotten is no news."""
    before: Health = {component: ComponentHealth(state=state, since=NOW, why="x") for component in Component}
    assert judge(before, [], NOW + timedelta(days=8)) == before
    assert judge(before, said(*times(2, SEND, "transient")), NOW)[Component.OUTBOUND].state is state


def test_few_troubles_do_not_mend_what_is_down() -> None:
    before: Health = {Component.OUTBOUND: ComponentHealth(state=DOWN, since=NOW, why="auth")}
    assert judge(before, said(*times(5, SEND, "transient")), NOW)[Component.OUTBOUND].state is DOWN


def test_what_a_provider_says_of_the_account_counts_for_a_day() -> None:
    found = said((InteractionKind.ACCOUNT, "failed"))
    assert states(judge({}, found, NOW + ACCOUNT_COUNTS)) == {"outbound": "degraded"}
    assert states(judge({}, found, NOW + ACCOUNT_COUNTS + timedelta(seconds=1))) == {}


def test_the_first_good_word_is_no_news() -> None:
    first = judge({}, said((SEND, "sent")), NOW)
    assert changed({}, first) == []
    assert changed(first, judge(first, said((SEND, "auth")), NOW)) == [Component.OUTBOUND, Component.AUTH]
    assert changed({}, judge({}, said((SEND, "auth")), NOW)) == [Component.OUTBOUND, Component.AUTH]
    assert worst(first) is OK
    assert worst({}) is UNKNOWN


# --- in a gateway ------------------------------------------------------------------------------------------------------


async def announced(town: Aviary) -> list[dict[str, object]]:
    events = await town.services.store.read(WHOLE, 0, 10_000)
    return [msgspec.json.decode(one.entry.data) for one in events if one.entry.type == "channel.health_changed"]


async def test_a_change_is_announced_once_to_who_supervises(town: Aviary) -> None:
    received = town.services.metrics.value("sportello_received_total", channel="shop")
    async with town.cast.sue.feed() as supervisor, town.cast.ada.feed() as agent:
        town.services.journal.reported("shop", "token", ok=False, code="auth", detail="refused")
        await town.judge()
        await town.judge()
        frame = await supervisor.of("channel.health_changed")
        assert frame["data"]["channel_id"] == "shop"
        assert frame["data"]["changed"] == ["inbound", "auth"]
        assert frame["data"]["health"]["auth"]["state"] == "down"
        assert "refused" in frame["data"]["health"]["auth"]["why"]
        await town.cast.conversation("Is anybody there?")
        await agent.of("message.added")
        assert "channel.health_changed" not in {seen["type"] for seen in agent.seen}
    assert len(await announced(town)) == 1
    assert town.services.metrics.value("sportello_channel_health", channel="shop", component="auth") == 2
    assert town.services.metrics.value("sportello_received_total", channel="shop") == received
    assert (await town.cast.amy.get("/reconcile")).json["balanced"] is True
    views = {one["id"]: one for one in (await town.cast.sue.get("/channels")).json["items"]}
    assert views["shop"]["health"]["auth"]["state"] == "down"
    assert {one["health"] for one in (await town.cast.ada.get("/channels")).json["items"]} == {None}


async def test_it_mends_itself_with_what_goes_well(town: Aviary) -> None:
    _, conversation = await town.conversation()
    town.services.journal.reported("shop", "token", ok=False, code="auth")
    await town.judge()
    await town.reply(conversation, "Here I am.")
    await town.conversation("And more?")
    await town.judge()
    assert [one["changed"] for one in await announced(town)] == [["inbound", "auth"], ["inbound", "auth"]]
    health = (await town.services.store.view(lambda tx: tx.channel_log.health()))["shop"]
    assert worst(health) is OK
    assert town.services.metrics.value("sportello_channel_health", channel="shop", component="auth") == 0


async def test_a_provider_that_fails_is_degraded_and_then_well(town: Aviary) -> None:
    waiting = [(await town.conversation(f"I am number {number}"))[1] for number in range(4)]
    await town.phone.post("faults", kind="500", count=3)
    for conversation in waiting[:3]:
        await town.reply(conversation, "one", "retry")
    await town.until_logged(SEND, 3)
    await town.judge()
    health = (await town.services.store.view(lambda tx: tx.channel_log.health()))["shop"]
    assert health[Component.OUTBOUND].state is DEGRADED
    assert health[Component.OUTBOUND].why == "500: Internal Server Error"
    await town.reply(waiting[3], "two")
    await town.judge()
    health = (await town.services.store.view(lambda tx: tx.channel_log.health()))["shop"]
    assert health[Component.OUTBOUND].state is OK
