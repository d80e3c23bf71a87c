"""The Cloud API's paths below ``/<version>/``."""

import hashlib
from typing import Any, Final

from aiohttp import BodyPartReader, web

from connectors.meta.simulator import Graph, GraphRefusal, Hook, Lookaside, invalid_parameter
from connectors.meta.simulator.graph import LATER, read_object
from connectors.simulator.phone import File
from connectors.whatsapp.limits import CAPABILITIES
from connectors.whatsapp.simulator.provider import WhatsApp
from connectors.whatsapp.simulator.sending import line_of, recipient_of
from connectors.whatsapp.simulator.state import World

Json = dict[str, Any]

_PAGE: Final = 25
_MIMES: Final = {mime: rule.max_bytes for rule in reversed(CAPABILITIES.limits.media) for mime in rule.mimes}
_VERSION: Final = "/{version:v[0-9]+[.][0-9]+}"


class CloudApi:
    """Handlers, each behind the token and the faults."""

    def __init__(self, world: World, graph: Graph, hook: Hook, files: Lookaside, whatsapp: WhatsApp) -> None:
        self._world = world
        self._graph = graph
        self._hook = hook
        self._files = files
        self._whatsapp = whatsapp
        self._override = ""

    def routes(self) -> list[web.RouteDef]:
        """All of it."""
        guarded = self._graph.guarded
        return [
            web.post(f"{_VERSION}/{{id}}/messages", guarded("messages", self._messages, sending=True)),
            web.post(f"{_VERSION}/{{id}}/media", guarded("media", self._upload)),
            web.get(f"{_VERSION}/{{id}}/message_templates", guarded("templates", self._templates)),
            web.get(f"{_VERSION}/{{id}}/subscribed_apps", guarded("subscribed_apps", self._subscriptions)),
            web.post(f"{_VERSION}/{{id}}/subscribed_apps", guarded("subscribed_apps", self._subscribe)),
            web.get(f"{_VERSION}/{{id}}", guarded("object", self._object)),
            web.get("/lookaside/whatsapp_business/attachments/", self._files.serve),
        ]

    # --- messages -----------------------------------------------------------------------------------------------------------

    async def _messages(self, request: web.Request) -> web.Response:
        self._known(request, self._world.business.phone_number_id)
        body = await read_object(request)
        if body.get("messaging_product") != "whatsapp":
            raise invalid_parameter("Param messaging_product must be whatsapp.")
        if body.get("status") == "read":
            return self._read(body)
        given, person = recipient_of(self._world, body)
        self._world.count(given)
        line = line_of(self._world, self._files, body, person or given)
        self._world.phone.add_line(line)
        self._whatsapp.arrive(line, request.get(LATER, 0))
        self._world.phone.change_line(line)
        contact = {"input": given, "user_id" if "recipient" in body and "to" not in body else "wa_id": given}
        return web.json_response({"messaging_product": "whatsapp", "contacts": [contact], "messages": [{"id": line.id}]})

    def _read(self, body: Json) -> web.Response:
        line = self._world.phone.lines.get(str(body.get("message_id", "")))
        if line is None or line.from_shop:
            raise invalid_parameter("Message id is not valid.")
        self._world.courtesies.append({"message_id": line.id, "typing": "typing_indicator" in body})
        for one in self._world.phone.lines.values():
            if one.person == line.person and not one.from_shop and one.at <= line.at and not one.extra.get("read"):
                one.extra["read"] = True
                self._world.phone.change_line(one)
        return web.json_response({"success": True})

    # --- files --------------------------------------------------------------------------------------------------------------

    async def _upload(self, request: web.Request) -> web.Response:
        self._known(request, self._world.business.phone_number_id)
        if not request.content_type.startswith("multipart/"):
            raise invalid_parameter("Param file is required.")
        file, fields = None, {}
        async for part in await request.multipart():
            assert isinstance(part, BodyPartReader)
            data = bytes(await part.read())
            if part.name == "file":
                file = (data, part.headers.get("Content-Type", "application/octet-stream"), part.filename or "")
            else:
                fields[part.name] = data.decode("utf-8", "replace")
        if fields.get("messaging_product") != "whatsapp" or file is None:
            raise invalid_parameter("Params messaging_product and file are required.")
        data, mime, name = file
        if mime not in _MIMES:
            raise invalid_parameter(f"Param file must be a file with one of the following types: {', '.join(_MIMES)}. Received {mime}.")
        if len(data) > _MIMES[mime] and len(data) > CAPABILITIES.limits.upload_bytes:
            raise GraphRefusal(131053, "Media upload error", details="The file is too large.")
        return web.json_response({"id": self._files.add(self._world.phone.add_file(data, mime, name))})

    async def _object(self, request: web.Request) -> web.Response:
        """A file, or our number."""
        wanted = request.match_info["id"]
        if wanted == self._world.business.phone_number_id:
            return web.json_response(self._number())
        file = self._files.files.get(wanted)
        if file is None:
            raise _unknown(wanted)
        return web.json_response(self._file(request, wanted, file))

    def _file(self, request: web.Request, number: str, file: File) -> Json:
        prefix = request.path.partition(f"/{request.match_info['version']}/")[0]
        return {
            "messaging_product": "whatsapp",
            "url": self._files.link(f"{request.scheme}://{request.host}{prefix}", number),
            "mime_type": file.mime,
            "sha256": hashlib.sha256(file.data).hexdigest(),
            "file_size": len(file.data),
            "id": number,
        }

    def _number(self) -> Json:
        business = self._world.business
        return {
            "id": business.phone_number_id,
            "display_phone_number": f"+{business.display_phone_number}",
            "verified_name": business.name,
            "quality_rating": business.quality,
            "name_status": business.name_status,
            "health_status": business.health,
        }

    # --- the account --------------------------------------------------------------------------------------------------------

    async def _templates(self, request: web.Request) -> web.Response:
        self._known(request, self._world.business.waba_id)
        after, limit = request.query.get("after", "0"), request.query.get("limit", "")
        start = int(after) if after.isdigit() else 0
        size = int(limit) if limit.isdigit() and 0 < int(limit) <= _PAGE else _PAGE
        page = self._world.business.templates[start : start + size]
        paging: Json = {"cursors": {"before": str(start), "after": str(start + len(page))}}
        if start + len(page) < len(self._world.business.templates):
            # Meta's own link has the token in it; so does this one, to catch who follows it.
            paging["next"] = f"{request.url.with_query({'after': str(start + len(page)), 'access_token': 'leaked'})}"
        return web.json_response({"data": page, "paging": paging})

    async def _subscriptions(self, request: web.Request) -> web.Response:
        self._known(request, self._world.business.waba_id)
        app: Json = {
            "whatsapp_business_api_data": {"id": "670843887433847", "name": "Sportello", "link": "https://www.facebook.com/games/?app_id=1"}
        }
        app |= {"override_callback_uri": self._override} if self._override else {}
        return web.json_response({"data": [app] if self._hook.url else []})

    async def _subscribe(self, request: web.Request) -> web.Response:
        self._known(request, self._world.business.waba_id)
        body = await read_object(request)
        url, token = str(body.get("override_callback_uri", "")), str(body.get("verify_token", ""))
        if url:
            if not await self._hook.ask(url, token):
                details = "Callback verification failed: the challenge was not returned."
                raise GraphRefusal(2200, "Callback verification failed", details=details)
            self._override = self._hook.url = url
        return web.json_response({"success": True})

    def _known(self, request: web.Request, id_: str) -> None:
        if request.match_info["id"] != id_:
            raise _unknown(request.match_info["id"])


def _unknown(id_: str) -> GraphRefusal:
    message = f"Unsupported request. Object with ID '{id_[:40]}' does not exist, or cannot be loaded due to missing permissions"
    return GraphRefusal(100, message, subcode=33)
