from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.support.postgres import ForeignServer, PostgresServer, fresh_database
from tests.support.shop import Shop

MakeShop = Callable[[str], Awaitable[Shop]]


@pytest.fixture(params=["sqlite", "postgres"])
async def make_shop(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[MakeShop]:
    """Makes places for installations, by name; each has a database of its own."""
    async with AsyncExitStack() as stack:

        async def make(name: str) -> Shop:
            folder = tmp_path / name
            folder.mkdir()
            if request.param == "sqlite":
                return Shop(folder, f"sqlite://{folder}/sportello.db")
            # Asked for here, so that no server is started for the other engine.
            server: PostgresServer | ForeignServer = request.getfixturevalue("postgres_server")
            return Shop(folder, await stack.enter_async_context(fresh_database(server)))

        yield make
