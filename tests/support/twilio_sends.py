"""Messages through the clients over Twilio, for their tests."""

from typing import Any

from connectors.content import AnyPart, Media, MediaKind
from connectors.contract import Call, Outbound, Outcome
from connectors.event import StatusReported
from connectors.sms import CONNECTOR as SMS
from connectors.whatsapp_twilio import CONNECTOR as WHATSAPP
from tests.support.pictures import PNG
from tests.support.twilio import Bench, sms_settings

ADA = "+393351234567"
WA = f"whatsapp:{ADA}"
PHOTO = Media(kind=MediaKind.IMAGE, ref="med_photo", mime="image/png", name="photo.png", size=len(PNG))


async def send(bench: Bench, *parts: AnyPart, to: str = ADA, **changes: Any) -> tuple[Call, Outcome]:
    """One message of one part by SMS."""
    settings, client = bench.sms(**changes)
    (call,) = SMS.render(Outbound(id="msg_01", to=to, parts=parts, callback=bench.hook), settings)
    return call, SMS.read_reply(call, await client.send(call), settings)


async def send_whatsapp(bench: Bench, *parts: AnyPart, to: str = ADA) -> Outcome:
    settings, client = bench.whatsapp()
    (call,) = WHATSAPP.render(Outbound(id="msg_01", to=to, parts=parts, callback=bench.hook), settings)
    outcome = WHATSAPP.read_reply(call, await client.send(call), settings)
    await client.close()
    return outcome


def statuses(bench: Bench, connector: Any = SMS, settings: Any = None) -> list[StatusReported]:
    configured = settings or sms_settings()
    events = [event for request in bench.inbox.requests for event in connector.parse(request, configured)]
    return [event for event in events if isinstance(event, StatusReported)]
