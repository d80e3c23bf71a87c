"""Headers as text: encoded words (RFC 2047), parameters (RFC 2231), and everything that programs do instead."""

import base64
import binascii
import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import unquote_to_bytes

from connectors.email.charset import decode

#: Longest header that is looked at, in characters.
MAX_VALUE: Final = 16_384

_WORD: Final = re.compile(r"=\?(?P<charset>[\w!#$%&'+^`{}~*.-]{1,60})\?(?P<how>[bBqQ])\?(?P<body>[^?\r\n]*)\?=")
_PARAMETER: Final = re.compile(r';\s*(?P<name>[\w!#$%&\'*+.^`{|}~-]{1,80})\s*=\s*(?P<value>"(?:[^"\\]|\\.)*"?|[^;]*)', re.DOTALL)
_SECTION: Final = re.compile(r"(?P<name>[^*]+)(?:\*(?P<number>\d{1,3}))?(?P<encoded>\*)?")
#: Direction marks and other invisibles that make one name look like another.
_INVISIBLE: Final = re.compile("[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\ud800-\udfff]+")


def raw_text(value: bytes, charset: str = "") -> str:
    """A header's bytes as text: UTF-8 where it is, else ``charset`` (the body's: one program wrote both), else a guess; unfolded."""
    unfolded = re.sub(rb"\r?\n[ \t]+", b" ", value[: 4 * MAX_VALUE])
    unfolded = re.sub(rb"[\r\n\x00]+", b" ", unfolded).strip()
    try:
        return unfolded.decode("utf-8")[:MAX_VALUE]
    except UnicodeDecodeError:
        return decode(unfolded, charset)[:MAX_VALUE]


def decode_words(value: str) -> str:
    """Encoded words decoded. Neighbours of one charset are joined as bytes first: many programs cut within a character."""
    pieces: list[str] = []
    pending: list[bytes] = []
    charset = ""
    end = 0
    for match in _WORD.finditer(value):
        between = value[end : match.start()]
        label = match["charset"].lower()
        if pending and (between.strip() or label != charset):
            pieces.append(decode(b"".join(pending), charset))
            pending = []
        if between.strip() or not end:
            pieces.append(between)
        charset = label
        pending.append(_word_bytes(match["how"], match["body"]))
        end = match.end()
    if pending:
        pieces.append(decode(b"".join(pending), charset))
    return "".join([*pieces, value[end:]])


def _word_bytes(how: str, body: str) -> bytes:
    data = body.encode("utf-8", "surrogatepass")
    if how in "qQ":
        return binascii.a2b_qp(data.replace(b"_", b"=20"))
    return from_base64(data)


def from_base64(data: bytes) -> bytes:
    """Base64 as it comes: characters that do not belong are skipped, missing padding is added, a torn end is dropped."""
    clean = re.sub(rb"[^A-Za-z0-9+/]", b"", data.replace(b"-", b"+").replace(b"_", b"/") if b"+" not in data and b"/" not in data else data)
    if len(clean) % 4 == 1:
        clean = clean[:-1]
    try:
        return base64.b64decode(clean + b"=" * (-len(clean) % 4))
    except (binascii.Error, ValueError):
        return b""


def visible(text: str, limit: int) -> str:
    """One line without invisible characters: for names and subjects, which stand beside what we vouch for."""
    return " ".join(_INVISIBLE.sub(" ", text).split())[:limit]


def parameters(value: str) -> tuple[str, dict[str, str]]:
    """``text/plain; charset=x`` as its main value in lower case and its parameters by lower-case name."""
    main, _, _ = value.partition(";")
    sections: dict[str, list[tuple[int, bool, str]]] = {}
    for name, number, encoded, text in _sections(value[len(main) :]):
        sections.setdefault(name, []).append((number, encoded, text))
    return main.strip().lower(), {name: _joined(found) for name, found in sections.items()}


def _sections(rest: str) -> Iterator[tuple[str, int, bool, str]]:
    for match in _PARAMETER.finditer(rest):
        section = _SECTION.fullmatch(match["name"].lower())
        if section is None:
            continue
        text = match["value"].strip()
        if text.startswith('"'):
            text = re.sub(r"\\(.)", r"\1", text.strip('"'), flags=re.DOTALL)
        yield section["name"], int(section["number"] or -1), bool(section["encoded"]), text


def _joined(found: list[tuple[int, bool, str]]) -> str:
    """The sections of one parameter; percent-encoded ones are joined as bytes, so that a character may be cut in two."""
    # ``filename="f_r"; filename*=utf-8''f%C3%BCr`` says the same twice, the second time rightly (RFC 6266, 4.3).
    found = [one for one in found if one[0] < 0 and one[1]][:1] or sorted(found, key=lambda section: section[0])
    if not any(encoded for _, encoded, _ in found):
        return decode_words("".join(text for _, _, text in found))
    charset = ""
    data = b""
    for index, (_, encoded, text) in enumerate(found):
        body = text
        if index == 0 and encoded and text.count("'") >= 2:
            charset, _, body = text.split("'", 2)
        data += unquote_to_bytes(body) if encoded else body.encode("utf-8", "surrogatepass")
    return decode(data, charset)
