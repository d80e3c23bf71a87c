from collections.abc import AsyncIterator

import pytest

from tests.support.telegram import Bench, telegram_bench


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async with telegram_bench() as ready:
        yield ready
