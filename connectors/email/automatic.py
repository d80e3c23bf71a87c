"""Did a machine write this? RFC 3834, and what machines do instead. Pure.

``X-Auto-Response-Suppress`` is no sign of a robot: Exchange puts it on mail that people wrote.
"""

import re
from typing import Final

from connectors.email.mime import Part

#: A mail that went through more servers than this goes in circles.
MAX_HOPS: Final = 50
_BULK: Final = frozenset({"bulk", "junk", "list", "auto_reply", "auto-reply"})
_LIST: Final = ("list-id", "list-post", "list-help", "list-unsubscribe", "list-owner", "mailing-list", "x-mailing-list")
_ROBOT: Final = (
    "x-autoreply",
    "x-autorespond",
    "x-autoresponder",
    "x-autoreply-from",
    "x-mail-autoreply",
    "x-loop",
    "x-vacation",
    "x-ms-exchange-inbox-rules-loop",
)
_DAEMON: Final = re.compile(
    r"(?:mailer-?daemon|postmaster|bounces?|no-?reply|do-?not-?reply|noreply|mdaemon)(?:[+._=-].*)?@.*", re.IGNORECASE
)


def is_automatic(mail: Part, sender: str, envelope_from: str | None) -> bool:
    """Whether it must never be answered by a machine; ``envelope_from`` is None where nobody told us."""
    submitted = mail.text("auto-submitted").partition(";")[0].strip().lower()
    if submitted and submitted != "no":
        return True
    if mail.text("precedence").strip().lower() in _BULK or any(mail.all(name) for name in (*_LIST, *_ROBOT)):
        return True
    return null_sender(mail, envelope_from) or is_daemon(sender) or in_circles(mail)


def null_sender(mail: Part, envelope_from: str | None) -> bool:
    """The envelope's sender is empty: nobody wants an answer."""
    returned = mail.all("return-path")
    return envelope_from in {"", "<>"} or (bool(returned) and returned[0].strip() in {b"<>", b""})


def is_daemon(sender: str) -> bool:
    """Is it an address that machines write from?"""
    return _DAEMON.fullmatch(sender) is not None


def in_circles(mail: Part) -> bool:
    """Has it been through too many servers?"""
    return len(mail.all("received")) > MAX_HOPS
