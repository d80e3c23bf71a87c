"""A process that appends to a store for ever, and says on standard output what was acknowledged: one key a line.

Its own process, so that it can be stopped in the middle of anything. ``--lazily`` is for the control: it opens a PostgreSQL that
does not wait for its disk, which the store itself refuses.
"""

import argparse
import asyncio
import sys

from storage import open_store
from storage.postgres import schema
from storage.postgres.connection import Sql
from tests.support.rows import entry

CALLERS = 8


async def write(url: str) -> None:
    """Until killed."""
    store = await open_store(url)

    async def caller(name: int) -> None:
        number = 0
        while True:
            number += 1
            key = f"{name}-{number}"
            await store.append([entry(key, data=b'"' + b"x" * 1000 + b'"')])
            sys.stdout.write(key + "\n")
            sys.stdout.flush()

    await asyncio.gather(*(caller(name) for name in range(CALLERS)))


async def _content(sql: Sql) -> list[str]:
    del sql
    return []


def main() -> None:
    """``python -m tests.chaos.cut_writer URL``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--lazily", action="store_true")
    given = parser.parse_args()
    if given.lazily:
        schema.unsafe = _content
    asyncio.run(write(given.url))


if __name__ == "__main__":
    main()
