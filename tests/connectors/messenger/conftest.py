from collections.abc import AsyncIterator
from typing import cast

import pytest

from tests.support.messenger import MetaBench, Platform, meta_bench


@pytest.fixture(params=["messenger", "instagram"])
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[MetaBench]:
    """Each test runs for a page and for an Instagram account."""
    async with meta_bench(cast("Platform", request.param)) as ready:
        yield ready
