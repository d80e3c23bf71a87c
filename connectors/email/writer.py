"""A mail as bytes. Pure: the boundary comes from the Message-ID, so the same mail is the same bytes at every try."""

import base64
import hashlib
import quopri
import re
from collections.abc import Sequence
from typing import Final
from urllib.parse import quote

from connectors.contract import Upload
from connectors.email.outbound import Mail
from connectors.http import header_safe

#: RFC 5322, 2.1.1, without the line's end: should, and must.
_NICE: Final = 76
_LONGEST: Final = 998


def write_mail(mail: Mail, files: Sequence[tuple[Upload, bytes]]) -> bytes:
    """The whole mail, with CRLF. Headers were checked for line breaks by ``render``."""
    headers = [fold(name, value) for name, value in mail.headers]
    headers.append("MIME-Version: 1.0")
    text = _text(mail.text)
    if not files:
        return _joined(headers) + text
    name = dict(mail.headers).get("Message-ID", "")
    boundary = "=_" + hashlib.blake2b(name.encode(), digest_size=16).hexdigest()
    headers.append(f'Content-Type: multipart/mixed; boundary="{boundary}"')
    mark = f"--{boundary}".encode()
    pieces = [_joined([*headers, ""]), mark, b"\r\n", text, b"\r\n"]
    for upload, data in files:
        pieces += [mark, b"\r\n", _file(upload, data)]
    return b"".join([*pieces, mark, b"--\r\n"])


def fold(name: str, value: str) -> str:
    """A header in lines of at most ``_NICE`` characters where it has spaces, and never over ``_LONGEST``."""
    lines: list[str] = []
    line = f"{name}:"
    for word in value.split(" "):
        if len(line) + 1 + len(word) > _NICE and line != f"{name}:" and line.strip():
            lines.append(line)
            line = ""
        line += f" {word}"
    lines.append(line)
    return "\r\n".join(piece for line in lines for piece in _cut(line))


def _cut(line: str) -> list[str]:
    return [line] if len(line) <= _LONGEST else [line[:_LONGEST], *_cut(" " + line[_LONGEST:])]


def _joined(lines: Sequence[str]) -> bytes:
    return "\r\n".join([*lines, ""]).encode("utf-8")


def _text(text: str) -> bytes:
    body = text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "\ufffd")
    data = body.encode("utf-8", "replace")
    if body.isascii() and all(len(line) <= _NICE + 2 for line in body.split("\n")):
        how, written = "7bit", data
    else:
        how, written = "quoted-printable", quopri.encodestring(data, quotetabs=False)
    head = f"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: {how}\r\n\r\n".encode()
    return head + re.sub(rb"\r?\n", b"\r\n", written) + b"\r\n"


def _file(upload: Upload, data: bytes) -> bytes:
    name = header_safe(upload.name).replace("\x7f", "_") or "file"
    plain = re.sub(r'[^\x20-\x7e]|["\\]', "_", name)
    said = f'filename="{plain}"' if plain == name else f"filename=\"{plain}\"; filename*=utf-8''{quote(name, safe='')}"
    # A mail within a mail must not be base64 by the standard; as plain bytes it survives everywhere.
    mime = "application/octet-stream" if upload.mime.startswith(("message/", "multipart/")) else upload.mime
    head = [fold("Content-Type", mime), "Content-Transfer-Encoding: base64", fold("Content-Disposition", f"attachment; {said}"), ""]
    return "\r\n".join(head).encode() + b"\r\n" + base64.encodebytes(data).replace(b"\n", b"\r\n")
