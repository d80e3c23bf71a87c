from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from storage import open_store
from tests.routing.world import World
from tests.support.postgres import fresh_database


@pytest.fixture(params=["sqlite", "postgres"])
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    """A router over an empty store; the same one serves every engine."""
    async with AsyncExitStack() as stack:
        url = f"sqlite://{tmp_path}/world.db"
        if request.param == "postgres":
            url = await stack.enter_async_context(fresh_database(request.getfixturevalue("postgres_server")))
        store = await open_store(url)
        stack.push_async_callback(store.close)
        yield World(store)
