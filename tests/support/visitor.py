"""Visitors by plain HTTP: what the widget does where WebSockets are blocked, and for files everywhere."""

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import msgspec

from tests.support.cast import Answer, Cast, Shopper
from tests.support.gateway import IDENTITY_SECRET
from tests.support.pictures import PNG
from tests.support.waiting import DEADLINE


def jwt(secret: str = IDENTITY_SECRET, alg: str = "HS256", **claims: object) -> str:
    """What the shop's server signs for its user 42."""
    whole = {"sub": "42", "aud": "web", "exp": int(time.time()) + 600, **claims}
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in ({"alg": alg, "typ": "JWT"}, whole)]
    body = b".".join(parts)
    mac = base64.urlsafe_b64encode(hmac.digest(secret.encode(), body, hashlib.sha256)).rstrip(b"=")
    return (body + b"." + mac).decode()


async def call(shopper: Shopper, method: str, rest: str, body: Any = None, *, token: str | None = None, **headers: str) -> Answer:
    """One request with the visitor's token (or another); ``body`` goes as JSON, bytes as they are."""
    if not shopper.token:
        assert (await shopper.begin()).status == 201
    data = body if isinstance(body, bytes) else msgspec.json.encode(body) if body is not None else None
    sent = {"Origin": shopper.origin, **{name.replace("_", "-"): value for name, value in headers.items()}}
    sent["Authorization"] = f"Bearer {shopper.token if token is None else token}"
    if data is not None:
        sent.setdefault("Content-Type", "application/octet-stream" if isinstance(body, bytes) else "application/json")
    return Answer(*await shopper.gateway.request(method, f"/chat/v1/{shopper.channel}/{rest}", data=data, headers=sent))


async def upload(shopper: Shopper, data: bytes = PNG, name: str = "cup.png") -> Answer:
    """Send a file."""
    return await call(shopper, "POST", "files", data, X_File_Name=name)


@dataclass(slots=True)
class Events:
    """A stream's frames, kept as they come."""

    content: aiohttp.StreamReader
    seen: list[dict[str, Any]] = field(default_factory=list)

    async def until(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The next frame that is wanted."""
        async with asyncio.timeout(DEADLINE):
            async for line in self.content:
                if line.startswith(b"data: "):
                    frame: dict[str, Any] = msgspec.json.decode(line.removeprefix(b"data: "))
                    self.seen.append(frame)
                    if wanted(frame):
                        return frame
        raise AssertionError(f"the stream ended after {self.seen[-3:]}")

    async def of(self, type_: str) -> dict[str, Any]:
        return await self.until(lambda frame: frame["type"] == type_)


@contextlib.asynccontextmanager
async def events(shopper: Shopper, after: int = 0) -> AsyncIterator[Events]:
    """An open stream whose history has come."""
    if not shopper.token:
        assert (await shopper.begin()).status == 201
    url = f"{shopper.gateway.url}/chat/v1/{shopper.channel}/events?after={after}"
    headers = {"Origin": shopper.origin, "Authorization": f"Bearer {shopper.token}"}
    async with shopper.gateway.http.get(url, headers=headers) as response:
        assert response.status == 200, await response.text()
        assert response.headers["Access-Control-Allow-Origin"] == shopper.origin
        stream = Events(response.content)
        await stream.of("history")
        yield stream


async def lines(cast: Cast, shopper: Shopper, wanted: int) -> list[dict[str, Any]]:
    """What the supervisor reads in the shopper's conversation, once there are ``wanted`` lines."""
    async with asyncio.timeout(DEADLINE):
        while True:
            for item in (await cast.sue.get("/conversations")).json["items"]:
                if item["identity"]["value"] == shopper.visitor_id:
                    found = (await cast.sue.get(f"/conversations/{item['id']}/messages")).json["items"]
                    if len(found) >= wanted:
                        return list(found)
            await asyncio.sleep(0.01)
