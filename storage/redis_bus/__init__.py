"""The bus over Redis or Valkey: one server, a cluster, or Sentinels. ``address`` says what a URL can hold.

    address   what the URL says           wire      one connection; the driver ends there
    scripts   what the servers do         servers   which servers, and which key is where
    mirror    the copied log              line      are they there? if not, nobody waits
    talk      telling and hearing         bus       all of it together

Nothing in Redis is worth a backup: the log refills it, and all else is about now.
"""

from storage.redis_bus.address import read_url
from storage.redis_bus.bus import RedisBus


async def open_redis_bus(url: str) -> RedisBus:
    """See ``storage.buses.open_bus``."""
    bus = RedisBus(read_url(url))
    await bus.start()
    return bus
