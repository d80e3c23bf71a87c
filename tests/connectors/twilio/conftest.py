from collections.abc import AsyncIterator

import pytest

from tests.support.twilio import Bench, twilio_bench


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async with twilio_bench() as ready:
        yield ready
