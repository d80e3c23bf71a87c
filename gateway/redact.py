"""Takes credentials out of what is kept and shown: by value, in every form in which one travels, and by where it stands."""

import base64
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from html import escape
from typing import Final
from urllib.parse import quote, quote_plus, urlsplit

from config.secret import MASK, Secret

#: A shorter value would be found in innocent words.
SHORTEST: Final = 6
#: Of a base64 that begins in the middle of another, the part that is always the same must be so long to be telling.
_SHORTEST_CODED: Final = 8

#: A header with one of these in its name authenticates somebody: only its length is kept.
_SECRET_HEADER: Final = re.compile(
    r"auth|cookie|token|secret|signature|api-?key|password|credential|session|ticket|x-visitor|x-user$", re.IGNORECASE
)
#: Names of fields whose values are secrets that no setting knows: what a provider hands out.
_FIELDS: Final = (
    r"(?:access|refresh|id|page|bot|verify|auth|bearer|user|app)_?token|client_secret|app_?secret\w*|password|passwd|api_?key"
    r"|appsecret_proof|jwt|hub\.verify_token"
)
_FIELD_WORDS: Final = ("token", "secret", "passw", "api_key", "apikey", "jwt")
#: Texts (in lower case) of which a value must hold one, the pattern, and what stands there instead: to look for a text is quick.
_PATTERNS: Final = (
    # {"access_token": "…"}, also within a JSON text that is itself quoted
    (_FIELD_WORDS, re.compile(rf'(\\*"(?:{_FIELDS})\\*"\s*:\s*\\*")[^"\\]+', re.IGNORECASE), rf"\1{MASK}"),
    # access_token=…& in an address or a form
    (
        ("token=", "secret=", "proof=", "passw", "api_key=", "apikey=", "sig="),
        re.compile(rf"((?:\b|_)(?:{_FIELDS}|token|sig|signature)=)[^&\s\"'<>]+", re.IGNORECASE),
        rf"\1{MASK}",
    ),
    # Telegram's addresses
    (("/bot",), re.compile(r"(/bot)[^/\s\"'<>]+"), rf"\1{MASK}"),
    # our own tokens, headers that are quoted in a text, credentials in an address
    (("gw_",), re.compile(r"\bgw_[A-Za-z0-9_-]{8,}"), MASK),
    (("bearer ", "basic "), re.compile(r"\b(bearer|basic) [\w.~+/=-]{8,}", re.IGNORECASE), rf"\1 {MASK}"),
    (("@",), re.compile(r"(?<=://)[^/\s@\"']+(?=@)"), MASK),
)
#: A bot's token, wherever it stands; first by what is quick to look for.
_TOKEN_END: Final = re.compile(r":[\w-]{30}|%3a[\w-]{30}", re.IGNORECASE)
_TOKEN: Final = re.compile(r"\b\d{6,}(?::|%3A)[\w-]{30,}", re.IGNORECASE)


def forms_of(value: str) -> Iterator[str]:
    """``value`` as it may be written: plain, in an address, in JSON, in HTML, in base64 (also as a part of something longer), in hex."""
    yield value
    for quoted in (quote(value), quote(value, safe=""), quote_plus(value)):
        yield quoted
        yield re.sub(r"%[0-9A-F]{2}", lambda match: match[0].lower(), quoted)
    for ascii_only in (True, False):
        inner = json.dumps(value, ensure_ascii=ascii_only)[1:-1]
        yield inner
        yield inner.replace("/", "\\/")
        # A text in JSON may be JSON itself.
        yield json.dumps(inner)[1:-1]
    yield escape(value)
    data = value.encode("utf-8", "surrogatepass")
    yield data.hex()
    for coded in _base64_forms(data):
        yield coded
        yield coded.replace("+", "-").replace("/", "_")


def _base64_forms(data: bytes) -> Iterator[str]:
    """The characters that a base64 has for sure if it holds ``data``, wherever these begin: for example after ``user:``."""
    for before in range(3):
        coded = base64.b64encode(b"\0" * before + data).decode().rstrip("=")
        start = (0, 2, 3)[before]
        # The last character holds bits of what follows, unless the data end with it.
        end = (before + len(data)) * 8 // 6
        if end - start >= _SHORTEST_CODED:
            yield coded[start:end]


def values_of(secrets: Iterable[Secret]) -> set[str]:
    """What must not be seen of ``secrets``: the values, and the passwords in those that are addresses."""
    values = set()
    for secret in secrets:
        value = secret.reveal()
        values.add(value)
        if "://" in value:
            try:
                values.add(urlsplit(value).password or "")
            except ValueError:
                continue
    return {value for value in values if len(value) >= SHORTEST}


def _overlap(value: str, needle: str) -> int:
    """How many characters at the end of ``value`` are the beginning of ``needle``."""
    return next((size for size in range(min(len(value), len(needle) - 1), 0, -1) if value.endswith(needle[:size])), 0)


class Redactor:
    """Knows some secrets by value, and all by their places."""

    def __init__(self, secrets: Iterable[Secret] = ()) -> None:
        needles = {form for value in values_of(secrets) for form in forms_of(value) if len(form) >= SHORTEST}
        #: Longest first: one form may begin with another.
        self._needles = sorted(needles, key=len, reverse=True)
        #: How they begin -> those that begin so.
        self._heads: dict[str, list[str]] = {}
        for needle in self._needles:
            self._heads.setdefault(needle[:SHORTEST], []).append(needle)

    @property
    def longest(self) -> int:
        """Characters of the longest form."""
        return len(self._needles[0]) if self._needles else 0

    def text(self, value: str) -> str:
        """``value`` without credentials."""
        if not value:
            return value
        # One by one: that is several times quicker than one pattern of all.
        for needle in self._needles:
            if needle in value:
                value = value.replace(needle, MASK)
        lower = value.lower()
        for words, pattern, instead in _PATTERNS:
            if any(word in lower for word in words):
                value = pattern.sub(instead, value)
        return _TOKEN.sub(MASK, value) if _TOKEN_END.search(value) else value

    def words(self, value: str) -> str:
        """The same for what somebody has cut to a length already: the beginning of a credential at its end is hidden too."""
        value = self.text(value)
        end = value[-self.longest :]
        near = [needle for head, needles in self._heads.items() if head in end for needle in needles]
        longest = max((size for needle in near if (size := _overlap(value, needle)) >= SHORTEST), default=0)
        return value[: len(value) - longest] + MASK if longest else value

    def headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        """Of those that authenticate, that they were there and how long they were."""
        return {name.lower(): self._header(name, value) for name, value in headers.items()}

    def _header(self, name: str, value: str) -> str:
        return f"({len(value)} characters, hidden)" if _SECRET_HEADER.search(name) else self.words(value)
