"""A channel's log on every back-end: what goes in comes out by each filter, and no more is kept than was promised."""

from datetime import UTC, datetime, timedelta

from connectors.abilities import Component, Finding
from storage.ids import derive_id
from storage.interaction import ComponentHealth, HealthState, Interaction, InteractionKind, LogFilter, Wire
from storage.protocol import Store
from storage.record import Entry

NOW = datetime(2026, 11, 3, 12, 0, tzinfo=UTC)
ALL = LogFilter()


def made(
    number: int, channel: str = "bot", kind: InteractionKind = InteractionKind.SEND, *, ok: bool = True, refs: tuple[str, ...] = ()
) -> Interaction:
    at = NOW + timedelta(seconds=number)
    return Interaction(id=derive_id("log", at, channel, str(number)), channel=channel, at=at, kind=kind, ok=ok, refs=refs)


async def add(store: Store, *interactions: Interaction) -> None:
    await store.aside(lambda tx: tx.channel_log.add(interactions))


async def page(store: Store, channel: str = "bot", wanted: LogFilter = ALL, before: str = "", limit: int = 100) -> list[Interaction]:
    return await store.view(lambda tx: tx.channel_log.page(channel, wanted, before, limit))


async def test_a_whole_record_comes_back_as_it_was(store: Store) -> None:
    finding = Finding(component=Component.AUTH, ok=False, detail="401", remedy="Make a new token.")
    request = Wire(method="POST", url="https://x.example/\0", headers={"a": "b"}, body="ciao \U0001f600 \0\1", size=9)
    whole = Interaction(
        id="log_1", channel="bot", at=NOW, kind=InteractionKind.PROBE, ok=False, ms=1.5, result="auth", status=401, code="4\x001",
        detail="no",
        message_id="msg_1", refs=("7", "8"), positions=(3, 4), events=("message.received",), request=request, reply=Wire(status=401),
        findings=(finding,), node="a-1",
    )  # fmt: skip
    await add(store, whole)
    assert await page(store) == [whole]
    assert await store.view(lambda tx: tx.channel_log.get("bot", "log_1")) == whole
    assert await store.view(lambda tx: tx.channel_log.get("web", "log_1")) is None


async def test_filters_and_pages(store: Store) -> None:
    one = made(1, refs=("777", "msg_a"))
    two = made(2, kind=InteractionKind.WEBHOOK, ok=False, refs=("778",))
    three, foreign = made(3), made(4, "web", refs=("777",))
    await add(store, one, two, three, foreign)
    assert await page(store) == [three, two, one]
    assert await page(store, limit=2) == [three, two]
    assert await page(store, before=two.id) == [one]
    assert await page(store, wanted=LogFilter(kind=InteractionKind.SEND)) == [three, one]
    assert await page(store, wanted=LogFilter(ok=False)) == [two]
    assert await page(store, wanted=LogFilter(ok=True, kind=InteractionKind.WEBHOOK)) == []
    assert await page(store, wanted=LogFilter(refs=("777", "778"))) == [two, one]
    assert await page(store, wanted=LogFilter(refs=("777",), ok=True)) == [one]
    assert await page(store, wanted=LogFilter(refs=())) == []
    assert await page(store, "web") == [foreign]
    assert await store.view(lambda tx: tx.channel_log.newest()) == {"bot": three.id, "web": foreign.id}


async def test_only_the_newest_are_kept_of_each_channel_and_nothing_old(store: Store) -> None:
    many = [made(number, refs=(f"p{number}",)) for number in range(12)]
    quiet = [made(number, "web", refs=(f"p{number}",)) for number in (-10, 1)]
    await add(store, *many, *quiet)
    assert await store.aside(lambda tx: tx.channel_log.prune(5, NOW)) == 8
    assert await page(store) == many[:6:-1]
    assert await page(store, "web") == quiet[1:]
    assert await page(store, wanted=LogFilter(refs=("p3", "p9"))) == [many[9]]
    assert await page(store, "web", LogFilter(refs=("p-10",))) == []
    assert await store.aside(lambda tx: tx.channel_log.prune(5, NOW + timedelta(days=1))) == 6
    assert await store.view(lambda tx: tx.channel_log.newest()) == {}


async def test_a_batch_of_a_thousand_messages_is_one_record(store: Store) -> None:
    await add(store, made(1, refs=tuple(f"p{number}" for number in range(1000))))
    assert len(await page(store, wanted=LogFilter(refs=("p3",)))) == 1
    assert await page(store, wanted=LogFilter(refs=("p999",))) == [], "links are bounded"


async def test_health_is_replaced(store: Store) -> None:
    first = {Component.AUTH: ComponentHealth(state=HealthState.DOWN, since=NOW, why="401")}
    second = {Component.AUTH: ComponentHealth(state=HealthState.OK, since=NOW), Component.INBOUND: ComponentHealth(since=NOW)}
    await store.aside(lambda tx: tx.channel_log.put_health("bot", first))
    await store.transact(lambda tx: tx.channel_log.put_health("bot", second))
    assert await store.view(lambda tx: tx.channel_log.health()) == {"bot": second}


async def test_the_log_is_no_part_of_the_stream(store: Store) -> None:
    await store.append([Entry(type="x", data=b"{}", partition=0, at=NOW, channel="bot", key="k")])
    await add(store, made(1))
    assert await store.view(lambda tx: tx.stream.head()) == 1
