"""Our messages as calls to Twilio. Pure.

Source: twilio.com/docs/messaging/api/message-resource (create), read 2026-11.
"""

from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

from connectors.content import Media
from connectors.contract import Call, Outbound, Upload
from connectors.errors import Inexpressible
from connectors.twilio.account import TwilioSettings

#: Characters (error 21617). Counted in UTF-16 units: whoever counts, an emoji is never too much.
TEXT_LIMIT: Final = 1600
#: Bytes of all files of one message (error 11751; twilio.com/docs/messaging/guides/accepted-mime-types).
MMS_BYTES: Final = 5_000_000
#: Where the client puts a file's public address.
MEDIA: Final = "MediaUrl"
#: Where it stands behind the words instead.
LINK: Final = "Body"
#: What a call asks for; the client knows where it is.
MESSAGES: Final = "Messages"


def make_call(message: Outbound, settings: TwilioSettings, part: int, to: str, sender: str) -> Call:
    """What every message has; the caller completes ``form``. ``sender`` is ours as Twilio writes it, empty if the service picks it."""
    form = {"To": to}
    if sender:
        form["From"] = sender
    if settings.messaging_service_sid:
        form["MessagingServiceSid"] = settings.messaging_service_sid
    if message.callback:
        # A callback may come before the answer to this call: our own id tells which message it is about.
        mark = f"m={quote(message.id, safe='')}&p={part}"
        form["StatusCallback"] = f"{message.callback}{'&' if '?' in message.callback else '?'}{mark}"
    return Call(method="POST", url=MESSAGES, form=form, part=part, bucket=to)


def upload_of(media: Media, field: str, where: str) -> Upload:
    """The file, for the client to give it an address."""
    stored = media.stored or media.ref
    if not stored:
        raise Inexpressible(f"{where}: the file {media.name[:40]!r} is not stored with us")
    return Upload(field=field, name=media.name or media.kind.value, mime=media.mime, stored=stored)


def form_of(call: Call) -> Mapping[str, str]:
    """The fields of a sending."""
    return call.form or {}


def whole(text: str) -> str:
    """Text that can be written as UTF-8: halves of characters are replaced."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").replace("\0", "\ufffd")
