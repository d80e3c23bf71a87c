"""kill -9 of the running gateway, again and again under load: nothing acknowledged is lost, nothing is there twice unless it says so."""

import asyncio
import random
from collections import Counter
from typing import Any

import pytest

from connectors.content import plain_text
from connectors.event import Status
from storage.record import MessageKind
from tests.crash.shop import Promised, Shop, agent, at_rest, call, check, deliver, everything, shopper, update

pytestmark = pytest.mark.crash

KILLS = 20
SHOPPERS = 6


async def test_twenty_kills_under_load(shop: Shop, record_property: Any) -> None:
    random.seed(7)
    promised, stop = Promised(), asyncio.Event()
    for user in range(1, SHOPPERS + 1):
        await shop.phone.user(f"Cleo {user}")
    users = [chat["chat_id"] for chat in (await shop.phone.get("state"))["chats"]]
    await shop.gateway.start()
    tasks = [asyncio.create_task(shopper(shop, promised, user, stop)) for user in users]
    tasks.append(asyncio.create_task(agent(shop, promised, stop)))
    for _ in range(KILLS):
        before = len(promised.accepted)
        await asyncio.sleep(random.uniform(0.1, 0.6))
        # However slow the machine is: no kill without traffic.
        while len(promised.accepted) == before:  # noqa: ASYNC110 - other tasks count it
            await asyncio.sleep(0.01)
        await shop.gateway.kill()
        await shop.gateway.start()
    stop.set()
    await asyncio.gather(*tasks)
    await at_rest(shop)
    assert await shop.gateway.stop() == 0, shop.gateway.said()
    lines, _, _ = await everything(shop.database)
    sent = Counter(entry["text"] for entry in await shop.phone.ledger())
    check(promised, lines, sent)
    flagged = sum(line.possible_duplicate for line in lines)
    extra = sum(count - 1 for count in sent.values())
    assert len(promised.accepted) >= KILLS
    print(  # noqa: T201  the figures belong in the report
        f"\n{KILLS} kills: {len(promised.acknowledged)} messages acknowledged, 0 lost, 0 twice; "
        f"{len(promised.accepted)} replies accepted, 0 vanished, {extra} sent twice, {flagged} flagged"
    )
    record_property("kills", KILLS)


@pytest.mark.parametrize(
    ("point", "deliveries", "flagged"),
    [
        # The attempt is on record before the call: after a crash nobody can know, so it goes once more and says so.
        ("outbox.claimed", 1, True),
        ("outbox.called", 2, True),
        # The outcome is on record: it is not sent again.
        ("outbox.recorded", 1, False),
    ],
)
async def test_a_crash_at_each_step_of_a_sending(shop: Shop, point: str, deliveries: int, *, flagged: bool) -> None:
    user = await shop.phone.user("Cleo")
    shop.gateway.environment = {"SPORTELLO_CRASH_AT": f"{point}:1"}
    await shop.gateway.start()
    await deliver(shop, update(900, user, "Is it open?"))
    async with asyncio.timeout(60):
        while not (page := await call(shop, "GET", "/conversations?state=open"))["items"]:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    path = f"/conversations/{page['items'][0]['id']}/messages"
    poster = asyncio.create_task(call(shop, "POST", path, json={"text": "Yes."}, headers={"Idempotency-Key": "one"}))
    await shop.gateway.dead()
    shop.gateway.environment = {}
    await shop.gateway.start()
    await poster
    await at_rest(shop)
    await shop.gateway.stop()
    lines, _, _ = await everything(shop.database)
    (reply,) = [line for line in lines if line.kind is MessageKind.OUTBOUND]
    assert [entry["text"] for entry in await shop.phone.ledger()] == ["Yes."] * deliveries
    assert (reply.status, reply.possible_duplicate) == (Status.SENT, flagged)


async def test_a_crash_between_the_append_and_the_answer_loses_and_repeats_nothing(shop: Shop) -> None:
    """Telegram has no answer for the third one and delivers it again."""
    user = await shop.phone.user("Cleo")
    shop.gateway.environment = {"SPORTELLO_CRASH_AT": "intake.appended:3"}
    await shop.gateway.start()
    for number in (901, 902):
        await deliver(shop, update(number, user, f"m{number}"))
    third = asyncio.create_task(deliver(shop, update(903, user, "m903")))
    await shop.gateway.dead()
    shop.gateway.environment = {}
    await shop.gateway.start()
    await third
    await deliver(shop, update(902, user, "m902"))
    await at_rest(shop)
    await shop.gateway.stop()
    lines, _, _ = await everything(shop.database)
    assert [plain_text(line.parts) for line in lines if line.kind is MessageKind.INBOUND] == ["m901", "m902", "m903"]
