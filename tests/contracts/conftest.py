"""The back-ends that the one contract suite runs over; a new one is a new parameter of ``store``."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from storage import open_store
from storage.protocol import Store


@pytest.fixture(params=["sqlite"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    assert request.param == "sqlite"
    opened = await open_store(f"sqlite://{tmp_path}/contract.db")
    yield opened
    await opened.close()
