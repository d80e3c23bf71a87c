from collections.abc import AsyncIterator

import pytest

from tests.support.graph import Bench, whatsapp_bench


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async with whatsapp_bench() as ready:
        yield ready
