"""Access tokens for Google and Microsoft 365, by their plain refresh request.

Sources: RFC 6749 part 6; developers.google.com/identity/protocols/oauth2, learn.microsoft.com "v2-oauth2-auth-code-flow", read 2026-11.
"""

import asyncio
from typing import Any, Final

import aiohttp
import msgspec

from connectors.email.settings import OAuth
from connectors.http import exchange, timeout_of

#: Seconds before its end at which a token is replaced.
_EARLY: Final = 120.0
_LIFE: Final = 3000.0


class NoToken(Exception):
    """There is no access token. ``refused``: the credentials are no longer good; else it is worth another try."""

    def __init__(self, words: str, *, refused: bool) -> None:
        super().__init__(words)
        self.refused = refused


class Tokens:
    """The access token of one mailbox, shared by all of its connections."""

    def __init__(self, settings: OAuth, session: aiohttp.ClientSession) -> None:
        self._settings = settings
        self._session = session
        self._lock = asyncio.Lock()
        self._refresh = settings.refresh_token.reveal()
        self._token = ""
        self._until = 0.0

    async def get(self) -> str:
        """A token that is good for two minutes at least. Raises :class:`NoToken`."""
        async with self._lock:
            now = asyncio.get_running_loop().time()
            if not self._token or now >= self._until:
                await self._renew(now)
            return self._token

    def forget(self) -> None:
        """The server refused the token: the next one is asked for anew."""
        self._token = ""

    async def _renew(self, now: float) -> None:
        form = {"grant_type": "refresh_token", "client_id": self._settings.client_id, "refresh_token": self._refresh}
        if self._settings.client_secret:
            form["client_secret"] = self._settings.client_secret.reveal()
        if self._settings.scope:
            form["scope"] = self._settings.scope
        reply = await exchange(self._session, "POST", self._settings.token_url, data=form, timeout=timeout_of(20.0))
        answer = _object(reply.body)
        token = answer.get("access_token")
        if reply.status != 200 or not isinstance(token, str) or not token:
            # ``error`` is a fixed word; the description may name the account, so it is left out.
            word = answer.get("error") if isinstance(answer.get("error"), str) else ""
            refused = reply.status in {400, 401, 403} and word not in {"temporarily_unavailable", "slow_down"}
            raise NoToken(f"no access token: {word or f'status {reply.status}'}"[:100], refused=refused)
        life = answer.get("expires_in")
        self._until = now + max((float(life) if isinstance(life, int | float) else _LIFE) - _EARLY, 1.0)
        self._token = token
        # Microsoft gives a new refresh token each time; the old one goes on for a while, so a restart may begin with it again.
        renewed = answer.get("refresh_token")
        self._refresh = renewed if isinstance(renewed, str) and renewed else self._refresh


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
