"""Twilio's REST interface, as far as it is used: messages, media, numbers, services, WhatsApp senders, templates, typing."""

import asyncio
import base64
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import parse_qs, urlencode

import msgspec
from aiohttp import web

from connectors.signature import same
from connectors.simulator import Fault, Faults
from connectors.simulator.faults import cut
from connectors.twilio.simulator.place import WHATSAPP, Hook, Place, Sending
from connectors.twilio.simulator.sending import ApiError, Carrier

_PAGE: Final = 50
_MOST: Final = 1000
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Rest:
    """Handlers over one account. ``store``: where files lie that need no credentials; empty: beside the interface, with them."""

    def __init__(self, place: Place, carrier: Carrier, faults: Faults, *, store: str, per_second: float) -> None:
        self._place = place
        self._carrier = carrier
        self._faults = faults
        self._store = store
        self._gap = 1 / per_second if per_second else 0.0
        self._free_at = 0.0

    def routes(self) -> list[web.RouteDef]:
        """All of it."""
        account = "/2010-04-01/Accounts/{account}"
        return [
            web.post(f"{account}/Messages.json", self._guarded("messages", self._create)),
            web.get(f"{account}/Messages.json", self._guarded("list", self._list)),
            web.get(f"{account}/Messages/{{sid}}.json", self._guarded("message", self._fetch)),
            web.get(f"{account}/Messages/{{sid}}/Media.json", self._guarded("media_list", self._media_list)),
            web.get(f"{account}/Messages/{{sid}}/Media/{{media}}", self._guarded("media", self._media)),
            web.delete(f"{account}/Messages/{{sid}}/Media/{{media}}.json", self._guarded("media_delete", self._delete_media)),
            web.get(f"{account}.json", self._guarded("account", self._account)),
            web.get(f"{account}/IncomingPhoneNumbers.json", self._guarded("numbers", self._numbers)),
            web.post(f"{account}/IncomingPhoneNumbers/{{sid}}.json", self._guarded("number", self._set_number)),
            web.get("/v1/Services/{sid}", self._guarded("service", self._service)),
            web.post("/v1/Services/{sid}", self._guarded("service", self._service)),
            web.get("/v2/Channels/Senders", self._guarded("senders", self._senders)),
            web.post("/v2/Channels/Senders/{sid}", self._guarded("sender", self._set_sender)),
            web.get("/v2/ContentAndApprovals", self._guarded("content", self._contents)),
            web.post("/v2/Indicators/Typing.json", self._guarded("typing", self._typing)),
            web.get("/store/{media}", self._stored),
        ]

    # --- every call -----------------------------------------------------------------------------------------------------

    def _guarded(self, what: str, handler: _Handler) -> _Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            self._place.base = self._place.base or f"{request.scheme}://{request.host}"
            fault = self._faults.take(what, sending=what == "messages")
            try:
                self._authorise(request)
                self._pace()
                await self._before(fault, request)
                answer = await handler(request) if what != "messages" else await self._create(request, _later(fault))
            except ApiError as error:
                return _refusal(error, fault)
            if fault is not None and fault.kind == "reset_after":
                return cut(request)
            if fault is not None and fault.kind == "garbage":
                return web.Response(text="<html><body>Welcome to the hotel's network</body></html>", content_type="text/html")
            return answer

        return handle

    def _authorise(self, request: web.Request) -> None:
        scheme, _, rest = request.headers.get("Authorization", "").partition(" ")
        given = base64.b64decode(rest).decode("utf-8", "replace") if scheme == "Basic" else ""
        user, _, password = given.partition(":")
        if user != self._place.account_sid or not same(self._place.auth_token, password):
            raise ApiError(20003, "Authenticate", 401)
        if request.match_info.get("account", user) != user:
            raise ApiError(20404, f"The requested resource {request.path} was not found", 404)

    def _pace(self) -> None:
        now = asyncio.get_running_loop().time()
        if self._gap and now < self._free_at:
            raise ApiError(20429, "Too Many Requests", 429)
        self._free_at = now + self._gap

    async def _before(self, fault: Fault | None, request: web.Request) -> None:
        match fault.kind if fault is not None else "":
            case "throttled":
                raise ApiError(20429, "Too Many Requests", 429)
            case "error":
                assert fault is not None
                raise ApiError(fault.code, f"error {fault.code}", 404 if fault.code in (404, 20404) else 400)
            case "500":
                raise ApiError(20500, "An internal server error has occurred", 500)
            case "hang":
                assert fault is not None
                await asyncio.sleep(fault.seconds)
                cut(request)
                raise ApiError(20500, "nobody reads this", 500)

    # --- messages -------------------------------------------------------------------------------------------------------

    async def _create(self, request: web.Request, later: int = 0) -> web.StreamResponse:
        form = parse_qs((await request.read()).decode(), keep_blank_values=True)
        message = self._carrier.take(form, later)
        view = self._place.message_view(message)
        self._carrier.carry_out(message)
        return web.json_response(view, status=201)

    async def _list(self, request: web.Request) -> web.StreamResponse:
        query = request.query
        since = _date(query.get("DateSent>", ""))
        to, sender = query.get("To"), query.get("From")
        wanted = [message for message in reversed(self._place.messages.values()) if _fits(message, to, sender, since)]
        size, page = min(int(query.get("PageSize", _PAGE)), _MOST), int(query.get("Page", "0"))
        items = wanted[page * size : (page + 1) * size]
        following = None
        if len(wanted) > (page + 1) * size:
            rest = {**query, "Page": str(page + 1), "PageToken": f"PA{items[-1].sid}"}
            following = f"{request.path}?{urlencode(rest)}"
        return web.json_response(
            {
                "messages": [self._place.message_view(message) for message in items],
                "page": page,
                "page_size": size,
                "next_page_uri": following,
                "uri": request.path_qs,
            }
        )

    async def _fetch(self, request: web.Request) -> web.StreamResponse:
        return web.json_response(self._place.message_view(self._message(request)))

    def _message(self, request: web.Request) -> Sending:
        message = self._place.messages.get(request.match_info["sid"])
        if message is None:
            raise ApiError(20404, f"The requested resource {request.path} was not found", 404)
        return message

    # --- files ----------------------------------------------------------------------------------------------------------

    async def _media_list(self, request: web.Request) -> web.StreamResponse:
        message = self._message(request)
        files = self._place.phone.files
        items = [{"sid": sid, "parent_sid": message.sid, "content_type": files[file].mime} for sid, file in message.media.items()]
        return web.json_response({"media_list": items, "next_page_uri": None, "uri": request.path_qs})

    async def _media(self, request: web.Request) -> web.StreamResponse:
        message, sid = self._message(request), request.match_info["media"]
        if sid not in message.media:
            raise ApiError(20404, f"The requested resource {request.path} was not found", 404)
        if self._store:
            raise web.HTTPTemporaryRedirect(f"{self._store}/store/{sid}")
        return self._file(message.media[sid])

    async def _stored(self, request: web.Request) -> web.StreamResponse:
        """A store of somebody else's: who shows credentials is refused, as S3 does."""
        if "Authorization" in request.headers:
            return web.Response(status=400, text="Only one auth mechanism allowed")
        for message in self._place.messages.values():
            if request.match_info["media"] in message.media:
                return self._file(message.media[request.match_info["media"]])
        return web.Response(status=404)

    def _file(self, id_: str) -> web.Response:
        file = self._place.phone.files[id_]
        return web.Response(body=file.data, content_type=file.mime.partition(";")[0])

    async def _delete_media(self, request: web.Request) -> web.StreamResponse:
        if self._message(request).media.pop(request.match_info["media"], None) is None:
            raise ApiError(20404, f"The requested resource {request.path} was not found", 404)
        return web.Response(status=204)

    # --- account, senders, templates ------------------------------------------------------------------------------------

    async def _account(self, _: web.Request) -> web.StreamResponse:
        place = self._place
        return web.json_response({"sid": place.account_sid, "friendly_name": "Simulated shop", "status": place.account_status})

    async def _numbers(self, request: web.Request) -> web.StreamResponse:
        hook = self._place.hooks[self._place.number]
        asked = request.query.get("PhoneNumber", self._place.number)
        items = [self._number_view(hook)] if asked == self._place.number else []
        return web.json_response({"incoming_phone_numbers": items, "next_page_uri": None})

    async def _set_number(self, request: web.Request) -> web.StreamResponse:
        hook = self._place.hooks[self._place.number]
        if request.match_info["sid"] != hook.sid:
            raise ApiError(20404, f"The requested resource {request.path} was not found", 404)
        form = await request.post()
        hook.url = str(form.get("SmsUrl", hook.url))
        hook.fallback = str(form.get("SmsFallbackUrl", hook.fallback))
        return web.json_response(self._number_view(hook))

    def _number_view(self, hook: Hook) -> dict[str, Any]:
        able = {"voice": True, "sms": True, "mms": True, "fax": False}
        return {"sid": hook.sid, "phone_number": self._place.number, "sms_url": hook.url, "capabilities": able}

    async def _service(self, request: web.Request) -> web.StreamResponse:
        hook = self._place.service
        if request.match_info["sid"] != hook.sid:
            raise ApiError(20404, f"The requested resource {request.path} was not found", 404)
        if request.method == "POST":
            form = await request.post()
            hook.url = str(form.get("InboundRequestUrl", hook.url))
            hook.fallback = str(form.get("FallbackUrl", hook.fallback))
            hook.status_callback = str(form.get("StatusCallback", hook.status_callback))
            self._place.service_posts = str(form.get("UseInboundWebhookOnNumber", "false")).lower() == "false"
        view = {"sid": hook.sid, "inbound_request_url": hook.url or None, "use_inbound_webhook_on_number": not self._place.service_posts}
        return web.json_response(view)

    async def _senders(self, _: web.Request) -> web.StreamResponse:
        return web.json_response({"senders": [self._sender_view()], "meta": {"key": "senders", "next_page_url": None}})

    async def _set_sender(self, request: web.Request) -> web.StreamResponse:
        hook = self._place.hooks[WHATSAPP + self._place.number]
        if request.match_info["sid"] != hook.sid:
            raise ApiError(20404, f"The requested resource {request.path} was not found", 404)
        webhook = msgspec.json.decode(await request.read()).get("webhook", {})
        hook.url, hook.fallback = webhook.get("callback_url", hook.url), webhook.get("fallback_url", hook.fallback)
        return web.json_response(self._sender_view(), status=202)

    def _sender_view(self) -> dict[str, Any]:
        hook = self._place.hooks[WHATSAPP + self._place.number]
        webhook = {"callback_url": hook.url or None, "callback_method": "POST"}
        return {"sid": hook.sid, "sender_id": WHATSAPP + self._place.number, "status": "ONLINE", "webhook": webhook}

    async def _contents(self, request: web.Request) -> web.StreamResponse:
        sids = list(self._place.templates)
        size, page = min(int(request.query.get("PageSize", _PAGE)), _MOST), int(request.query.get("Page", "0"))
        rest = {**request.query, "Page": str(page + 1), "PageToken": "PA1"}
        more = f"https://content.twilio.com{request.path}?{urlencode(rest)}" if len(sids) > (page + 1) * size else None
        items = [self._place.template_view(sid) for sid in sids[page * size : (page + 1) * size]]
        return web.json_response({"contents": items, "meta": {"key": "contents", "page": page, "next_page_url": more}})

    async def _typing(self, request: web.Request) -> web.StreamResponse:
        form = await request.post()
        line = self._place.phone.lines.get(str(form.get("messageId", "")))
        if form.get("channel") != "whatsapp" or line is None or line.from_shop:
            raise ApiError(20001, "Invalid messageId")
        line.extra |= {"read_by_shop": True, "typing_until": self._place.now() + 25}
        self._place.phone.change_line(line)
        return web.json_response({"success": True})


def _later(fault: Fault | None) -> int:
    return fault.code if fault is not None and fault.kind == "later" else 0


def _refusal(error: ApiError, fault: Fault | None) -> web.Response:
    more = f"https://www.twilio.com/docs/errors/{error.code}"
    body = {"code": error.code, "message": str(error), "more_info": more, "status": error.status}
    headers = {"Retry-After": f"{fault.seconds:g}"} if fault is not None and fault.kind == "throttled" else {}
    return web.json_response(body, status=error.status, headers=headers)


def _fits(message: Sending, to: str | None, sender: str | None, since: datetime | None) -> bool:
    if to and message.to != to:
        return False
    if sender and message.from_ != sender:
        return False
    return since is None or (message.sent is not None and datetime.fromtimestamp(message.sent, UTC) >= since)


def _date(text: str) -> datetime | None:
    if not text:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ApiError(20001, "DateSent is invalid") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
