"""A real embedded store on which several nodes of one test may be, as they are on PostgreSQL."""

import contextlib
import dataclasses
from collections.abc import AsyncIterator, Iterable
from typing import Any

from gateway.services import Services
from gateway.work.duty import Duties
from gateway.work.outbox import CONSUMER as SENDER
from routing.router import CONSUMER as ROUTER
from routing.router import Router
from storage.protocol import EVERY_PARTITION, Duty, Store
from storage.record import Node
from tests.support.post import running

DUTIES: dict[Duty, str] = {(consumer, number): "all" for consumer in (ROUTER, SENDER) for number in EVERY_PARTITION}


class SharedStore:
    """Says that it is shared, and is otherwise the store that it was made of."""

    shared = True

    def __init__(self, store: Store) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


def another_node(services: Services, name: str, ttl: float = 0.6) -> Services:
    """The same gateway as a further node: its own duties and router, the same database and channels."""
    store: Any = services.store if services.store.shared else SharedStore(services.store)
    duties = Duties(store, Node(id=name, roles=("all",), since=services.clock()), DUTIES, ttl=ttl, renew=ttl / 12)
    return dataclasses.replace(services, store=store, duties=duties, router=Router(store, services.router._rules, services.clock))


@contextlib.asynccontextmanager
async def keeping(*nodes: Services) -> AsyncIterator[None]:
    """Their leases are kept inside."""
    async with contextlib.AsyncExitStack() as stack:
        for node in nodes:
            await stack.enter_async_context(running(node.duties.keep))
        yield


def partitions_of(nodes: Iterable[Services], consumer: str = ROUTER) -> list[int]:
    """What they have together; a number twice would be one too many."""
    return sorted(partition for node in nodes for partition in node.duties.held(consumer))
