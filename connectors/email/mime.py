"""A mail's tree, in bounded time: one pass per level, hard limits on depth, parts and headers.

The standard library's parser takes twenty seconds for a hundred thousand parts and recurses a thousand deep; this one
refuses both at once. It never fails on odd input, only on too much of it.
"""

import binascii
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from connectors.email.charset import decode
from connectors.email.words import from_base64, parameters, raw_text
from connectors.errors import BadPayload

MAX_DEPTH: Final = 30
MAX_PARTS: Final = 200
MAX_HEADERS: Final = 500
#: Bytes of all headers of one part.
MAX_HEADER_BYTES: Final = 512 * 1024

_END_OF_HEADERS: Final = re.compile(rb"\r?\n(?=\r?\n)|\A(?=\r?\n)")
_HEADER: Final = re.compile(rb"(?P<name>[!-9;-~]{1,200})[ \t]*:(?P<value>.*)", re.DOTALL)
_FOLD: Final = re.compile(rb"\r?\n(?![ \t])")
_UUENCODED: Final = re.compile(
    rb"(?m)^begin [0-7]{3,4} (?P<name>[^\r\n]{1,255})\r?\n(?P<body>(?:[ -`]{1,90}\r?\n)*?)(?:`?\r?\n)?end[ \t]*\r?$"
)


@dataclass(frozen=True)
class Part:
    """One node: headers in their order (names in lower case), the raw body, and children if it is a multipart."""

    headers: tuple[tuple[str, bytes], ...]
    body: bytes
    children: tuple["Part", ...] = ()
    #: Numbers from the root, ``1.2``: how a file is found again. The root's is empty.
    path: str = ""
    _parameters: Mapping[str, str] = field(default_factory=dict)

    def all(self, name: str) -> list[bytes]:
        """Raw values of every header of this name, topmost first."""
        return [value for key, value in self.headers if key == name]

    def text(self, name: str) -> str:
        """The first header of this name, unfolded but with its encoded words; empty if there is none."""
        values = self.all(name)
        if not values:
            return ""
        value = values[0]
        return raw_text(value, "" if value.isascii() or name == "content-type" else self._charset)

    @cached_property
    def _charset(self) -> str:
        """What the text parts say."""
        return next((found for part in self.walk() if (found := part.type_parameters.get("charset", ""))), "")

    @cached_property
    def _type(self) -> tuple[str, dict[str, str]]:
        main, found = parameters(self.text("content-type"))
        return (main if re.fullmatch(r"[\w!#$&^.+-]+/[\w!#$&^.+-]+", main) else "text/plain" if not main else main.split("/")[0]), found

    @property
    def mime(self) -> str:
        """``type/subtype``; ``text/plain`` where nothing is said."""
        return self._type[0]

    @property
    def type_parameters(self) -> Mapping[str, str]:
        return self._type[1]

    @cached_property
    def disposition(self) -> tuple[str, dict[str, str]]:
        """``inline`` or ``attachment`` or empty, and its parameters."""
        return parameters(self.text("content-disposition"))

    @property
    def file_name(self) -> str:
        return self.disposition[1].get("filename") or self.type_parameters.get("name") or ""

    @cached_property
    def content(self) -> bytes:
        """The body out of its transport encoding; what cannot be decoded is left as it is."""
        how = self.text("content-transfer-encoding").split(";")[0].strip().lower()
        if how == "base64":
            return from_base64(self.body)
        if how == "quoted-printable":
            return binascii.a2b_qp(self.body)
        if how in {"x-uuencode", "uuencode", "x-uue", "uue"}:
            found = list(uuencoded(self.body))
            return found[0][1] if found else self.body
        return self.body

    def decoded(self) -> str:
        """The content as text. UTF-7 is never taken for HTML: it hides tags from everybody who looks."""
        label = self.type_parameters.get("charset", "")
        if self.mime == "text/html" and "utf-7" in label.lower():
            label = ""
        if not label and self.mime == "text/html" and (said := re.search(rb"charset=[\"']?([\w-]{2,30})", self.content[:2048])):
            label = said[1].decode("ascii")
            label = "" if "utf-7" in label.lower() or "utf-16" in label.lower() else label
        return decode(self.content, label)

    def walk(self) -> Iterator["Part"]:
        """This part and all below it, in their order."""
        yield self
        for child in self.children:
            yield from child.walk()


