"""What tests of the whole gateway share."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.support.cast import Cast, assemble
from tests.support.gateway import RunningGateway, gateway_config, running_gateway
from tests.support.postgres import ForeignServer, PostgresServer, running_server

#: No secret is in anything that the run writes.
pytest_plugins = ["tests.support.secrets_watch"]


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[RunningGateway]:
    """A gateway of its own for one test."""
    async with running_gateway(gateway_config(tmp_path)) as running:
        yield running


@pytest.fixture
async def cast(gateway: RunningGateway) -> Cast:
    """A gateway of its own, with everybody in it."""
    return await assemble(gateway)


@pytest.fixture(scope="session")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Cast]:
    """One gateway with everybody for all tests that leave it as they found it, or do not care."""
    async with running_gateway(gateway_config(tmp_path_factory.mktemp("stage"))) as running:
        yield await assemble(running)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer | ForeignServer]:
    """A PostgreSQL for all tests that leave it as it is; started when the first of them asks."""
    yield from running_server()
