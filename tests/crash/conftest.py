from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.crash.shop import Shop, open_shop


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    """Telegram calls us."""
    async with open_shop(tmp_path) as opened:
        yield opened


@pytest.fixture
async def polling_shop(tmp_path: Path) -> AsyncIterator[Shop]:
    """We ask Telegram."""
    async with open_shop(tmp_path, 'mode = "poll"') as opened:
        yield opened
