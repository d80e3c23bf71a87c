"""Twilio's webhooks for WhatsApp as events. Pure.

Somebody with a user name has no phone for us, only an id that holds within our business: ``From`` is then ``whatsapp:US.1349…``.
While the phone shows, that id comes beside it in ``ExternalUserId``, so that the person stays the same when the phone is hidden.

Sources, read 2026-11: twilio.com/docs/messaging/guides/webhook-request, twilio.com/docs/whatsapp/key-concepts.
"""

import re
from collections.abc import Callable, Sequence
from typing import Final

from connectors.content import MediaKind
from connectors.contract import Request
from connectors.event import AnyEvent, Sender
from connectors.identity import Evidence, Identity
from connectors.twilio.events import Line, account_name, read_webhook
from connectors.twilio.webhook import Form, is_signed
from connectors.whatsapp_twilio.settings import Settings, sender

#: Here Twilio blocks nobody by itself: only words that can mean nothing else. "Cancel" and "end" are what shoppers say of orders.
STOP_WORDS: Final = frozenset({"STOP", "STOPALL", "UNSUBSCRIBE", "OPTOUT"})
START_WORDS: Final = frozenset({"START", "UNSTOP"})

_DIGITS: Final = re.compile(r"\+?([1-9][0-9]{6,14})")
#: Two letters of a country, a point, and what Meta likes.
USER_ID: Final = re.compile(r"[A-Z]{2}\.[A-Za-z0-9.]{1,140}")


def verify(request: Request, settings: Settings) -> bool:
    """Has Twilio signed it for this account?"""
    return is_signed(request, settings)


def parse(request: Request, settings: Settings) -> Sequence[AnyEvent]:
    """The events of one webhook, at least one. Raises :class:`BadPayload` on what cannot be read, and nothing else."""
    line = Line(
        account_sid=settings.account_sid,
        # The prefix is missing now and then.
        own=frozenset({sender(settings), settings.number} - {""}),
        service="" if settings.number else settings.messaging_service_sid,
        who=_who(settings.account_sid),
        stop_words=STOP_WORDS,
        start_words=START_WORDS,
        ogg=MediaKind.VOICE,
    )
    return read_webhook(request, line)


def account(settings: Settings) -> str:
    """Account and sender, as in ``Event.account``."""
    return account_name(settings.account_sid, sender(settings) or settings.messaging_service_sid)


def _who(scope: str) -> Callable[[Form, str], tuple[Sender, str]]:
    def who(form: Form, address: str) -> tuple[Sender, str]:
        bare = address.removeprefix("whatsapp:")
        phone = _DIGITS.fullmatch(bare)
        user = form.get("ExternalUserId", "").removeprefix("whatsapp:")
        name = form.get("ProfileName", "")
        if phone is None:
            return Sender(identity=Identity("whatsapp", scope, bare[:200]), name=name), bare[:200]
        # WhatsApp's own id of a phone differs from the phone in a few countries.
        wa_id = form.get("WaId", "")
        known = wa_id if _DIGITS.fullmatch(wa_id) else phone[1]
        aliases = [(Identity("tel", "", f"+{phone[1]}"), Evidence.PROVIDER)]
        if USER_ID.fullmatch(user):
            aliases.append((Identity("whatsapp", scope, user), Evidence.PROVIDER))
        return Sender(identity=Identity("whatsapp", scope, known), name=name, aliases=tuple(aliases)), f"+{phone[1]}"

    return who
