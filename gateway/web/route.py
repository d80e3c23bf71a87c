"""A route is data: the server's routes, their checks and the OpenAPI document all come from it, so none can exist undocumented."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from typing import Any, Final, Generic, TypeVar

import msgspec
from aiohttp import web
from msgspec import Struct

from gateway.services import Services
from gateway.web.access import ANYBODY, Principal, unauthenticated
from gateway.web.state import WebState
from storage.protocol import Transaction
from storage.record import Role

B = TypeVar("B")
Q = TypeVar("Q")
T = TypeVar("T")


class Input(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of bodies and queries: an unknown field is an error."""


class Nothing(Input, frozen=True):
    """An empty query, or an empty object as body."""


class Replay(Enum):
    """What a repeated POST with the same Idempotency-Key gets."""

    #: The first answer, as it was kept.
    KEPT = auto()
    #: The handler runs again with the same command id: for answers that hold a secret, which we do not keep, and for uploads.
    RERUN = auto()
    #: The handler runs again and nothing is noted: for what leaves no trace anyway.
    NEVER = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Generic[B, Q]):
    """One request to the API, decoded and allowed."""

    state: WebState
    request: web.Request
    body: B
    query: Q
    #: None on public routes only.
    who: Principal | None
    #: Seeds the ids of what the request creates; the same for a repeated Idempotency-Key.
    command_id: str

    @property
    def services(self) -> Services:
        """The gateway's organs."""
        return self.state.services

    @property
    def principal(self) -> Principal:
        """Who asks."""
        if self.who is None:
            raise unauthenticated()
        return self.who

    @property
    def now(self) -> datetime:
        """Aware UTC."""
        return self.services.clock()

    def path(self, name: str) -> str:
        """A part of the address."""
        return self.request.match_info[name]

    async def view(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        """Read from the store."""
        return await self.services.store.view(work)

    async def transact(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        """Change the store."""
        return await self.services.store.transact(work)

    async def command(self, command: Any) -> Any:
        """Have the router do it. Raises its refusals."""
        return await self.services.router.handle(command)


@dataclass(frozen=True, slots=True)
class Answer:
    """A result with headers of its own, for example a cookie."""

    body: Any
    headers: Mapping[str, str]


Handler = Callable[[Any], Awaitable[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One operation of the API."""

    method: str
    #: Below ``/api/v1``, with ``{names}``.
    path: str
    handler: Handler
    #: One line, imperative: for the documentation.
    summary: str
    #: The document's section.
    tag: str
    body: type[Any] | None = None
    query: type[Any] = Nothing
    #: What a success carries; None for no content.
    response: type[Any] | None = None
    status: int = 200
    #: None: nobody needs to be logged in.
    roles: frozenset[Role] | None = ANYBODY
    replay: Replay = Replay.KEPT
    #: The body is not JSON; the handler reads it.
    raw: bool = False
    #: Error codes beside those that every operation has.
    errors: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """For the document's operationId, for example ``post_conversations_id_messages``."""
        return "_".join([self.method.lower(), *(part.strip("{}") for part in self.path.split("/") if part)]).replace("-", "_")


PREFIX: Final = "/api/v1"

encode: Final = msgspec.json.Encoder().encode
