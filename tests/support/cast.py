"""The people of the tests: Amy runs the place, Sue supervises, Ada works in General, Ben elsewhere; Cleo is a customer, Dan a stranger."""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import aiohttp
import msgspec

from gateway.credentials import issue_token, open_session
from gateway.work.actor import GATEWAY
from routing.command import PutAgent, PutQueue, SetMember, SetPresence
from storage.ids import random_id
from storage.record import Agent, Presence, Queue, Role
from tests.support.gateway import SHOP, RunningGateway
from tests.support.waiting import DEADLINE


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    raw: bytes

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.raw)

    @property
    def code(self) -> str:
        """The problem's code; empty for a success."""
        return str(self.json.get("code", "")) if self.status >= 400 else ""


@dataclass(frozen=True, slots=True)
class Colleague:
    """An agent with a session, at a browser on the gateway's own pages."""

    gateway: RunningGateway
    agent: Agent
    cookie: str
    token: str

    @property
    def id(self) -> str:
        return self.agent.id

    @property
    def cookie_header(self) -> dict[str, str]:
        return {"Cookie": f"sportello_session={self.cookie}", "Origin": self.gateway.url}

    async def call(self, method: str, path: str, body: Any = None, *, key: str = "", headers: Mapping[str, str] | None = None) -> Answer:
        """One call of the API; ``body`` is sent as JSON, bytes as they are."""
        sent = {**self.cookie_header, **(headers or {})}
        if key:
            sent["Idempotency-Key"] = key
        data = body if isinstance(body, bytes) else msgspec.json.encode(body) if body is not None else None
        if data is not None:
            sent.setdefault("Content-Type", "application/json")
        return Answer(*await self.gateway.request(method, f"/api/v1{path}", data=data, headers=sent))

    async def get(self, path: str) -> Answer:
        return await self.call("GET", path)

    async def post(self, path: str, body: Any = None, *, key: str = "") -> Answer:
        return await self.call("POST", path, body, key=key)

    @contextlib.asynccontextmanager
    async def feed(self, after: int | None = None) -> AsyncIterator["Frames"]:
        """An open feed whose hello has come."""
        query = "" if after is None else f"?after={after}"
        async with self.gateway.http.ws_connect(f"{self.gateway.url}/api/v1/feed{query}", headers=self.cookie_header) as socket:
            frames = Frames(socket)
            await frames.until(lambda frame: frame["type"] == "hello")
            yield frames


