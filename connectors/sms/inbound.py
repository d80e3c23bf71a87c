"""Twilio's webhooks for SMS, MMS and RCS as events. Pure.

A sender is a phone, or something that no phone is: a short code, a name. The latter is nobody's phone number and cannot be answered.

Source: twilio.com/docs/messaging/guides/webhook-request, read 2026-11.
"""

from collections.abc import Callable, Sequence
from typing import Final

from connectors.contract import Request
from connectors.event import AnyEvent, Sender
from connectors.identity import Identity
from connectors.sms.settings import Settings
from connectors.twilio.account import PHONE
from connectors.twilio.events import Line, account_name, read_webhook
from connectors.twilio.webhook import Form, is_signed

#: twilio.com/docs/messaging/tutorials/advanced-opt-out and help.twilio.com 223134027, read 2026-11. Twilio takes YES for an opt-in too;
#: here it is a word like others, for shoppers say it all day.
STOP_WORDS: Final = frozenset({"STOP", "STOPALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT", "REVOKE", "OPTOUT"})
START_WORDS: Final = frozenset({"START", "UNSTOP"})


def verify(request: Request, settings: Settings) -> bool:
    """Has Twilio signed it for this account?"""
    return is_signed(request, settings)


def parse(request: Request, settings: Settings) -> Sequence[AnyEvent]:
    """The events of one webhook, at least one. Raises :class:`BadPayload` on what cannot be read, and nothing else."""
    line = Line(
        account_sid=settings.account_sid,
        own=frozenset({settings.number, settings.rcs_agent} - {""}),
        service="" if settings.number else settings.messaging_service_sid,
        who=_who(settings.account_sid),
        stop_words=STOP_WORDS,
        start_words=START_WORDS,
    )
    return read_webhook(request, line)


def account(settings: Settings) -> str:
    """Account and sender, as in ``Event.account``."""
    return account_name(settings.account_sid, settings.number or settings.messaging_service_sid)


def _who(account_sid: str) -> Callable[[Form, str], tuple[Sender, str]]:
    def who(form: Form, address: str) -> tuple[Sender, str]:
        # By RCS or by SMS, it is the same phone.
        bare = address.removeprefix("rcs:")
        if PHONE.fullmatch(bare):
            return Sender(identity=Identity("tel", "", bare), name=form.get("ProfileName", "")), bare
        return Sender(identity=Identity("tel-sender", account_sid, address[:200]), name=address[:200]), address[:200]

    return who
