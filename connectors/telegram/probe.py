"""What Telegram's own view of a bot tells: pure, from the answers to ``getMe`` and ``getWebhookInfo``."""

from collections.abc import Sequence
from typing import Any, Final

from connectors.abilities import Component, Finding
from connectors.telegram.settings import Settings

#: Seconds. Telegram remembers its last failure for ever; an older one than this says nothing about now.
#: core.telegram.org/bots/api#webhookinfo, read 2026-11.
RECENT: Final = 900.0
#: So many updates that wait are more than those that are on their way.
MANY: Final = 20
_WORDS: Final = 200


def account_finding(me: Any, problem: str) -> Finding:
    """Is the token right? ``me`` is the result of ``getMe``, None if there was none; then ``problem`` says why."""
    if isinstance(me, dict):
        return Finding(component=Component.AUTH, ok=True, detail=f"the bot is @{me.get('username', '?')}")
    return Finding(
        component=Component.AUTH,
        ok=False,
        detail=f"Telegram does not accept the bot's token: {problem}",
        remedy="Ask @BotFather for a new one (/token) and put it into the channel's setting token.",
    )


def webhook_findings(settings: Settings, info: Any, webhook_url: str, now: float) -> Sequence[Finding]:
    """How updates reach us. ``info`` is the result of ``getWebhookInfo``; ``now`` in seconds since 1970."""
    if not isinstance(info, dict):
        return ()
    url = str(info.get("url", ""))
    if settings.mode == "poll":
        return [_poll(url)]
    if url != webhook_url:
        there = "another address" if url else "none"
        detail = f"Telegram has {there} instead of {webhook_url}"
        return [
            Finding(component=Component.WEBHOOK, ok=False, detail=detail, remedy="Run: sportello channel connect with this channel's id.")
        ]
    return [Finding(component=Component.WEBHOOK, ok=True, detail=f"Telegram delivers to {url}"), _delivery(info, now)]


def _poll(url: str) -> Finding:
    if url:
        remedy = 'Set mode = "webhook", or remove it: sportello channel connect with this channel\'s id.'
        detail = "a webhook is registered, so that Telegram refuses long polls"
        return Finding(component=Component.INBOUND, ok=False, detail=detail, remedy=remedy)
    return Finding(component=Component.INBOUND, ok=True, detail="updates are fetched by long poll")


def _delivery(info: dict[str, Any], now: float) -> Finding:
    """Do updates arrive? Not if the last attempt failed just now, and they pile up."""
    pending, failed = _number(info.get("pending_update_count")), _number(info.get("last_error_date"))
    words = str(info.get("last_error_message", ""))[:_WORDS]
    if pending and words and now - failed < RECENT:
        secret = "403" in words or "Forbidden" in words
        remedy = (
            "The secret differs from what Telegram sends: sportello channel connect registers it anew."
            if secret
            else "Look whether server.public_url can be reached from the internet, by https and with a valid certificate."
        )
        detail = f"Telegram's last delivery failed ({words}); {pending:.0f} updates wait"
        return Finding(component=Component.INBOUND, ok=False, detail=detail, remedy=remedy)
    if pending > MANY:
        detail = f"{pending:.0f} updates wait to be delivered"
        return Finding(component=Component.INBOUND, ok=False, detail=detail, remedy="The gateway takes them too slowly: look at its log.")
    return Finding(component=Component.INBOUND, ok=True, detail=f"{pending:.0f} updates wait to be delivered")


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else 0.0
