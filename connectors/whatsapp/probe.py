"""What Meta says about a number and its webhook, as findings with remedies. Pure.

Sources: developers.facebook.com/documentation/business-messaging/whatsapp/support/health-status, …/business-phone-numbers/phone-numbers,
…/webhooks/override, read 2026-11.
"""

from typing import Any, Final

import msgspec
from msgspec import Struct

from connectors.abilities import Component, Finding
from connectors.contract import Reply
from connectors.errors import FailureKind
from connectors.meta.failure import failure_of
from connectors.whatsapp.codes import CODES
from connectors.whatsapp.settings import Settings, secrets_of

NUMBER_FIELDS: Final = "display_phone_number,verified_name,quality_rating,name_status,health_status"

_REMEDIES: Final = {
    FailureKind.AUTH: "Make a new token: business.facebook.com, Settings, System users, with whatsapp_business_messaging and _management.",
    FailureKind.CONFIG: "Compare phone_number_id and business_account_id with WhatsApp Manager, and the token's assets with both.",
    FailureKind.INVALID: "Compare phone_number_id and business_account_id with WhatsApp Manager, and the token's assets with both.",
    FailureKind.ACCOUNT: "Look at business.facebook.com, Account quality, for the restriction and how to appeal.",
}
_ASK_AGAIN: Final = "Try again in a few minutes; metastatus.com tells of outages."


class _HealthError(Struct, frozen=True):
    error_code: int = 0
    error_description: str = ""
    possible_solution: str = ""


class _Entity(Struct, frozen=True):
    entity_type: str = ""
    can_send_message: str = ""
    errors: tuple[_HealthError, ...] = ()


class _Health(Struct, frozen=True):
    can_send_message: str = ""
    entities: tuple[_Entity, ...] = ()


class _Number(Struct, frozen=True):
    display_phone_number: str = ""
    verified_name: str = ""
    quality_rating: str = ""
    name_status: str = ""
    health_status: _Health | None = None


class _Apps(Struct, frozen=True):
    data: tuple[dict[str, Any], ...] = ()


def of_number(reply: Reply, settings: Settings) -> list[Finding]:
    """Credentials, and may the number send?"""
    number = _decoded(reply, _Number)
    if number is None:
        return [_refused(Component.AUTH, reply, settings)]
    name = f"{number.display_phone_number} ({number.verified_name or 'no display name'})"
    findings = [Finding(component=Component.AUTH, ok=True, detail=f"The token works for the number {name}.")]
    findings += _health(number)
    if number.quality_rating.upper() == "RED":
        remedy = "Too many people block or report the number: write less, and only to who asked for it."
        findings.append(Finding(component=Component.OUTBOUND, ok=False, detail="The quality rating is red.", remedy=remedy))
    if number.name_status.upper() in {"DECLINED", "EXPIRED", "NONE"}:
        detail = f"The display name is not approved ({number.name_status.lower()})."
        findings.append(
            Finding(component=Component.OUTBOUND, ok=False, detail=detail, remedy="WhatsApp Manager, Phone numbers, Edit name.")
        )
    return findings


def _health(number: _Number) -> list[Finding]:
    health = number.health_status
    if health is None or health.can_send_message.upper() == "AVAILABLE":
        return [Finding(component=Component.OUTBOUND, ok=True, detail="The number can send.")]
    findings = [
        Finding(
            component=Component.OUTBOUND,
            ok=False,
            detail=f"{entity.entity_type.lower()}: {error.error_code} {error.error_description}".strip(),
            remedy=error.possible_solution,
        )
        for entity in health.entities
        for error in entity.errors
    ]
    unknown = f"Meta says that sending is {health.can_send_message.lower() or 'restricted'}."
    remedy = "Look at business.facebook.com, Account quality."
    return findings or [Finding(component=Component.OUTBOUND, ok=False, detail=unknown, remedy=remedy)]


def of_webhook(reply: Reply, webhook_url: str, settings: Settings) -> list[Finding]:
    """Who gets the account's webhooks?"""
    apps = _decoded(reply, _Apps)
    if apps is None:
        return [_refused(Component.WEBHOOK, reply, settings)]
    register = "Register it: sportello channel connect."
    if not apps.data:
        return [Finding(component=Component.WEBHOOK, ok=False, detail="No app gets the account's webhooks.", remedy=register)]
    overrides = {str(app.get("override_callback_uri") or "") for app in apps.data}
    if webhook_url in overrides:
        return [Finding(component=Component.WEBHOOK, ok=True, detail="The account's webhooks come to our address.")]
    if overrides == {""}:
        detail = "The account's webhooks go to the address in the app's own settings, which cannot be read from here."
        remedy = f"If nothing arrives, compare it with {webhook_url}, or register that: sportello channel connect."
        return [Finding(component=Component.WEBHOOK, ok=True, detail=detail, remedy=remedy)]
    return [Finding(component=Component.WEBHOOK, ok=False, detail="The account's webhooks go to another address.", remedy=register)]


def _refused(component: Component, reply: Reply, settings: Settings) -> Finding:
    failure = failure_of(reply, CODES, secrets_of(settings))
    component = Component.AUTH if failure.kind is FailureKind.AUTH else component
    detail = f"Meta says: {failure.code} {failure.detail}".strip()
    return Finding(component=component, ok=False, detail=detail, remedy=_REMEDIES.get(failure.kind, _ASK_AGAIN))


def _decoded(reply: Reply, type_: type[Any]) -> Any:
    """The body of a good answer; None otherwise."""
    if not 200 <= reply.status < 300:
        return None
    try:
        return msgspec.json.decode(reply.body, type=type_, strict=False)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
