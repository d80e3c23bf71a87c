"""What WhatsApp's error codes mean, in all four places where they occur.

They stand in the answer to a call (``error``), in a status (``statuses[].errors``), in a message (``messages[].errors``) and beside them
(``value.errors``). Codes of all Graph products are in ``connectors.meta.failure``.

Source: developers.facebook.com/documentation/business-messaging/whatsapp/support/error-codes, read 2026-11.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from connectors.errors import FailureKind
from connectors.meta.failure import Codes

CODES: Final[Codes] = MappingProxyType(
    {
        # Too much of it: of the number, the pair, the account's registrations, the business's day.
        130429: FailureKind.THROTTLED,
        131056: FailureKind.THROTTLED,
        131064: FailureKind.THROTTLED,
        133016: FailureKind.THROTTLED,
        # Meta has a problem and says that the message was not sent.
        131000: FailureKind.TRANSIENT,
        131016: FailureKind.TRANSIENT,
        131053: FailureKind.TRANSIENT,
        133004: FailureKind.TRANSIENT,
        135000: FailureKind.TRANSIENT,
        # They cannot be reached: not on WhatsApp, an old app, terms not accepted, ourselves, not on a test number's list, another key.
        131021: FailureKind.RECIPIENT,
        131026: FailureKind.RECIPIENT,
        131030: FailureKind.RECIPIENT,
        137000: FailureKind.RECIPIENT,
        # We may not write to people of this country; to all others we still may.
        130497: FailureKind.RECIPIENT,
        # They do not want it.
        131050: FailureKind.OPTED_OUT,
        # More than 24 hours after their last message (470 in the former API).
        470: FailureKind.WINDOW,
        131047: FailureKind.WINDOW,
        # The message itself. 130472 and 131049: Meta keeps it back, and repeating it is what it asks us not to do.
        130472: FailureKind.INVALID,
        131008: FailureKind.INVALID,
        131009: FailureKind.INVALID,
        131049: FailureKind.INVALID,
        131051: FailureKind.INVALID,
        131052: FailureKind.INVALID,
        131055: FailureKind.INVALID,
        # A one-time code cannot go to a user id, only to a phone.
        131062: FailureKind.INVALID,
        131063: FailureKind.INVALID,
        **dict.fromkeys((132000, 132001, 132005, 132007, 132008, 132012, 132015, 132016, 132018, 132068, 132069), FailureKind.INVALID),
        # The account is not allowed to, has not paid, or is not set up. 131048: too many people blocked us; only less sending helps.
        131031: FailureKind.ACCOUNT,
        131037: FailureKind.ACCOUNT,
        131042: FailureKind.ACCOUNT,
        131044: FailureKind.ACCOUNT,
        131045: FailureKind.ACCOUNT,
        131048: FailureKind.ACCOUNT,
        # Maintenance, mostly an upgrade: over in minutes, and nothing goes until then.
        131057: FailureKind.ACCOUNT,
        133000: FailureKind.ACCOUNT,
        133005: FailureKind.ACCOUNT,
        133006: FailureKind.ACCOUNT,
        133008: FailureKind.ACCOUNT,
        133009: FailureKind.ACCOUNT,
        133010: FailureKind.ACCOUNT,
        133015: FailureKind.ACCOUNT,
        # There is no such number, or the token does not see it.
        (100, 33): FailureKind.CONFIG,
        # Our token may not do it.
        131005: FailureKind.AUTH,
    }
)

#: Seconds to wait after a refusal, where Meta documents it: one more message to this person in 6 seconds.
WAITS: Final[Mapping[int, float]] = MappingProxyType({131056: 6.0})
