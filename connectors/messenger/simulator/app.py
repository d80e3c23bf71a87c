"""The simulator: the Graph API for one page or account, the control interface, and files."""

import asyncio
import contextlib
import json
import re
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import aiohttp
from aiohttp import web
from msgspec import Struct

from connectors.messenger.simulator.account import Account
from connectors.messenger.simulator.graph import GraphRefusal, answer
from connectors.messenger.simulator.people import People
from connectors.messenger.simulator.sending import Sending
from connectors.simulator import Control, Faults, Line, Person, Phone, Webhooks
from connectors.simulator.control import read_json, refused
from connectors.simulator.faults import Fault, cut
from connectors.simulator.webhooks import RETRIES

_BODY_BYTES: Final = 64 * 1024 * 1024
_FEATURES: Final = ("files", "edit", "delete", "react", "read", "press", "location", "comment")
#: Where the simulator's own part of an address begins.
_PATH: Final = re.compile(r"/(?:(?P<version>v[0-9.]+)|control|cdn)/")
_HTML: Final = "<html><body>Sorry, something went wrong.</body></html>"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class _Said(Struct, forbid_unknown_fields=True):
    text: str


class _Webhook(Struct, forbid_unknown_fields=True):
    url: str


class _Clock(Struct, forbid_unknown_fields=True):
    ahead: float


