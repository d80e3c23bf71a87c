from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from storage import open_store
from tests.routing.world import World


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """A router over an empty SQLite store."""
    store = await open_store(f"sqlite://{tmp_path}/world.db")
    try:
        yield World(store)
    finally:
        await store.close()
