"""``winmail.dat``: Outlook's own envelope around files. Only files and a plain body are taken out; the rest is formatting.

Source: [MS-OXTNEF] 2.1, read 2026-11: signature, key, then attributes (level, id, length, data, checksum).
"""

import struct
from enum import IntEnum
from typing import Final

from msgspec import Struct

from connectors.email.charset import decode

_SIGNATURE: Final = 0x223E9F78
#: MAPI: PR_ATTACH_LONG_FILENAME, PR_ATTACH_MIME_TAG, as ANSI and as Unicode text.
_LONG_NAME: Final = 0x3707
_MIME_TAG: Final = 0x370E
_ANSI, _UNICODE = 0x001E, 0x001F
MAX_FILES: Final = 100
_MAX_PROPERTIES: Final = 500

#: Bytes of a property's value by type; the others have a length of their own.
_FIXED: Final = {0x0002: 4, 0x0003: 4, 0x0004: 4, 0x0005: 8, 0x0006: 8, 0x0007: 8, 0x000A: 4, 0x000B: 4, 0x0014: 8, 0x0040: 8, 0x0048: 16}
_SIZED: Final = frozenset({0x000D, 0x001E, 0x001F, 0x0102})


class TnefId(IntEnum):
    """Attributes that are read."""

    BODY = 0x0002800C
    #: Begins a file.
    RENDER = 0x00069002
    TITLE = 0x00018010
    DATA = 0x0006800F
    PROPERTIES = 0x00069005
    CODE_PAGE = 0x00069007


class TnefFile(Struct, frozen=True):
    """A file within."""

    name: str
    data: bytes
    mime: str = ""


class Tnef(Struct, frozen=True):
    """What a ``winmail.dat`` held."""

    files: tuple[TnefFile, ...]
    body: str = ""


def read_tnef(data: bytes) -> Tnef | None:
    """Its contents; None if it is no TNEF. What is cut off is left out."""
    if len(data) < 6 or struct.unpack_from("<I", data)[0] != _SIGNATURE:
        return None
    files: list[TnefFile] = []
    body, page, offset = "", "windows-1252", 6
    while offset + 9 <= len(data) and len(files) <= MAX_FILES:
        kind, size = struct.unpack_from("<II", data, offset + 1)
        value = data[offset + 9 : offset + 9 + size]
        offset += 9 + size + 2
        if len(value) < size:
            break
        match kind:
            case TnefId.CODE_PAGE if len(value) >= 4:
                page = f"cp{struct.unpack_from('<I', value)[0]}"
            case TnefId.BODY:
                body = decode(value.rstrip(b"\0"), page)
            case TnefId.RENDER:
                files.append(TnefFile("", b""))
            case TnefId.TITLE if files:
                files[-1] = TnefFile(decode(value.rstrip(b"\0"), page), files[-1].data, files[-1].mime)
            case TnefId.DATA if files:
                files[-1] = TnefFile(files[-1].name, value, files[-1].mime)
            case TnefId.PROPERTIES if files:
                name, mime = _names(value, page)
                files[-1] = TnefFile(name or files[-1].name, files[-1].data, mime)
    return Tnef(tuple(one for one in files[:MAX_FILES] if one.data), body)


def _names(data: bytes, page: str) -> tuple[str, str]:
    """The long name and the media type among an attachment's properties; each empty if absent or out of reach."""
    found: dict[int, str] = {}
    if len(data) < 4:
        return "", ""
    count, offset = struct.unpack_from("<I", data)[0], 4
    for _ in range(min(count, _MAX_PROPERTIES)):
        if offset + 4 > len(data):
            break
        kind, id_ = struct.unpack_from("<HH", data, offset)
        offset += 4
        if id_ >= 0x8000:
            # Named properties carry their name before the value: none of ours comes after one.
            break
        if kind in _FIXED:
            offset += _FIXED[kind]
        elif kind in _SIZED and offset + 8 <= len(data):
            size = struct.unpack_from("<I", data, offset + 4)[0]
            value = data[offset + 8 : offset + 8 + size]
            offset += 8 + size + (-size % 4)
            if id_ in (_LONG_NAME, _MIME_TAG):
                found[id_] = decode(value, "utf-16-le").strip("\ufffd") if kind == _UNICODE else decode(value.rstrip(b"\0"), page)
        else:
            break
    return found.get(_LONG_NAME, ""), found.get(_MIME_TAG, "")
