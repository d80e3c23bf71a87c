"""From an HTTP request to a handler and back: every check that all operations share, in one order."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

from aiohttp import web
from multidict import MultiMapping

from gateway.web import idempotency
from gateway.web.access import Principal, authenticate, check_same_site, refuse_token_in_url
from gateway.web.errors import Refusal, not_found
from gateway.web.route import Answer, Call, Nothing, Replay, Route, encode
from gateway.web.state import STATE
from gateway.web.strict_json import BadJson, clean, convert, decode

#: A body must have arrived within this time.
BODY_SECONDS: Final = 30.0
_ID_CHARS: Final = 128


def bind(route: Route) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """The aiohttp handler for a route."""

    async def handle(request: web.Request) -> web.StreamResponse:
        refuse_token_in_url(request)
        refuse_encoded(request)
        state = request.app[STATE]
        who = await _allowed(route, request)
        query = read_query(request.query, route.query)
        _check_path(request)
        data = b"" if route.raw or route.body is None else await read_json(request)
        body = decode(data, route.body) if route.body is not None and not route.raw else Nothing()
        key = idempotency.key_of(request) if request.method == "POST" else ""
        principal = who.agent.id if who else ""
        now = state.services.clock()
        call: Call[Any, Any] = Call(
            state=state, request=request, body=body, query=query, who=who, command_id=idempotency.command_id(principal, key, now)
        )
        if not key or not principal or route.replay is Replay.NEVER:
            return _response(route, await route.handler(call))
        store, mark = state.services.store, idempotency.fingerprint(request, data)
        if route.replay is Replay.RERUN:
            await idempotency.same(store, principal, key, mark, now)
            return _response(route, await route.handler(call))

        async def work() -> web.Response:
            response = _response(route, await route.handler(call))
            if not isinstance(response, web.Response):
                raise TypeError("a stream cannot be kept")
            return response

        return await idempotency.once(store, principal, key, mark, now, state.started, work)

    return handle


async def read_json(request: web.Request) -> bytes:
    """The body of a JSON request, within time and size. An empty one counts as ``{}``. Raises Refusal 415, 413, 408."""
    if request.can_read_body and request.content_type != "application/json":
        raise Refusal(415, "unsupported_media_type", "Send JSON, with Content-Type: application/json.", field="Content-Type")
    return await read_body(request) or b"{}"


async def read_body(request: web.Request) -> bytes:
    """The body, within time and the application's size limit. Raises HTTPRequestEntityTooLarge, TimeoutError."""
    return await request.app[STATE].bodies.read(request, BODY_SECONDS)


def refuse_encoded(request: web.Request) -> None:
    """A compressed body could unfold without limit, and a signature over it would be over something else."""
    # Given twice, the parser goes by the last one.
    if any(encoding.lower() != "identity" for encoding in request.headers.getall("Content-Encoding", ())):
        raise Refusal(415, "content_encoding", "Send the body as it is, without Content-Encoding.", field="Content-Encoding")


def read_query(query: MultiMapping[str], type_: type[Any]) -> Any:
    """The query as ``type_``. Raises Refusal 400 ``bad_query``."""
    doubled = sorted({name for name in query if len(query.getall(name)) > 1})
    if doubled:
        raise Refusal(400, "bad_query", f"{doubled[0][:64]}: given more than once", field=doubled[0][:64])
    try:
        return convert({name: clean(value, f"$.{name[:64]}") for name, value in query.items()}, type_, strict=False)
    except BadJson as error:
        field = error.path.removeprefix("$").removeprefix(".")
        raise Refusal(400, "bad_query", f"{field or 'query'}: {error.why}", field=field) from None


async def _allowed(route: Route, request: web.Request) -> Principal | None:
    state = request.app[STATE]
    if route.roles is None:
        # Logging somebody in from a foreign page would be an attack too.
        if request.method != "GET" and ("Origin" in request.headers or "Sec-Fetch-Site" in request.headers):
            check_same_site(request, state)
        return None
    principal = await authenticate(request, state)
    if principal.agent.role not in route.roles:
        raise Refusal(403, "forbidden", f"This needs the role {' or '.join(sorted(route.roles))}; yours is {principal.agent.role}.")
    return principal


def _check_path(request: web.Request) -> None:
    """An id that cannot be one is an id of nothing."""
    for value in request.match_info.values():
        if not value.isascii() or not value.isprintable() or len(value) > _ID_CHARS:
            raise not_found()


def _response(route: Route, result: Any) -> web.StreamResponse:
    if isinstance(result, web.StreamResponse):
        return result
    headers = result.headers if isinstance(result, Answer) else {}
    body = result.body if isinstance(result, Answer) else result
    if body is None:
        return web.Response(status=204, headers=headers)
    return web.Response(status=route.status, body=encode(body), content_type="application/json", headers=headers)
