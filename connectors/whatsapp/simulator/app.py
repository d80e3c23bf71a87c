"""The simulator as an aiohttp application: alone on a port, or mounted below a prefix of another one."""

import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from aiohttp import web
from msgspec import Struct

from connectors.meta.simulator import LINK_SECONDS, Graph, GraphRefusal, Hook, Lookaside
from connectors.simulator import Control, Faults, Phone, Webhooks
from connectors.simulator.control import Refused, read_json, refused
from connectors.simulator.webhooks import RETRIES
from connectors.whatsapp.inbound import OBJECT
from connectors.whatsapp.simulator.api import CloudApi
from connectors.whatsapp.simulator.provider import WhatsApp
from connectors.whatsapp.simulator.state import Business, World, too_many
from connectors.whatsapp.simulator.templates import TEMPLATES

FEATURES: Final = ("files", "edit", "delete", "react", "read", "press", "location", "contact")

#: For tests which look inside.
WORLD: Final = web.AppKey("world", World)
PROVIDER: Final = web.AppKey("provider", WhatsApp)
HOOK: Final = web.AppKey("hook", Hook)
WEBHOOKS: Final = web.AppKey("webhooks", Webhooks)


class _Clock(Struct, forbid_unknown_fields=True):
    ahead: float


class _Echo(Struct, forbid_unknown_fields=True):
    text: str


class _Move(Struct, forbid_unknown_fields=True):
    number: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Whose WhatsApp it is, in the words of the connector's settings."""

    token: str = field(repr=False)
    app_secret: str = field(repr=False)
    phone_number_id: str = "106540352242922"
    business_account_id: str = "102290129340398"


def create_simulator_app(
    account: Account,
    *,
    webhook_url: str = "",
    templates: Sequence[dict[str, Any]] = TEMPLATES,
    limits: bool = True,
    retries: Sequence[float] = RETRIES,
    link_seconds: float = LINK_SECONDS,
    now: Callable[[], float] = time.time,
) -> web.Application:
    """One business number on a WhatsApp of its own; nothing is shared between two applications.

    ``webhook_url``: where webhooks go until somebody registers another address. ``limits``: refuse more than Meta allows.
    ``retries``: seconds between the tries of a webhook; Meta goes on for 7 days. ``link_seconds``: life of a file's link.
    """
    faults = Faults()
    webhooks = Webhooks(faults, retries=retries)
    business = Business(waba_id=account.business_account_id, phone_number_id=account.phone_number_id, templates=list(templates))
    phone = Phone(now=now, features=FEATURES)
    world = World(phone, business, now=now, limits=limits)
    phone.now = world.now
    failing = GraphRefusal(131000, "Something went wrong", status=500, details="Message failed to send due to an unknown error.")
    graph = Graph(token=account.token, faults=faults, throttled=too_many(), failing=failing)
    hook = Hook(webhooks, object_=OBJECT, app_secret=account.app_secret, url=webhook_url, now=world.now)
    files = Lookaside(graph, world.now, link_seconds)
    whatsapp = WhatsApp(world, hook, files)

    async def running(_: web.Application) -> AsyncIterator[None]:
        async with webhooks.running():
            yield

    app = web.Application(client_max_size=1 << 28)
    app[WORLD], app[PROVIDER], app[HOOK], app[WEBHOOKS] = world, whatsapp, hook, webhooks
    app.add_routes(CloudApi(world, graph, hook, files, whatsapp).routes())
    app.add_routes(Control(phone, whatsapp, faults).routes())
    app.add_routes(_extras(world, whatsapp))
    app.cleanup_ctx.append(running)
    return app


def _extras(world: World, whatsapp: WhatsApp) -> list[web.RouteDef]:
    """What only WhatsApp's control interface has."""

    async def clock(request: web.Request) -> web.Response:
        world.ahead += (await read_json(request, _Clock)).ahead
        return web.json_response({"now": world.now()})

    async def echo(request: web.Request) -> web.Response:
        person = world.phone.people.get(request.match_info["id"])
        if person is None:
            raise refused(404, "there is no such person")
        return web.json_response({"id": whatsapp.echo(person, (await read_json(request, _Echo)).text).id}, status=201)

    async def move(request: web.Request) -> web.Response:
        person = world.phone.people.get(request.match_info["id"])
        if person is None:
            raise refused(404, "there is no such person")
        number = (await read_json(request, _Move)).number
        try:
            whatsapp.move(person, number)
        except Refused as error:
            raise refused(409, str(error)) from None
        return web.json_response({"id": number}, status=201)

    return [
        web.post("/control/clock", clock),
        web.post("/control/people/{id}/echo", echo),
        web.post("/control/people/{id}/move", move),
    ]
