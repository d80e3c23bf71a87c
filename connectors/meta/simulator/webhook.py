"""Meta's webhooks: signed over bytes with non-ASCII escaped, one or many at once, posted until they are taken."""

import json
import secrets
from collections.abc import Callable
from typing import Any, Final

import aiohttp

from config import Secret
from connectors.signature import sign
from connectors.simulator.webhooks import Delivery, Webhooks

_HANDSHAKE_SECONDS: Final = 10.0

Json = dict[str, Any]


def escaped(payload: Json) -> bytes:
    """JSON as Meta writes it: ASCII only, and with ``\\/`` for a slash. Who re-serialises it gets another signature."""
    return json.dumps(payload, separators=(",", ":")).replace("/", "\\/").encode("ascii")


class Hook:
    """The app's webhook."""

    def __init__(self, webhooks: Webhooks, *, object_: str, app_secret: str, url: str = "", now: Callable[[], float]) -> None:
        self._webhooks = webhooks
        self._object = object_
        self._secret = Secret(app_secret)
        self._now = now
        #: Where to; empty: nobody listens, and what happens is not told.
        self.url = url
        #: So many entries are put into one webhook; 1: each goes alone.
        self.batch = 1
        self._gathered: list[Json] = []

    def post(self, entry: Json, lane: str) -> None:
        """Sends ``entry`` on its way, behind all others of ``lane``."""
        if not self.url:
            return
        if self.batch > 1:
            self._gathered.append(entry)
            if len(self._gathered) < self.batch:
                return
            entries, self._gathered = self._gathered, []
            lane = ""
        else:
            entries = [entry]
        body = escaped({"object": self._object, "entry": entries})
        headers = {"Content-Type": "application/json", "X-Hub-Signature-256": "sha256=" + sign("sha256", self._secret, body)}
        self._webhooks.post(Delivery(url=self.url, body=body, headers=headers, lane=lane))

    async def ask(self, url: str, verify_token: str) -> bool:
        """Meta's question whether the address knows the token: does it repeat the challenge?"""
        challenge = str(1_000_000_000 + secrets.randbelow(1_000_000_000))
        query = {"hub.mode": "subscribe", "hub.challenge": challenge, "hub.verify_token": verify_token}
        timeout = aiohttp.ClientTimeout(total=_HANDSHAKE_SECONDS)
        try:
            async with aiohttp.ClientSession(timeout=timeout) as session, session.get(url, params=query) as answer:
                return answer.status == 200 and (await answer.text()).strip() == challenge
        except (aiohttp.ClientError, OSError, ValueError):
            return False
