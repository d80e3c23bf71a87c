"""A gateway with a simulated Telegram, whose secrets are canaries."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.bird import Aviary, aviary


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[Aviary]:
    async with aviary(tmp_path) as found:
        yield found
