"""Two versions side by side: the newer one has migrated the database, the older one works on it until it is replaced."""

import asyncio
import contextlib
import json
import shutil
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from connectors.telegram.simulator import create_simulator_app
from storage.errors import SchemaError
from storage.postgres import schema
from storage.protocol import WHOLE
from storage.record import MessageKind
from tests.gateway.test_cluster import HEADERS, node_config, update
from tests.support.gateway import RunningGateway, running_gateway
from tests.support.postgres import ForeignServer, PostgresServer, fresh_database
from tests.support.serving import serving
from tests.support.telegram import TOKEN
from tests.support.waiting import eventually

NEXT = "{mark}ALTER TABLE conversation ADD COLUMN mood TEXT NOT NULL DEFAULT '';\nCREATE INDEX conversation_mood ON conversation (mood);\n"


@pytest.fixture
async def database(postgres_server: PostgresServer | ForeignServer) -> AsyncIterator[str]:
    async with fresh_database(postgres_server, empty=True) as url:
        yield url


def newer(folder: Path, mark: str) -> Path:
    """The migrations of the next version: all of ours and one more."""
    shutil.copytree(schema.MIGRATIONS, folder)
    number = len(list(folder.glob("*.sql"))) + 1
    (folder / f"{number:04}_mood.sql").write_text(NEXT.format(mark=mark))
    return folder


async def post(node: RunningGateway, number: int) -> None:
    """As a provider does it: again until it is taken."""
    while True:
        with contextlib.suppress(aiohttp.ClientError):
            status, _, _ = await node.request(
                "POST", "/webhooks/shop", data=update(number, f"text {number}", chat=number % 5), headers=HEADERS
            )
            assert status in {200, 503}
            if status == 200:
                return
        await asyncio.sleep(0.01)


async def test_old_and_new_work_together_and_nothing_is_lost(tmp_path: Path, database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with contextlib.AsyncExitStack() as stack:
        telegram = await stack.enter_async_context(serving(create_simulator_app(token=TOKEN, rate_limits=False)))
        new = tmp_path / "migrations"
        async with running_gateway(node_config(tmp_path / "old", database, "", telegram)) as old:
            for number in range(1, 21):
                await post(old, number)
            ours = schema.MIGRATIONS
            monkeypatch.setattr(schema, "MIGRATIONS", newer(new, f"-- compatible with: {len(list(ours.glob('*.sql'))):04}\n"))
            first = await stack.enter_async_context(running_gateway(node_config(tmp_path / "new", database, "", telegram)))
            await asyncio.gather(*(post((old, first)[number % 2], number) for number in range(21, 61)))
            monkeypatch.setattr(schema, "MIGRATIONS", ours)
            # An old node that has to start again meanwhile can do so.
            async with running_gateway(node_config(tmp_path / "old again", database, "", telegram)) as again:
                await asyncio.gather(*(post((old, first, again)[number % 3], number) for number in range(61, 91)))
        await asyncio.gather(*(post(first, number) for number in range(91, 101)))

        async def lines() -> Counter[str]:
            events = await first.services.store.read(WHOLE, 0, 10_000)
            added = [json.loads(event.entry.data)["message"] for event in events if event.entry.type == "message.added"]
            return Counter(one["parts"][0]["text"] for one in added if one["kind"] == MessageKind.INBOUND.value)

        expected = Counter(f"text {number}" for number in range(1, 101))
        assert await eventually(lines, lambda found: found == expected)


async def test_an_old_node_does_not_touch_what_it_cannot_understand(tmp_path: Path, database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = schema.MIGRATIONS
    monkeypatch.setattr(schema, "MIGRATIONS", newer(tmp_path / "migrations", ""))
    async with running_gateway(node_config(tmp_path / "new", database, "", "http://127.0.0.1:9")):
        monkeypatch.setattr(schema, "MIGRATIONS", ours)
        with pytest.raises(SchemaError, match="install a newer Sportello"):
            async with running_gateway(node_config(tmp_path / "old", database, "", "http://127.0.0.1:9")):
                pass
