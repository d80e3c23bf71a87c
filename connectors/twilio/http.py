"""Twilio's SDK over the gateway's own HTTP session.

The SDK knows resources, parameters and credentials; it never sees an answer. Its own client ignores its timeout, may repeat a
POST, and turns what it cannot read into exceptions of its own (twilio 9.13): a lost answer must stay a lost answer.
"""

import json
import logging
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

import aiohttp
from twilio.base.values import unset
from twilio.http import AsyncHttpClient
from twilio.rest import Client

from connectors.contract import Reply
from connectors.http import exchange, timeout_of
from connectors.twilio.account import TwilioSettings, base_of, credentials

#: Seconds for one call from beginning to end.
CALL_TIMEOUT: Final = 30.0
#: Bytes of an answer: a page of messages is the largest.
MAX_PAGE: Final = 8 << 20

_HOST: Final = ".twilio.com"


class Answered(Exception):
    """Whatever came back, before the SDK looks at it: the connector's own pure ``read_reply`` does that."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(f"status {reply.status}")
        self.reply = reply


class SessionHttpClient(AsyncHttpClient):  # type: ignore[misc]  # the SDK has no types
    """Performs the SDK's requests: one each, no redirect, no repetition, nothing logged."""

    def __init__(self, session: aiohttp.ClientSession, api_base: str) -> None:
        super().__init__(logging.getLogger(__name__), True, CALL_TIMEOUT)  # noqa: FBT003  the SDK's own shape
        self._session = session
        self._api_base = api_base

    async def request(  # noqa: PLR0913  the SDK's own shape
        self,
        method: str,
        uri: str,
        *,
        params: Mapping[str, Any] | None = None,
        data: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        auth: tuple[str, str] | None = None,
        timeout: float | None = None,  # noqa: ASYNC109, ARG002
        allow_redirects: bool = False,  # noqa: ARG002
    ) -> Any:
        """Always raises :class:`Answered`."""
        sent = dict(headers or {})
        if auth is not None:
            sent["Authorization"] = aiohttp.encode_basic_auth(*auth)
        body: bytes | None = None
        if data is not None and method.upper() != "GET":
            as_json = sent.get("Content-Type") == "application/json"
            body = (json.dumps(data) if as_json else urlencode(data, doseq=True)).encode()
        url = self.place(uri)
        if params:
            url += ("&" if "?" in url else "?") + urlencode(params, doseq=True)
        reply = await exchange(
            self._session,
            method,
            url,
            limit=MAX_PAGE,
            headers=sent,
            timeout=timeout_of(CALL_TIMEOUT),
            **({"data": body} if body is not None else {}),
        )
        raise Answered(reply)

    def place(self, uri: str) -> str:
        """Where we look for an address of Twilio's."""
        parts = urlsplit(uri)
        product = (parts.hostname or "").removesuffix(_HOST)
        query = f"?{parts.query}" if parts.query else ""
        return f"{base_of(self._api_base, product)}{parts.path}{query}"


def make_sdk(settings: TwilioSettings, session: aiohttp.ClientSession) -> Client:
    """The SDK's client for this account; it reads no environment variables."""
    user, password = credentials(settings)
    # An empty mapping would be taken for none, and region and edge for the process's.
    environment = {"TWILIO_REGION": "", "TWILIO_EDGE": ""}
    http = SessionHttpClient(session, settings.api_base)
    return Client(user, password, account_sid=settings.account_sid, http_client=http, environment=environment)


def unless_empty(value: Any) -> Any:
    """A parameter of the SDK's, left out if it is empty."""
    return value or unset
