"""What Meta says about our account and its templates, for operators. Pure.

Sources: developers.facebook.com/documentation/business-messaging/whatsapp/webhooks/reference/… (one page per field), read 2026-11.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from connectors.contract import Failure
from connectors.errors import HANDLING
from connectors.event import AccountReported
from connectors.meta.failure import GraphError, kind_of
from connectors.meta.webhook import unix_time
from connectors.whatsapp.codes import CODES

#: Field of a webhook -> the beginning of our code, and the name of the value that says what happened.
_FIELDS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "account_alerts": ("alert", "alert_type"),
        "account_review_update": ("review", "decision"),
        "account_update": ("account", "event"),
        "business_capability_update": ("capability", ""),
        "message_template_components_update": ("template_changed", ""),
        "message_template_quality_update": ("template_quality", "new_quality_score"),
        "message_template_status_update": ("template", "event"),
        "payment_configuration_update": ("payment", "status"),
        "phone_number_name_update": ("name", "decision"),
        "phone_number_quality_update": ("quality", "event"),
        "security": ("security", "event"),
        "template_category_update": ("template_category", "new_category"),
    }
)
#: Codes after which sending is, or will be, restricted until an operator acts. What befalls one template concerns that one alone.
_RESTRICTED: Final = frozenset(
    {
        "account_deleted",
        "account_offboarded",
        "account_restriction",
        "account_violation",
        "account_disabled_update",
        "account_partner_app_uninstalled",
        "account_partner_removed",
        "quality_flagged",
        "review_rejected",
    }
)
_DETAIL: Final = 500


def is_news(field: str) -> bool:
    """Is this field of a webhook about the account?"""
    return field in _FIELDS


def news(field: str, value: dict[str, Any], key: str, time: str | float, raw: bytes) -> AccountReported:
    """``value`` of a webhook's ``field``, see :func:`is_news`."""
    prefix, name = _FIELDS[field]
    happened = value.get(name) if name else None
    word = happened.lower() if isinstance(happened, str) else ""
    code = (word if word.startswith(prefix) else f"{prefix}_{word}".rstrip("_"))[:64]
    severe = str(value.get("alert_severity", "")).upper() == "CRITICAL"
    reinstated = isinstance(ban := value.get("ban_info"), dict) and ban.get("waba_ban_state") == "REINSTATE"
    return AccountReported(
        key=key,
        at=unix_time(time),
        raw=raw,
        code=code,
        detail="; ".join(_lines(value))[:_DETAIL],
        healthy=reinstated or not (severe or code in _RESTRICTED),
    )


def trouble(error: GraphError, key: str, account: str, raw: bytes) -> AccountReported:
    """An error that belongs to no message (``value.errors``)."""
    kind = kind_of(error, CODES)
    return AccountReported(
        key=key,
        raw=raw,
        account=account,
        code=f"error_{error.code_text()}",
        detail=error.words()[:_DETAIL],
        healthy=kind is None or not HANDLING[kind].pause_channel,
    )


def failure_of_status(errors: tuple[GraphError, ...]) -> Failure | None:
    """What a failed status says; None if it gives no reason."""
    if not errors:
        return None
    error = errors[0]
    kind = kind_of(error, CODES)
    return Failure(kind=kind, code=error.code_text(), detail=error.words()) if kind else None


def _lines(value: dict[str, Any], within: str = "") -> list[str]:
    """Every plain value with its name; lists and objects one level deep."""
    lines: list[str] = []
    for name, item in value.items():
        if isinstance(item, dict) and not within:
            lines += _lines(item, f"{name}.")
        elif isinstance(item, list) and not within:
            for one in item:
                lines += _lines(one, f"{name}.") if isinstance(one, dict) else [f"{name}: {one}"]
        elif isinstance(item, str | int | float):
            lines.append(f"{within}{name}: {item}")
    return lines
