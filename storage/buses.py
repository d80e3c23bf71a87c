"""Where the nodes of one installation meet: a bus by its URL."""

import importlib

from storage.bus import Bus
from storage.errors import StorageError
from storage.local_bus import LocalBus


async def open_bus(url: str) -> Bus:
    """Open the bus at ``url``; empty: within this process. Called and used within one event loop.

    ``redis://``, ``rediss://`` (TLS), ``redis+cluster://``, ``redis+sentinel://``: Redis 6.2 or Valkey 7.2 and newer, see
    ``storage.redis_bus.address`` for what a URL can say. A server that is away is no error: ``state`` says so until it is back.
    Raises StorageError for a URL that cannot be understood; the message never has its password.
    """
    if not url:
        return LocalBus()
    scheme = url.partition("://")[0][:40] if "://" in url else ""
    if scheme.partition("+")[0] not in {"redis", "rediss"}:
        raise StorageError(f"a bus URL begins with redis:// or rediss://, not with {scheme or 'nothing'!r}; leave it empty for one process")
    # By name: an installation with one process must not load a driver that it never uses.
    bus: Bus = await importlib.import_module("storage.redis_bus").open_redis_bus(url)
    return bus
