"""What only a mailbox has to control, beside ``/control``; and a token endpoint for XOAUTH2. Keep it on loopback.

    GET  control/mailbox            {username, users, folders: [{name, uidvalidity, uidnext, mails, unseen}], limits}
    POST control/mailbox            {renew?: folder, cut?, limits?: {connections?, keywords?, idle?, append_bytes?}}
    POST oauth/token                a refresh of OAuth 2.0, with the mailbox's password as the refresh token

``renew`` gives the folder a new UIDVALIDITY and its mails new UIDs, without their flags; all connections are cut by it.
"""

import secrets
from typing import Annotated, Any, Final

import msgspec
from aiohttp import web
from msgspec import Meta, Struct

from connectors.email.simulator.imap import ImapServer
from connectors.simulator.control import read_json, refused

_LIFE: Final = 3600


class _Limits(Struct, forbid_unknown_fields=True):
    connections: Annotated[int, Meta(ge=0, le=1000)] | None = None
    keywords: bool | None = None
    idle: bool | None = None
    append_bytes: Annotated[int, Meta(ge=1, le=100 * 1024 * 1024)] | None = None


class _Change(Struct, forbid_unknown_fields=True):
    renew: str = ""
    cut: bool = False
    limits: _Limits = msgspec.field(default_factory=_Limits)


class MailboxControl:
    """Handlers over one mailbox."""

    def __init__(self, server: ImapServer) -> None:
        self._server = server

    def routes(self) -> list[web.RouteDef]:
        """All of it."""
        return [
            web.get("/control/mailbox", self._show),
            web.post("/control/mailbox", self._change),
            web.post("/oauth/token", self._token),
        ]

    async def _show(self, _: web.Request) -> web.Response:
        return web.json_response(self._view())

    async def _change(self, request: web.Request) -> web.Response:
        change = await read_json(request, _Change)
        box = self._server.box
        if change.renew and change.renew not in box.folders:
            raise refused(404, f"there is no folder {change.renew[:100]!r}")
        for name in _Limits.__struct_fields__:
            if (value := getattr(change.limits, name)) is not None:
                setattr(box.limits, name, value)
        if change.renew:
            box.renew(change.renew)
        if change.cut or change.renew:
            self._server.cut()
        return web.json_response(self._view())

    def _view(self) -> dict[str, Any]:
        box = self._server.box
        folders = [
            {
                "name": one.name,
                "uidvalidity": one.validity,
                "uidnext": one.next_uid,
                "mails": len(one.mails),
                "unseen": sum(not mail.has("\\Seen") for mail in one.mails.values()),
            }
            for one in box.folders.values()
        ]
        limits = {name: getattr(box.limits, name) for name in _Limits.__struct_fields__}
        return {"username": self._server.door.username, "users": self._server.users, "folders": folders, "limits": limits}

    async def _token(self, request: web.Request) -> web.Response:
        form = await request.post()
        door = self._server.door
        refresh = form.get("refresh_token")
        if form.get("grant_type") != "refresh_token" or not isinstance(refresh, str) or not door.password_fits(door.username, refresh):
            return web.json_response({"error": "invalid_grant"}, status=400)
        token = secrets.token_urlsafe(24)
        door.tokens.append(token)
        return web.json_response({"access_token": token, "token_type": "Bearer", "expires_in": _LIFE})
