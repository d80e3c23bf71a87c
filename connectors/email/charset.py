"""Bytes to text when the label may be wrong: what was declared, what browsers take it for, UTF-8, a guess, Latin-1. Never fails.

Source: encoding.spec.whatwg.org, labels, read 2026-11.
"""

import codecs
import re
from types import MappingProxyType
from typing import Final

from charset_normalizer import from_bytes

#: A guess looks at the start only.
_GUESS_BYTES: Final = 16_384

#: Labels that are common and wrong, or mean more than they say.
_ALIASES: Final = MappingProxyType(
    {
        "ascii": "utf-8",
        "us-ascii": "utf-8",
        "uft-8": "utf-8",
        "utf8": "utf-8",
        "utf-8mb4": "utf-8",
        "unicode-1-1-utf-8": "utf-8",
        "unicode-1-1-utf-7": "utf-7",
        "unicode": "utf-16",
        "iso-8859-1": "windows-1252",
        "latin1": "windows-1252",
        "l1": "windows-1252",
        "iso8859-1": "windows-1252",
        "ansi": "windows-1252",
        "cp-1252": "windows-1252",
        "win-1251": "windows-1251",
        "cp-1251": "windows-1251",
        "x-cp1251": "windows-1251",
        "iso-8859-8-i": "iso-8859-8",
        "iso-8859-8-e": "iso-8859-8",
        "iso-8859-9": "windows-1254",
        "iso-8859-11": "cp874",
        "tis-620": "cp874",
        "windows-874": "cp874",
        "ks_c_5601-1987": "cp949",
        "ks_c_5601": "cp949",
        "korean": "cp949",
        "euc-kr": "cp949",
        "gb2312": "gb18030",
        "gb_2312-80": "gb18030",
        "gbk": "gb18030",
        "x-gbk": "gb18030",
        "big5": "big5hkscs",
        "shift_jis": "cp932",
        "shift-jis": "cp932",
        "x-sjis": "cp932",
        "sjis": "cp932",
        "windows-31j": "cp932",
        # Outlook writes half-width and vendor characters under the plain label.
        "iso-2022-jp": "iso2022_jp_ext",
        "cp50220": "iso2022_jp_ext",
        "x-mac-roman": "mac_roman",
        "macintosh": "mac_roman",
        "x-mac-cyrillic": "mac_cyrillic",
    }
)
#: Only these: Python calls other things codecs too (zlib, idna, rot13), and those must not be had by asking.
_SAFE: Final = re.compile(
    r"utf-?8(?:-sig)?|utf-?16(?:-?[lb]e)?|utf-?32(?:-?[lb]e)?|utf-7|ascii|latin-?1|iso-?8859-?\d+|windows-?125\d|cp\d{3,5}|koi8-?[rut]|"
    r"gb18030|big5(?:hkscs)?|euc[-_](?:jp|kr)|iso2022[-_]jp(?:_ext)?|iso-2022-(?:jp|kr)(?:-\w+)?|iso2022_kr|shift_jis\w*|hz(?:-gb-2312)?|johab|"
    r"mac_(?:roman|cyrillic|greek|turkish|latin2|iceland)|ptcp154|tcvn|viscii",
    re.IGNORECASE,
)


def decode(data: bytes, label: str = "") -> str:
    """``data`` as text. NUL becomes U+FFFD: databases refuse it."""
    return _decode(data, label).replace("\0", "\ufffd")


def _decode(data: bytes, label: str) -> str:
    if data.startswith(codecs.BOM_UTF8):
        return data[3:].decode("utf-8", "replace")
    name = codec_name(label)
    for candidate in (name, "utf-8"):
        if candidate and (text := _strictly(data, candidate)) is not None:
            return text
    if name and name not in {"utf-8", "utf-7"} and (text := _mostly(data, name)) is not None:
        return text
    if (text := _mostly(data, "utf-8")) is not None:
        return text
    guess = _guess(data)
    if guess and (text := _strictly(data, guess)) is not None:
        return text
    return data.decode("windows-1252", "replace") if _printable(data) else data.decode("latin-1")


def codec_name(label: str) -> str:
    """Python's name for a charset's label; empty if there is none that may be used."""
    wanted = label.strip().strip("\"'").lower().split("*")[0]
    wanted = _ALIASES.get(wanted, _ALIASES.get(wanted.replace("_", "-"), wanted))
    if not _SAFE.fullmatch(wanted):
        return ""
    try:
        return codecs.lookup(wanted).name
    except (LookupError, ValueError):
        return ""


def _strictly(data: bytes, name: str) -> str | None:
    try:
        return data.decode(name)
    except (UnicodeError, ValueError, LookupError):
        return None


def _mostly(data: bytes, name: str) -> str | None:
    """With replacements, if they are few: a cut character at the end must not cost the whole text its charset."""
    try:
        text = data.decode(name, "replace")
    except (UnicodeError, ValueError, LookupError):
        return None
    return text if text.count("\ufffd") * 50 <= len(text) else None


def _guess(data: bytes) -> str:
    best = from_bytes(data[:_GUESS_BYTES]).best()
    return codec_name(best.encoding) if best is not None else ""


def _printable(data: bytes) -> bool:
    return not any(byte in data for byte in b"\x81\x8d\x8f\x90\x9d")
