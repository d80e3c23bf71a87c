"""Where providers deliver. The answer says "taken" only when it is durable, and says nothing else: empty bodies, one 404 for all."""

import time
from typing import Final

import structlog
from aiohttp import web

from connectors.contract import Request
from gateway.intake import Outcome, acknowledge, take_in
from gateway.services import Channel, Services
from gateway.web.dispatch import read_body, refuse_encoded
from gateway.web.errors import Refusal
from gateway.web.state import STATE
from storage.errors import StorageError

_RETRY: Final = {"Retry-After": "5"}


async def webhook(request: web.Request) -> web.Response:
    """``POST|GET /webhooks/{channel}``."""
    state = request.app[STATE]
    channel = state.services.channels.get(request.match_info["channel"])
    # Visitors have their own door, with checks that a webhook does not make.
    if channel is None or not channel.enabled or channel.id in state.chats:
        return web.Response(status=404)
    if request.method == "GET":
        return _handshake(state.services, channel, provider_request(state.services, request, b""))
    try:
        refuse_encoded(request)
        body = await read_body(request)
    except Refusal as refusal:
        return web.Response(status=refusal.status)
    except web.HTTPRequestEntityTooLarge:
        return web.Response(status=413)
    except TimeoutError:
        return web.Response(status=408)
    try:
        receipt = await take_in(state.services, channel, provider_request(state.services, request, body))
    except StorageError as error:
        structlog.get_logger("web").warning("a webhook could not be stored", channel=channel.id, error=type(error).__name__)
        return web.Response(status=503, headers=_RETRY)
    if receipt.outcome is Outcome.REFUSED:
        return web.Response(status=403)
    state.background.start(acknowledge(receipt))
    answer = channel.connector.answer
    return web.Response(status=answer.status, body=answer.body, content_type=answer.content_type)


def _handshake(services: Services, channel: Channel, question: Request) -> web.Response:
    """A provider asks whether the address is ours before it trusts it. Only the channel's log keeps it."""
    began, why = time.perf_counter(), ""
    try:
        body = channel.connector.handshake(question, channel.settings)
    except Exception as error:  # noqa: BLE001 - a question that crashes the check is a wrong question
        structlog.get_logger("web").error("a handshake crashed", channel=channel.id, error=type(error).__name__)
        body, why = None, f"the check failed: {type(error).__name__}"
    services.journal.handshake(channel.id, question, ours=body is not None, seconds=time.perf_counter() - began, error=why)
    if body is None:
        return web.Response(status=403)
    return web.Response(
        status=200, body=body, content_type="text/plain", headers={"Content-Security-Policy": "default-src 'none'; sandbox"}
    )


def provider_request(services: Services, request: web.Request, body: bytes, extra: dict[str, str] | None = None) -> Request:
    """The same request in the connectors' words, with the address that the provider was given and not the one it claims."""
    headers: dict[str, str] = {}
    for raw_name, value in request.headers.items():
        name = raw_name.lower()
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return Request(
        method=request.method,
        url=services.config.public_url + request.path_qs,
        headers={**headers, **(extra or {})},
        body=body,
        query={name: request.query[name] for name in request.query},
        received_at=services.clock(),
    )