class Simulator:
    """One page or account. All times come from ``phone.now``."""

    def __init__(self, account: Account, *, now: Callable[[], float], first_person: int, retries: Sequence[float]) -> None:
        self.account = account
        self.faults = Faults()
        self.phone = Phone(now=now, features=_FEATURES)
        self.webhooks = Webhooks(self.faults, retries=retries)
        self.people = People(account, self.phone, self.webhooks, first_person)
        self.sending = Sending(account, self.phone, self.people)
        #: Cleared: calls are carried out, and their answers wait.
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        #: What was called, newest last: method and path without the version.
        self.calls: deque[str] = deque(maxlen=1000)

    def routes(self) -> list[web.RouteDef]:
        """Graph below its version, files, and the control interface."""
        node = r"/v{version:[0-9.]+}/{node:[^/]+}"
        return [
            web.post(f"{node}/messages", self._graph("messages", self.sending.messages, sending=True)),
            web.post(f"{node}/message_attachments", self._graph("message_attachments", self.sending.attachments)),
            web.post(f"{node}/comments", self._graph("comments", self.sending.comments, sending=True)),
            web.post(f"{node}/replies", self._graph("comments", self.sending.comments, sending=True)),
            web.get(f"{node}/conversations", self._graph("conversations", self._conversations)),
            web.get(f"{node}/subscribed_apps", self._graph("subscribed_apps", self._subscribed)),
            web.post(f"{node}/subscribed_apps", self._graph("subscribed_apps", self._subscribe)),
            web.get(f"{node}/subscriptions", self._as_app(self._subscriptions)),
            web.post(f"{node}/subscriptions", self._as_app(self._call_back)),
            web.get(node, self._graph("node", self._node)),
            web.get("/cdn/{file}/{name:.*}", self._file),
            web.post("/control/people/{id}/inbox", self._inbox),
            web.post("/control/webhook", self._webhook),
            web.post("/control/clock", self._clock),
            *Control(self.phone, self.people, self.faults).routes(),
        ]

    # --- every call -----------------------------------------------------------------------------------------------------------

    def _graph(self, name: str, handler: Handler, *, sending: bool = False) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            if request.headers.get("Authorization") != f"Bearer {self.account.access_token}":
                return GraphRefusal(190).answer()
            fault = self.faults.take(name, sending=sending)
            try:
                if fault is not None and (early := await self._before(fault)) is not None:
                    return early
                done = await handler(request)
            except GraphRefusal as refusal:
                return refusal.answer()
            await self.may_answer.wait()
            if fault is not None and fault.kind == "reset_after":
                return cut(request)
            if fault is not None and fault.kind == "garbage":
                return web.Response(text=_HTML, content_type="text/html")
            return done

        return handle

    async def _before(self, fault: Fault) -> web.Response | None:
        """The answer of a fault that comes instead of the work."""
        match fault.kind:
            case "throttled":
                response = GraphRefusal(613).answer()
                response.headers["Retry-After"] = str(int(fault.seconds))
                return response
            case "error" | "later":
                # Meta has no later failures: what cannot be sent is refused at once.
                return GraphRefusal(fault.code or 100).answer()
            case "500":
                return GraphRefusal(2).answer()
            case "hang":
                await asyncio.sleep(fault.seconds)
                return web.Response(status=504, text=_HTML, content_type="text/html")
            case _:
                return None

    def _as_app(self, handler: Handler) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            if request.headers.get("Authorization") != f"Bearer {self.account.app_id}|{self.account.app_secret}":
                return GraphRefusal(190).answer()
            try:
                return await handler(request)
            except GraphRefusal as refusal:
                return refusal.answer()

        return handle

    @web.middleware
    async def note(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Remembers at which address we are asked, for those of files, and what was asked."""
        if (found := _PATH.search(request.path)) is not None:
            self.people.root = f"{request.scheme}://{request.host}{request.path[: found.start()]}"
            if found["version"]:
                self.calls.append(f"{request.method} {request.path[found.end() - 1 :]}")
        return await handler(request)

    # --- looking ---------------------------------------------------------------------------------------------------------------

    async def _node(self, request: web.Request) -> web.Response:
        person = self.phone.people.get(request.match_info["node"])
        if person is not None:
            return answer(self._profile(person, request.query.get("fields", "").split(",")))
        if request.match_info["node"] not in {self.account.id, self.account.messages_below}:
            raise GraphRefusal(100, "Object does not exist")
        return answer({"id": request.match_info["node"], "name": self.account.name, "username": self.account.name.lower()})

    def _profile(self, person: Person, fields: list[str]) -> dict[str, str]:
        """Of people who have written in private; a comment is no consent."""
        if not any(line.person == person.id and not line.from_shop and not line.post for line in self.phone.lines.values()):
            if self.account.platform == "instagram":
                raise GraphRefusal(230, "User consent is required to access user profile")
            raise GraphRefusal(2018218, "No profile available for this user.")
        first, _, last = person.name.partition(" ")
        if self.account.platform == "instagram":
            known = {"name": person.name, "username": person.name.lower().replace(" ", ".")}
        else:
            known = {"first_name": first, "last_name": last, "name": person.name}
        return {"id": person.id, **{name: value for name, value in known.items() if name in fields}}

    async def _conversations(self, request: web.Request) -> web.Response:
        """All on one page; each with its newest twenty messages."""
        wanted = request.query.get("user_id")
        found = []
        for person in self.phone.people.values():
            lines = [one for one in self.phone.lines.values() if one.person == person.id and not one.post and not one.deleted]
            if lines and wanted in (None, person.id):
                newest = sorted(lines, key=lambda line: line.at)[-20:][::-1]
                messages = {"data": [self._kept(line, person) for line in newest if line.status != "waiting"]}
                found.append({"id": f"t_{person.id}", "updated_time": _iso(newest[0].at), "messages": messages})
        return answer({"data": sorted(found, key=lambda one: str(one["updated_time"]), reverse=True)})

    def _kept(self, line: Line, person: Person) -> dict[str, Any]:
        shop, shopper = {"id": self.account.id, "name": self.account.name}, {"id": person.id, "name": person.name}
        sender, reader = (shop, shopper) if line.from_shop else (shopper, shop)
        files = []
        for one in line.files:
            place, url = self.phone.files[one].mime.partition("/")[0], self.people.file_url(one)
            files.append(
                {"mime_type": self.phone.files[one].mime}
                | ({f"{place}_data": {"url": url}} if place in {"image", "video"} else {"file_url": url})
            )
        message = {"id": line.id, "created_time": _iso(line.at), "from": sender, "to": {"data": [reader]}, "message": line.text}
        return message | ({"attachments": {"data": files}} if files else {})

    # --- set-up ----------------------------------------------------------------------------------------------------------------

    async def _subscribed(self, _: web.Request) -> web.Response:
        apps = [{"id": self.account.app_id, "name": "App", "subscribed_fields": list(self.account.fields)}]
        return answer({"data": apps if self.account.fields else []})

    async def _subscribe(self, request: web.Request) -> web.Response:
        fields = (await _body(request)).get("subscribed_fields", "")
        self.account.fields = tuple(fields.split(","))
        return answer({"success": True})

    async def _subscriptions(self, _: web.Request) -> web.Response:
        entry = {"object": self.account.object, "callback_url": self.account.webhook_url, "active": True}
        return answer({"data": [entry] if self.account.webhook_url else []})

    async def _call_back(self, request: web.Request) -> web.Response:
        """Asks the address whether it is the one that knows the verify token, before it is believed."""
        wanted = await _body(request)
        url, challenge = str(wanted.get("callback_url", "")), "1158201444"
        query = {"hub.mode": "subscribe", "hub.verify_token": str(wanted.get("verify_token", "")), "hub.challenge": challenge}
        try:
            async with aiohttp.ClientSession() as session, session.get(url, params=query) as reply:
                right = reply.status == 200 and await reply.text() == challenge
        except (aiohttp.ClientError, OSError):
            right = False
        if not right:
            raise GraphRefusal(100, "The URL couldn't be validated. Response does not match challenge")
        self.account.webhook_url = url
        return answer({"success": True})

    async def _webhook(self, request: web.Request) -> web.Response:
        """``{url}``: as somebody sets it in the app's dashboard."""
        self.account.webhook_url = (await read_json(request, _Webhook)).url
        return web.json_response({})

    async def _clock(self, request: web.Request) -> web.Response:
        """``{ahead}``: seconds by which it is later now."""
        now, ahead = self.phone.now, (await read_json(request, _Clock)).ahead
        self.phone.now = lambda: now() + ahead
        return web.json_response({})

    async def _inbox(self, request: web.Request) -> web.Response:
        """``{text}`` -> ``{id}``: somebody of the shop answers in Meta's own inbox."""
        person = self.phone.people.get(request.match_info["id"])
        if person is None:
            raise refused(404, "there is no such person")
        said = await read_json(request, _Said)
        line = self.sending.put(person, text=said.text)
        self.people.echo(line, "", app=False)
        return web.json_response({"id": line.id}, status=201)

    async def _file(self, request: web.Request) -> web.Response:
        file = self.phone.files.get(request.match_info["file"])
        if file is None:
            return web.Response(status=404)
        return web.Response(body=file.data, content_type=file.mime)


SIMULATOR: Final = web.AppKey("simulator", Simulator)


def create_simulator_app(
    account: Account,
    *,
    now: Callable[[], float] = time.time,
    first_person: int = 7_200_000_000_000_000,
    retries: Sequence[float] = RETRIES,
) -> web.Application:
    """The simulator as an application of its own, or to be mounted; the :class:`Simulator` is at ``app[SIMULATOR]``."""
    simulator = Simulator(account, now=now, first_person=first_person, retries=retries)

    async def running(_: web.Application) -> AsyncIterator[None]:
        async with contextlib.AsyncExitStack() as stack:
            await stack.enter_async_context(simulator.webhooks.running())
            yield

    app = web.Application(client_max_size=_BODY_BYTES, middlewares=[simulator.note])
    app[SIMULATOR] = simulator
    app.cleanup_ctx.append(running)
    app.add_routes(simulator.routes())
    return app


async def _body(request: web.Request) -> dict[str, Any]:
    try:
        found = json.loads(await request.read())
    except ValueError:
        raise GraphRefusal(100, "not JSON") from None
    return found if isinstance(found, dict) else {}


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%S+0000")
