"""The simulator as an aiohttp application: alone on a port, or mounted below a prefix of another one."""

import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final

from aiohttp import web

from connectors.simulator import Control, Faults, Phone, Webhooks
from connectors.twilio.simulator.people import People
from connectors.twilio.simulator.place import Place, Template
from connectors.twilio.simulator.posting import Posting
from connectors.twilio.simulator.rest import Rest
from connectors.twilio.simulator.sending import Carrier

#: For tests which look inside, and for who mounts it.
PLACE: Final = web.AppKey("place", Place)

#: What a new account begins with.
TEMPLATES: Final = (
    Template(name="order_ready", body="Hello {{1}}, your order {{2}} is ready.", variables={"1": "Ada", "2": "1001"}),
    Template(
        name="still_there",
        body="May we still help you?",
        buttons=({"title": "Yes, please", "id": "yes"}, {"title": "No, thanks", "id": "no"}),
    ),
)


def create_simulator_app(  # noqa: PLR0913  settings of a server
    *,
    account_sid: str,
    auth_token: str,
    number: str = "+15005550006",
    by_whatsapp: bool = False,
    base: str = "",
    store: str = "",
    per_second: float = 0,
    templates: Sequence[Template] = TEMPLATES,
    now: Callable[[], float] = time.time,
) -> web.Application:
    """One account with one number, by SMS and by WhatsApp; nothing is shared between two applications.

    A person whose id is ``+39…`` writes by SMS, one whose id is ``whatsapp:+39…`` or ``whatsapp:US.1349…`` by WhatsApp.
    ``by_whatsapp``: what new people without an id have. ``base``: our own public address, if the first request does not tell it.
    ``store``: root of another server with this application's ``/store``, to which files lead. ``per_second``: most calls, 0 for any.
    """
    features = ("files", "location", "read", "press") if by_whatsapp else ("files",)
    phone = Phone(now=now, features=features)
    place = Place(account_sid=account_sid, auth_token=auth_token, number=number, base=base, now=now, phone=phone)
    for template in templates:
        place.add_template(template)
    faults = Faults()
    webhooks = Webhooks(faults, retries=())
    posting = Posting(place, webhooks)
    carrier = Carrier(place, posting)
    people = People(place, posting, by_whatsapp=by_whatsapp)
    rest = Rest(place, carrier, faults, store=store, per_second=per_second)
    app = web.Application()
    app[PLACE] = place

    async def running(_: web.Application) -> AsyncIterator[None]:
        async with webhooks.running():
            await carrier.open()
            yield
            await carrier.close()

    app.cleanup_ctx.append(running)
    app.add_routes([*rest.routes(), *Control(phone, people, faults).routes()])
    return app
