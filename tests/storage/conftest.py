from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from storage import utc_now
from storage.sqlite import open_sqlite
from storage.sqlite.store import SqliteStore
from tests.support.faulty_disk import FaultyDisk


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sportello.db"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[FaultyDisk]:
    made = FaultyDisk(f"faulty-{tmp_path}")
    yield made
    made.may_sync.set()
    made.unregister()


@pytest.fixture
async def store(path: Path, disk: FaultyDisk) -> AsyncIterator[SqliteStore]:
    opened = await open_sqlite(path, clock=utc_now, vfs=disk.name)
    yield opened
    disk.may_sync.set()
    await opened.close()
