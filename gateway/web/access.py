"""From a credential to what it may see. Handlers get a :class:`Principal`, and ask the store only with its scope."""

import contextlib
import ipaddress
from typing import Final

import structlog
from aiohttp import web
from msgspec import Struct

from config.address import origin_of
from gateway.credentials import TOKEN_PREFIX, Kind, find, needs_touch, scope_of
from gateway.web.errors import Refusal
from gateway.web.state import WebState
from routing.command import Actor
from storage.access import Credential, Scope
from storage.errors import Unavailable
from storage.protocol import Transaction
from storage.record import Agent, Role

ANYBODY: Final = frozenset(Role)
SUPERVISORS: Final = frozenset({Role.ADMIN, Role.SUPERVISOR})
ADMINS: Final = frozenset({Role.ADMIN})

_COOKIE: Final = "sportello_session"
_SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_FETCH_SITES: Final = frozenset({"same-origin", "none"})
_SECRET_NAMES: Final = frozenset(
    {
        "token",
        "access_token",
        "api_key",
        "apikey",
        "api_token",
        "auth",
        "authorization",
        "bearer",
        "jwt",
        "password",
        "secret",
        "session",
        "ticket",
    }
)
_LIVE: Final = frozenset({Kind.SESSION, Kind.TOKEN})


class Principal(Struct, frozen=True, kw_only=True):
    """Who asks, and what they may see."""

    agent: Agent
    scope: Scope
    credential_id: str
    kind: Kind

    @property
    def actor(self) -> Actor:
        """The same for the router."""
        return Actor(agent_id=self.agent.id, name=self.agent.name, role=self.agent.role, scope=self.scope)

    @property
    def supervises(self) -> bool:
        """Admin or supervisor?"""
        return self.agent.role in SUPERVISORS


def unauthenticated() -> Refusal:
    """No credential, or one that is over: one answer for all."""
    return Refusal(401, "unauthenticated", "Please log in.", headers={"WWW-Authenticate": "Bearer"})


def refuse_token_in_url(request: web.Request) -> None:
    """Addresses end up in logs and histories: a secret in one is refused, whether it is right or not."""
    for name, value in request.query.items():
        if name.lower() in _SECRET_NAMES or value.startswith(TOKEN_PREFIX):
            structlog.get_logger("web").warning("a secret was sent in an address; its owner should replace it", parameter=name[:32])
            raise Refusal(
                400, "token_in_url", "Never put a token into an address. Send it as a header: Authorization: Bearer …", field=name[:64]
            )


async def authenticate(request: web.Request, state: WebState) -> Principal:
    """The principal of a request, by cookie or bearer token. Raises Refusal 401, or 403 ``csrf``."""
    bearer = _bearer(request)
    if bearer:
        return await principal_of(state, bearer, frozenset({Kind.TOKEN}))
    secret = cookie_of(request, state)
    if not secret:
        raise unauthenticated()
    if request.method not in _SAFE_METHODS:
        check_same_site(request, state)
    return await principal_of(state, secret, frozenset({Kind.SESSION}))


async def principal_of(state: WebState, secret: str, kinds: frozenset[Kind] = _LIVE) -> Principal:
    """Look a secret up. Raises Refusal 401."""
    now = state.services.clock()

    async def work(tx: Transaction) -> tuple[Credential, Principal] | None:
        credential = await find(tx, secret, kinds, now)
        found = credential and await load_principal(tx, credential)
        return (credential, found) if credential and found else None

    found = await state.services.looks(work)
    if found is None:
        raise unauthenticated()
    credential, principal = found
    if needs_touch(credential, now):
        # Reading goes on while nothing can be written; the use is then noted a little later.
        with contextlib.suppress(Unavailable):
            await state.services.notes(lambda tx: tx.agents.touch_credential(credential.id, now))
    return principal


async def load_principal(tx: Transaction, credential: Credential) -> Principal | None:
    """Who a live credential stands for, as things are now; None if they may not work any more."""
    agent = await tx.agents.get(credential.agent_id)
    if agent is None or agent.disabled:
        return None
    return Principal(agent=agent, scope=await scope_of(tx, agent), credential_id=credential.id, kind=Kind(credential.kind))


def check_same_site(request: web.Request, state: WebState) -> None:
    """A browser's unsafe request must come from our own pages. Raises Refusal 403 ``csrf``."""
    origin = request.headers.get("Origin")
    site = request.headers.get("Sec-Fetch-Site")
    same = origin_of(origin) == state.origin if origin is not None else site in _FETCH_SITES
    if not same or (site is not None and site not in _FETCH_SITES):
        raise Refusal(403, "csrf", "This request did not come from the gateway's own pages.")


def cookie_name(state: WebState) -> str:
    """With https the name itself makes browsers insist on Secure, on this host, on path /."""
    return f"__Host-{_COOKIE}" if state.secure else _COOKIE


def cookie_of(request: web.Request, state: WebState) -> str:
    """The session's secret in the request; empty if there is none."""
    return request.cookies.get(cookie_name(state), "")


def session_cookie(state: WebState, secret: str) -> str:
    """The Set-Cookie header that begins a session, or with an empty secret ends it."""
    attributes = "; Path=/; HttpOnly; SameSite=Lax" + ("; Secure" if state.secure else "")
    if not secret:
        attributes += "; Max-Age=0"
    return f"{cookie_name(state)}={secret}{attributes}"


def client_address(request: web.Request, trusted: tuple[str, ...]) -> str:
    """Whose request it is: the peer, or behind trusted proxies the last address that they did not add themselves."""
    peer = request.remote or ""
    if not _is_trusted(peer, trusted):
        return peer
    for hop in reversed([part.strip() for part in request.headers.get("X-Forwarded-For", "").split(",")]):
        if not hop:
            continue
        if not _is_trusted(hop, trusted):
            return hop if _is_address(hop) else peer
    return peer


def _is_trusted(address: str, trusted: tuple[str, ...]) -> bool:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(parsed in ipaddress.ip_network(network, strict=False) for network in trusted)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _bearer(request: web.Request) -> str:
    header = request.headers.get("Authorization", "")
    scheme, _, value = header.partition(" ")
    if header and scheme.lower() != "bearer":
        raise unauthenticated()
    return value.strip()
