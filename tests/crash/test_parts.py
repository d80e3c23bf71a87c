"""Killed in the middle of a reply of several parts: after the restart exactly the unsent parts go.

A channel joins by one more ``Provider``: how its shopper begins, and what has reached them.
"""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.crash.shop import Shop, at_rest, call, everything, open_shop
from tests.crash.whatsapp import WhatsAppShop, open_whatsapp_shop
from tests.support.waiting import eventually

pytestmark = pytest.mark.crash

PARTS = ("one", "two", "three")


@dataclass(frozen=True)
class Provider:
    """One kind of channel at its simulator."""

    kind: str
    #: The gateway's process and the simulator, below a folder.
    shop: Callable[[Path], AbstractAsyncContextManager[Any]]
    #: A shopper writes.
    begin: Callable[[Any], Awaitable[None]]
    #: Texts that the simulator has accepted, in order.
    accepted: Callable[[Any], Awaitable[list[str]]]


async def telegram_begin(shop: Shop) -> None:
    await shop.phone.say(await shop.phone.user("Cleo"), text="hello")


async def telegram_accepted(shop: Shop) -> list[str]:
    return [entry["text"] for entry in await shop.phone.ledger()]


PROVIDERS = (
    Provider("telegram", lambda folder: open_shop(folder, 'mode = "poll"'), telegram_begin, telegram_accepted),
    Provider("whatsapp", open_whatsapp_shop, WhatsAppShop.begin, WhatsAppShop.accepted),
)


@pytest.mark.parametrize("provider", PROVIDERS, ids=lambda provider: provider.kind)
@pytest.mark.parametrize(
    ("point", "accepted"),
    [
        ("outbox.claimed:1", ("one", "two", "three")),
        ("outbox.part_kept:1", ("one", "two", "three")),
        ("outbox.part_kept:2", ("one", "two", "three")),
        # Between the provider's answer and its record lies one call that nobody can know of: it is sent again, with a mark.
        ("outbox.part_called:2", ("one", "two", "two", "three")),
    ],
)
async def test_only_the_unsent_parts_go_again(tmp_path: Path, provider: Provider, point: str, accepted: tuple[str, ...]) -> None:
    async with provider.shop(tmp_path) as shop:
        await kill_and_restart(shop, provider, point)
        assert tuple(await provider.accepted(shop)) == accepted
        lines, _, _ = await everything(shop.database)
        (line,) = [line for line in lines if line.status is not None]
        assert (str(line.status), line.possible_duplicate) == ("sent", True)


async def kill_and_restart(shop: Any, provider: Provider, point: str) -> None:
    shop.gateway.environment = {"SPORTELLO_CRASH_AT": point}
    await shop.gateway.start()
    await provider.begin(shop)
    (conversation,) = await eventually(lambda: conversations(shop), lambda found: len(found) == 1)
    body = {"parts": [{"type": "text", "text": text} for text in PARTS]}
    await post(shop, f"/conversations/{conversation['id']}/messages", body)
    await shop.gateway.dead()
    shop.gateway.environment = {}
    await shop.gateway.start()
    await eventually(lambda: provider.accepted(shop), lambda found: found[-1:] == ["three"])
    await at_rest(shop)
    await shop.gateway.stop()


async def conversations(shop: Shop) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await call(shop, "GET", "/conversations"))["items"]
    return found


async def post(shop: Shop, path: str, body: dict[str, Any]) -> None:
    """The process may die before it has answered."""
    headers = {"Authorization": f"Bearer {shop.token}"}
    async with shop.session.post(f"{shop.gateway.url}/api/v1{path}", json=body, headers=headers) as answer:
        assert answer.status == 201, await answer.text()
