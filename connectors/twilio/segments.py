"""How many SMS a text is billed as.

Sources: 3GPP TS 23.038 6.2.1 (the default alphabet and its extension), twilio.com/docs/glossary/what-sms-character-limit and
twilio.com/docs/messaging/services/smart-encoding-char-list, read 2026-11. National tables are not used by Twilio.
"""

from types import MappingProxyType
from typing import Final

#: Septets in one SMS, and in each of several: a header of six bytes joins them.
GSM_ALONE: Final = 160
GSM_JOINED: Final = 153
#: UTF-16 units, likewise.
UCS2_ALONE: Final = 70
UCS2_JOINED: Final = 67

_BASIC: Final = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
#: An escape and a character: two septets, which are never torn apart.
_EXTENDED: Final = frozenset("\f^{}\\[~]|€")

#: The commonest of what smart encoding replaces.
_SMART: Final = MappingProxyType(
    str.maketrans(
        {
            **dict.fromkeys("“”„‟«»″", '"'),
            **dict.fromkeys("‘’‚‛′`´", "'"),
            **dict.fromkeys("‐‑‒–—―−", "-"),
            **dict.fromkeys("\u00a0\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000", " "),
            **dict.fromkeys("\u200b\u200d\ufeff", ""),
            "…": "...",
            "•": "-",
        }
    )
)


def smart(text: str) -> str:
    """As Twilio sends it with smart encoding: look-alikes of typographic characters that fit an SMS."""
    return text.translate(_SMART)


def is_gsm(text: str) -> bool:
    """Does the default alphabet carry all of it? One character that it lacks makes the whole text UCS-2."""
    return all(char in _BASIC or char in _EXTENDED for char in text)


def count(text: str, *, smart_encoded: bool = False) -> int:
    """Segments of ``text``, at least 1."""
    if smart_encoded:
        text = smart(text)
    if is_gsm(text):
        return _pack([2 if char in _EXTENDED else 1 for char in text], GSM_ALONE, GSM_JOINED)
    return _pack([2 if ord(char) > 0xFFFF else 1 for char in text], UCS2_ALONE, UCS2_JOINED)


def _pack(widths: list[int], alone: int, joined: int) -> int:
    """Characters of two units go whole into the next segment, so a segment may stay one unit short."""
    if sum(widths) <= alone:
        return 1
    segments, used = 1, 0
    for width in widths:
        if used + width > joined:
            segments, used = segments + 1, 0
        used += width
    return segments