class _Budget:
    def __init__(self) -> None:
        self.parts = 0

    def spend(self) -> None:
        self.parts += 1
        if self.parts > MAX_PARTS:
            raise BadPayload(f"the mail has more than {MAX_PARTS} parts")


def parse_mime(raw: bytes) -> Part:
    """The tree of a mail. Raises :class:`BadPayload` if it is deeper, wider or has more headers than any honest mail."""
    if raw.startswith(b"From "):
        # An mbox line before the first header.
        raw = raw.partition(b"\n")[2]
    return _part(raw, "", 0, _Budget(), "")


def _part(raw: bytes, path: str, depth: int, budget: _Budget, kind: str) -> Part:
    budget.spend()
    if depth > MAX_DEPTH:
        raise BadPayload(f"the mail's parts lie more than {MAX_DEPTH} deep")
    headers, body = split_headers(raw)
    part = Part(headers=headers, body=body, path=path)
    mime = part.mime if part.all("content-type") else kind or part.mime
    boundary = part.type_parameters.get("boundary", "")
    if not mime.startswith("multipart") or not boundary:
        return part
    default = "message/rfc822" if mime == "multipart/digest" else ""
    pieces = _pieces(body, boundary)
    children = tuple(
        _part(piece, f"{path}.{number}" if path else str(number), depth + 1, budget, default) for number, piece in enumerate(pieces, 1)
    )
    return Part(headers=headers, body=body, children=children, path=path)


def split_headers(raw: bytes) -> tuple[tuple[tuple[str, bytes], ...], bytes]:
    """Headers and body. What is no header ends them: then the body begins there."""
    end = _END_OF_HEADERS.search(raw, 0, MAX_HEADER_BYTES)
    if end is None and len(raw) > MAX_HEADER_BYTES:
        raise BadPayload(f"the headers are longer than {MAX_HEADER_BYTES} bytes")
    head, body = (raw, b"") if end is None else (raw[: end.start()], raw[end.end() :])
    body = body[2:] if body.startswith(b"\r\n") else body[1:] if body.startswith(b"\n") else body
    found: list[tuple[str, bytes]] = []
    for line in _FOLD.split(head) if head else ():
        match = _HEADER.fullmatch(line)
        if match is not None:
            found.append((match["name"].decode("ascii").lower(), match["value"].strip()))
        elif line.strip() and not found:
            return (), raw
        if len(found) > MAX_HEADERS:
            raise BadPayload(f"the mail has more than {MAX_HEADERS} headers")
    return tuple(found), body


def _pieces(body: bytes, boundary: str) -> Iterator[bytes]:
    """What stands between the boundary lines; a missing last one ends at the end."""
    mark = boundary.encode("utf-8", "surrogatepass")[:200]
    line = re.compile(rb"(?:\A|\r?\n)--" + re.escape(mark.rstrip()) + rb"(?P<last>--)?[ \t]*(?=\r?\n|\Z)")
    start = -1
    for match in line.finditer(body):
        if start >= 0:
            yield body[start : match.start()]
        if match["last"]:
            return
        start = match.end()
        start += 2 if body.startswith(b"\r\n", start) else 1
    if start >= 0:
        yield body[start:]


def uuencoded(body: bytes) -> Iterator[tuple[str, bytes]]:
    """Files that stand uuencoded within a text, by name."""
    for match in _UUENCODED.finditer(body):
        data = bytearray()
        for line in match["body"].splitlines():
            try:
                data += binascii.a2b_uu(line)
            except binascii.Error:
                # Some encoders pad wrongly: the length is in the first character.
                size = (((line[0] - 32) & 63) * 4 + 5) // 3
                try:
                    data += binascii.a2b_uu(line[:size])
                except binascii.Error:
                    break
        yield raw_text(match["name"]), bytes(data)


def without_uuencoded(text: str) -> str:
    """The text around them."""
    return re.sub(r"(?ms)^begin [0-7]{3,4} [^\r\n]{1,255}\r?\n(?:[ -`]{1,90}\r?\n)*?(?:`?\r?\n)?end[ \t]*\r?$", "", text)