@dataclass(slots=True)
class Frames:
    """A socket's frames, kept as they come."""

    socket: aiohttp.ClientWebSocketResponse
    seen: list[dict[str, Any]] = field(default_factory=list)

    async def next(self) -> dict[str, Any]:
        """The next frame but pings. Raises AssertionError when the socket closes instead."""
        while True:
            message = await self.socket.receive(DEADLINE)
            assert message.type is aiohttp.WSMsgType.TEXT, f"{message.type!r} {message.data!r} after {self.seen[-3:]}"
            frame: dict[str, Any] = msgspec.json.decode(message.data)
            if frame["type"] != "ping":
                self.seen.append(frame)
                return frame

    async def until(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The next frame that is wanted."""
        async with asyncio.timeout(DEADLINE):
            while True:
                frame = await self.next()
                if wanted(frame):
                    return frame

    async def of(self, type_: str) -> dict[str, Any]:
        return await self.until(lambda frame: frame["type"] == type_)

    async def closed(self) -> int:
        """Wait for the end; the close code."""
        async with asyncio.timeout(DEADLINE):
            while True:
                message = await self.socket.receive()
                if message.type is aiohttp.WSMsgType.TEXT:
                    self.seen.append(msgspec.json.decode(message.data))
                    continue
                return int(self.socket.close_code or 0)

    async def send(self, frame: Mapping[str, Any]) -> None:
        await self.socket.send_str(msgspec.json.encode(frame).decode())


@dataclass(slots=True)
class Shopper:
    """A visitor of the shop's page."""

    gateway: RunningGateway
    channel: str = "web"
    origin: str = SHOP
    token: str = ""
    visitor_id: str = ""

    async def begin(self, **body: Any) -> Answer:
        """Get a token."""
        headers = {"Origin": self.origin, "Content-Type": "application/json"}
        path = f"/chat/v1/{self.channel}/sessions"
        answer = Answer(*await self.gateway.request("POST", path, data=msgspec.json.encode(body), headers=headers))
        if answer.status == 201:
            self.token, self.visitor_id = answer.json["token"], answer.json["visitor_id"]
        return answer

    @contextlib.asynccontextmanager
    async def open(self, after: int = 0) -> AsyncIterator[Frames]:
        """An open chat window, its history loaded."""
        if not self.token:
            assert (await self.begin()).status == 201
        url = f"{self.gateway.url}/chat/v1/{self.channel}/socket"
        async with self.gateway.http.ws_connect(url, headers={"Origin": self.origin}) as socket:
            frames = Frames(socket)
            await frames.send({"type": "hello", "token": self.token, "after": after})
            await frames.of("history")
            yield frames

    async def say(self, text: str) -> int:
        """Write one message and wait for the acknowledgement; its place in the stream."""
        async with self.open() as frames:
            return await say(frames, text)


async def say(frames: Frames, text: str, identifier: str = "") -> int:
    """Write in an open window; the acknowledged place."""
    identifier = identifier or str(uuid.uuid4())
    await frames.send({"type": "message", "id": identifier, "text": text})
    ack = await frames.until(lambda frame: frame["type"] == "ack" and frame["id"] == identifier)
    return int(ack["pos"])


@dataclass(frozen=True, slots=True)
class Cast:
    """Everybody, in a running gateway with two queues."""

    gateway: RunningGateway
    general: Queue
    returns: Queue
    amy: Colleague
    sue: Colleague
    ada: Colleague
    ben: Colleague
    cleo: Shopper
    dan: Shopper

    async def conversation(self, text: str = "Hello", shopper: Shopper | None = None) -> dict[str, Any]:
        """Somebody (Cleo) writes; the conversation as the supervisor sees it once it is routed."""
        shopper = shopper or self.cleo
        await shopper.say(text)
        async with asyncio.timeout(DEADLINE):
            while True:
                found = (await self.sue.get("/conversations")).json["items"]
                for item in found:
                    if item["identity"]["value"] == shopper.visitor_id and item["preview"] == text:
                        return dict(item)
                await asyncio.sleep(0.01)


async def assemble(gateway: RunningGateway) -> Cast:
    """Make everybody."""
    services = gateway.services
    general = await services.store.view(lambda tx: tx.queues.default())
    returns = await services.router.handle(PutQueue(id=_id(gateway), actor=GATEWAY, name="Returns"))
    assert isinstance(returns, Queue)
    people = {
        "amy": await _colleague(gateway, "Amy", Role.ADMIN, None),
        "sue": await _colleague(gateway, "Sue", Role.SUPERVISOR, None),
        "ada": await _colleague(gateway, "Ada", Role.AGENT, general),
        "ben": await _colleague(gateway, "Ben", Role.AGENT, returns),
    }
    return Cast(gateway=gateway, general=general, returns=returns, cleo=Shopper(gateway), dan=Shopper(gateway), **people)


async def add_colleague(gateway: RunningGateway, name: str, role: Role, queue: Queue | None = None) -> Colleague:
    """One more."""
    return await _colleague(gateway, name, role, queue)


async def come_online(person: Colleague) -> None:
    """From now on the router gives them work."""
    command = SetPresence(id=_id(person.gateway), actor=GATEWAY, agent_id=person.id, presence=Presence.ONLINE)
    await person.gateway.services.router.handle(command)


async def _colleague(gateway: RunningGateway, name: str, role: Role, queue: Queue | None) -> Colleague:
    services = gateway.services
    command = PutAgent(id=_id(gateway), actor=GATEWAY, name=name, email=f"{name.lower()}@example.org", role=role)
    agent = await services.router.handle(command)
    assert isinstance(agent, Agent)
    if queue is not None:
        await services.router.handle(SetMember(id=_id(gateway), actor=GATEWAY, queue_id=queue.id, agent_id=agent.id, member=True))
    cookie = await services.store.transact(lambda tx: open_session(tx, agent, services.clock(), "test"))
    _, token = await services.store.transact(lambda tx: issue_token(tx, agent.id, services.clock(), timedelta(days=1), "test"))
    return Colleague(gateway=gateway, agent=agent, cookie=cookie, token=token)


def _id(gateway: RunningGateway) -> str:
    return random_id("cmd", gateway.services.clock())
