"""What the simulated Twilio knows: one account, its senders, its messages. Nothing is shared between two of them."""

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any, Final

from connectors.simulator import Phone

#: Kept; the oldest go first.
MAX_MESSAGES: Final = 20_000
WHATSAPP: Final = "whatsapp:"
#: Seconds after a person's last message.
SESSION: Final = 24 * 60 * 60

Json = dict[str, Any]


@dataclass(slots=True, kw_only=True)
class Sending:
    """One message resource, in either direction."""

    sid: str
    to: str
    from_: str
    body: str
    direction: str
    status: str
    created: float
    #: None while it waits.
    sent: float | None = None
    #: SID of each file -> id of the file on the phones.
    media: dict[str, str] = field(default_factory=dict)
    #: Files of the shop's: how many were given.
    links: tuple[str, ...] = ()
    service: str = ""
    callback: str = ""
    error_code: int | None = None
    #: Error code that is to come with a later status.
    later: int = 0
    #: Words of the template's buttons.
    options: tuple[Json, ...] = ()
    location: Json | None = None


@dataclass(slots=True, kw_only=True)
class Hook:
    """Where the webhooks of one sender go."""

    sid: str
    url: str = ""
    fallback: str = ""
    status_callback: str = ""


@dataclass(slots=True, kw_only=True)
class Template:
    """A content template."""

    name: str
    body: str
    language: str = "en"
    status: str = "approved"
    category: str = "UTILITY"
    #: Samples of the placeholders.
    variables: dict[str, str] = field(default_factory=dict)
    #: ``{"title", "id"}`` each.
    buttons: tuple[dict[str, str], ...] = ()


def make_sid(prefix: str, *of: object) -> str:
    """An identifier as Twilio makes them; the same for the same thing."""
    return prefix + hashlib.sha256("\0".join(map(str, of)).encode()).hexdigest()[:32]


class Place:
    """One account at the simulated Twilio."""

    def __init__(self, *, account_sid: str, auth_token: str, number: str, base: str, now: Callable[[], float], phone: Phone) -> None:
        self.account_sid = account_sid
        self.auth_token = auth_token
        self.number = number
        self.now = now
        self.phone = phone
        self.account_status = "active"
        #: Our own address, as it stands in webhooks: known when the first request comes, unless said before.
        self.base = base
        #: By address: ``+39…`` and ``whatsapp:+39…``.
        self.hooks: dict[str, Hook] = {
            number: Hook(sid=make_sid("PN", number)),
            WHATSAPP + number: Hook(sid=make_sid("XE", number)),
        }
        #: The one messaging service: its pool is that number, by SMS and by WhatsApp.
        self.service = Hook(sid=make_sid("MG", account_sid))
        #: Does the service post by itself, and know the opt-out words (Advanced Opt-Out)?
        self.service_posts = False
        self.advanced_opt_out = False
        self.messages: OrderedDict[str, Sending] = OrderedDict()
        #: (our address, theirs): they wrote STOP.
        self.stopped: set[tuple[str, str]] = set()
        self.last_heard: dict[str, float] = {}
        self.templates: dict[str, Template] = {}
        #: Error codes that Twilio's debugger would show.
        self.debugger: list[int] = []
        self._count = 0

    def next_sid(self, prefix: str) -> str:
        """A new one."""
        self._count += 1
        return make_sid(prefix, self.account_sid, self._count, self.now())

    def add_template(self, template: Template) -> str:
        """Its SID."""
        sid = make_sid("HX", template.name, template.language)
        self.templates[sid] = template
        return sid

    def keep(self, message: Sending) -> Sending:
        """A new message resource."""
        self.messages[message.sid] = message
        if len(self.messages) > MAX_MESSAGES:
            self.messages.popitem(last=False)
        return message

    def open_session(self, person: str) -> bool:
        """May free words be sent to this WhatsApp address?"""
        heard = self.last_heard.get(person)
        return heard is not None and self.now() - heard < SESSION

    # --- resources as JSON ----------------------------------------------------------------------------------------------

    def message_view(self, message: Sending) -> Json:
        """As the REST interface shows it."""
        count = len(message.media) or len(message.links)
        path = f"/2010-04-01/Accounts/{self.account_sid}/Messages/{message.sid}"
        return {
            "sid": message.sid,
            "account_sid": self.account_sid,
            "messaging_service_sid": message.service or None,
            "to": message.to,
            "from": message.from_ or None,
            "body": message.body,
            "status": message.status,
            "direction": message.direction,
            "num_media": str(count),
            "num_segments": "1",
            "error_code": message.error_code,
            "error_message": None,
            "price": None,
            "price_unit": "USD",
            "api_version": "2010-04-01",
            "date_created": _time(message.created),
            "date_updated": _time(message.sent or message.created),
            "date_sent": None if message.sent is None else _time(message.sent),
            "uri": f"{path}.json",
            "subresource_uris": {"media": f"{path}/Media.json"},
        }

    def template_view(self, sid: str) -> Json:
        """With its approval."""
        template = self.templates[sid]
        shape: Json = {"body": template.body}
        kind = "twilio/quick-reply" if template.buttons else "twilio/text"
        if template.buttons:
            shape["actions"] = [dict(button) for button in template.buttons]
        return {
            "sid": sid,
            "account_sid": self.account_sid,
            "friendly_name": template.name,
            "language": template.language,
            "variables": dict(template.variables),
            "types": {kind: shape},
            "approval_requests": {"name": template.name, "category": template.category, "status": template.status},
            "date_created": _time(0),
            "date_updated": _time(0),
        }


def _time(seconds: float) -> str:
    return format_datetime(datetime.fromtimestamp(int(seconds), UTC))
