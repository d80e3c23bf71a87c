"""Pictures, without ever decoding one: how large they say they are, and what their maker wrote into them beside the picture.

A photo tells where and with what it was taken. :func:`without_metadata` copies the picture's own bytes as they are and leaves
the rest out: the place, the camera, the comments, previews, and whatever follows the picture's end. Two things stay because the picture
would look different without them: its colours and which side is up.

Sources: ITU-T T.81 and Exif 2.32 for JPEG, www.w3.org/TR/png-3, www.w3.org/Graphics/GIF/spec-gif89a.txt,
developers.google.com/speed/webp/docs/riff_container, read 2026-11.
"""

import re
import struct
import zlib
from collections.abc import Iterator
from itertools import count
from mmap import mmap
from typing import Final

Bytes = bytes | mmap

#: A browser needs four bytes for each: a bomb unpacks to far more than it weighs.
MAX_PIXELS: Final = 40_000_000
#: Of a moving picture; a browser unpacks them over and over.
MAX_FRAMES: Final = 100
#: Segments or chunks; honest pictures have some thousands at most.
_MOST_PIECES: Final = 100_000

#: 0xFF and what is neither an escaped data byte nor a restart: the next marker, also behind rubbish.
_MARKER: Final = re.compile(rb"\xff+([\x01-\xcf\xd8-\xfe])")
#: Start of frame; C4, C8 and CC are something else.
_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_ALONE: Final = frozenset({0x01, 0xD8})
_END: Final = 0xD9
_SCAN: Final = 0xDA
_EXIF: Final = b"Exif\0\0"
#: Chunks that a picture needs to look as it should; all others (``tEXt``, ``eXIf``, ``tIME``, private ones) say something beside it.
_PNG_KEPT: Final = frozenset(b"IHDR PLTE IDAT IEND tRNS gAMA cHRM sRGB iCCP sBIT bKGD pHYs sPLT hIST acTL fcTL fdAT cICP mDCV cLLI".split())
_WEBP_KEPT: Final = frozenset({b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF", b"ICCP"})
_WEBP_EXIF_FLAG: Final = 0x08
_WEBP_XMP_FLAG: Final = 0x04
_GIF_IMAGE: Final = 0x2C
_GIF_EXTENSION: Final = 0x21
_GIF_TRAILER: Final = 0x3B
_GIF_CONTROL: Final = 0xF9
_GIF_APPLICATION: Final = 0xFF
#: How often it is shown; all other applications' blocks, comments and plain texts say something beside the picture.
_GIF_LOOPS: Final = frozenset({b"NETSCAPE2.0", b"ANIMEXTS1.0"})
_ORIENTATION: Final = 0x0112
_SHORT: Final = 3


class _Unreadable(Exception):
    """Not built as its type is."""


class _Endless(_Unreadable):
    """Built of more pieces than any picture."""


def pixels(data: Bytes, mime: str) -> int:
    """Width x height as the header says; 0 if it does not say, and more than allowed if it takes too long to find out."""
    try:
        match mime:
            case "image/png":
                width, height = struct.unpack(">II", data[16:24]) if data[12:16] == b"IHDR" else (0, 0)
            case "image/gif":
                width, height = struct.unpack("<HH", data[6:10])
            case "image/jpeg":
                width, height = _jpeg_size(data)
            case "image/webp":
                width, height = _webp_size(data)
            case _:
                return 0
    except _Endless:
        return MAX_PIXELS + 1
    except (struct.error, _Unreadable):
        return 0
    return int(width * height)


def frames(data: Bytes, mime: str) -> int:
    """How many pictures it shows one after another, as far as it can be read; more than allowed if that takes too long to find out."""
    found = 0
    try:
        for number in _frames(data, mime):
            found += number
    except _Endless:
        return MAX_FRAMES + 1
    except (struct.error, IndexError, _Unreadable):
        # A browser shows what comes before the damage.
        pass
    return found


def _frames(data: Bytes, mime: str) -> Iterator[int]:
    match mime:
        case "image/gif":
            yield from (data[start] == _GIF_IMAGE for start, _ in _gif_blocks(data))
        case "image/webp":
            yield from (name == b"ANMF" for name, _ in _webp_chunks(data))
        case "image/png":
            yield from (struct.unpack(">I", data[start + 8 : start + 12])[0] for name, start, _ in _png_chunks(data) if name == b"acTL")


def without_metadata(data: Bytes, mime: str) -> bytes | None:
    """The same picture without what is written beside it; None if there is nothing to leave out, or it is built in no way that we know."""
    try:
        match mime:
            case "image/jpeg":
                cleaned = b"".join(_jpeg(data))
            case "image/png":
                cleaned = b"".join(_png(data))
            case "image/webp":
                cleaned = _webp(data)
            case "image/gif":
                cleaned = b"".join(_gif(data))
            case _:
                return None
    except (struct.error, IndexError, _Unreadable):
        return None
    return None if len(cleaned) == len(data) and cleaned == data[:] else cleaned


# --- JPEG --------------------------------------------------------------------------------------------------------------


def _jpeg_segments(data: Bytes) -> Iterator[tuple[int, int, int]]:
    """(marker, start, end) of each segment up to the picture's end; what is compressed belongs to its scan. Raises _Unreadable."""
    place = 0
    pieces = count()
    while found := _MARKER.search(data, place):
        if next(pieces) > _MOST_PIECES:
            raise _Endless
        marker, start = found[1][0], found.end() - 2
        if marker in _ALONE:
            place = found.end()
            yield marker, start, place
            continue
        if marker == _END:
            yield marker, start, found.end()
            return
        (length,) = struct.unpack(">H", data[found.end() : found.end() + 2])
        end = found.end() + length
        if length < 2 or end > len(data):
            raise _Unreadable
        if marker == _SCAN:
            following = _MARKER.search(data, end)
            end = following.start() if following else len(data)
        yield marker, start, end
        place = end


def _jpeg_size(data: Bytes) -> tuple[int, int]:
    for marker, start, end in _jpeg_segments(data):
        if marker in _FRAMES and end - start >= 9:
            height, width = struct.unpack(">HH", data[start + 5 : start + 9])
            return width, height
    return 0, 0


def _jpeg(data: Bytes) -> Iterator[bytes]:
    turned = False
    scanned = False
    for marker, start, end in _jpeg_segments(data):
        segment = data[start:end]
        scanned = scanned or marker == _SCAN
        if marker == 0xE1 and segment[4:10] == _EXIF and not turned:
            if tiff := _only_orientation(segment[10:]):
                turned = True
                yield b"\xff\xe1" + struct.pack(">H", 2 + len(_EXIF) + len(tiff)) + _EXIF + tiff
        elif marker not in range(0xE1, 0xF0) and marker != 0xFE:
            yield segment
        elif marker == 0xEE or (marker == 0xE2 and segment[4:16] == b"ICC_PROFILE\0"):
            # Which colours its numbers mean.
            yield segment
    if not scanned:
        raise _Unreadable


# --- PNG ---------------------------------------------------------------------------------------------------------------


def _png_chunks(data: Bytes) -> Iterator[tuple[bytes, int, int]]:
    """(name, start, end) of each chunk up to the picture's end. Raises _Unreadable, struct.error."""
    place, name = 8, b""
    pieces = count()
    while name != b"IEND":
        if next(pieces) > _MOST_PIECES:
            raise _Endless
        length, name = struct.unpack(">I4s", data[place : place + 8])
        end = place + 12 + length
        if end > len(data) or not name.isalpha():
            raise _Unreadable
        yield name, place, end
        place = end


def _png(data: Bytes) -> Iterator[bytes]:
    yield data[:8]
    for name, start, end in _png_chunks(data):
        if name in _PNG_KEPT:
            yield data[start:end]
        elif name == b"eXIf" and (tiff := _only_orientation(data[start + 8 : end - 4])):
            body = name + tiff
            yield struct.pack(">I", len(tiff)) + body + struct.pack(">I", zlib.crc32(body))


# --- GIF ---------------------------------------------------------------------------------------------------------------


def _gif_blocks(data: Bytes) -> Iterator[tuple[int, int]]:
    """(start, end) of each block behind the head, the trailer last. Raises _Unreadable, struct.error, IndexError."""
    place = _gif_head(data)
    pieces = count()
    while True:
        start, kind = place, data[place]
        if kind == _GIF_TRAILER:
            yield start, start + 1
            return
        if kind == _GIF_IMAGE:
            colours = data[start + 9]
            place = start + 11 + (3 << (colours & 7) + 1 if colours & 0x80 else 0)
        elif kind == _GIF_EXTENSION:
            place = start + 2
        else:
            raise _Unreadable
        while length := data[place]:
            if next(pieces) > _MOST_PIECES:
                raise _Endless
            place += 1 + length
        if next(pieces) > _MOST_PIECES:
            raise _Endless
        place += 1
        yield start, place


def _gif_head(data: Bytes) -> int:
    """How long it is: size, and the colours that all frames share."""
    colours = data[10]
    return 13 + (3 << (colours & 7) + 1 if colours & 0x80 else 0)


def _gif(data: Bytes) -> Iterator[bytes]:
    yield data[: _gif_head(data)]
    for start, end in _gif_blocks(data):
        plain = data[start] != _GIF_EXTENSION or data[start + 1] == _GIF_CONTROL
        loops = data[start + 1] == _GIF_APPLICATION and data[start + 3 : start + 14] in _GIF_LOOPS
        if plain or loops:
            yield data[start:end]


# --- WebP --------------------------------------------------------------------------------------------------------------


def _webp_chunks(data: Bytes) -> Iterator[tuple[bytes, bytes]]:
    """(name, content) of each chunk. Raises _Unreadable."""
    (size,) = struct.unpack("<I", data[4:8])
    place, end = 12, 8 + size
    if end > len(data):
        raise _Unreadable
    pieces = count()
    while place + 8 <= end:
        if next(pieces) > _MOST_PIECES:
            raise _Endless
        name, length = struct.unpack("<4sI", data[place : place + 8])
        if place + 8 + length > end:
            raise _Unreadable
        yield name, data[place + 8 : place + 8 + length]
        place += 8 + length + length % 2


def _webp_size(data: Bytes) -> tuple[int, int]:
    name, body = next(_webp_chunks(data), (b"", b""))
    match name:
        case b"VP8X":
            return 1 + int.from_bytes(body[4:7], "little"), 1 + int.from_bytes(body[7:10], "little")
        case b"VP8L":
            (bits,) = struct.unpack("<I", body[1:5])
            return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
        case b"VP8 ":
            width, height = struct.unpack("<HH", body[6:10])
            return width & 0x3FFF, height & 0x3FFF
        case _:
            return 0, 0


def _webp(data: Bytes) -> bytes:
    kept: list[bytes] = []
    exif = False
    flags = 0
    for name, content in _webp_chunks(data):
        body = content
        if name == b"EXIF":
            body = _only_orientation(content.removeprefix(_EXIF))
            exif = exif or bool(body)
        elif name not in _WEBP_KEPT:
            continue
        elif name == b"VP8X":
            flags = content[0]
        if body:
            kept.append(struct.pack("<4sI", name, len(body)) + body + b"\0" * (len(body) % 2))
    if not kept:
        raise _Unreadable
    if kept[0].startswith(b"VP8X"):
        flags = (flags & ~(_WEBP_EXIF_FLAG | _WEBP_XMP_FLAG)) | (_WEBP_EXIF_FLAG if exif else 0)
        kept[0] = kept[0][:8] + bytes([flags]) + kept[0][9:]
    whole = b"WEBP" + b"".join(kept)
    return b"RIFF" + struct.pack("<I", len(whole)) + whole


# --- Exif --------------------------------------------------------------------------------------------------------------


def _only_orientation(tiff: bytes) -> bytes:
    """An Exif block that says which side is up and nothing else; empty if it is the usual one, or cannot be read."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4], "")
    if not order:
        return b""
    try:
        (place,) = struct.unpack_from(f"{order}I", tiff, 4)
        (count,) = struct.unpack_from(f"{order}H", tiff, place)
        for index in range(count):
            tag, kind, _, value = struct.unpack_from(f"{order}HHIH", tiff, place + 2 + 12 * index)
            if tag == _ORIENTATION and kind == _SHORT and 2 <= value <= 8:
                return b"MM\0*" + struct.pack(">IHHHIHHI", 8, 1, _ORIENTATION, _SHORT, 1, value, 0, 0)
    except struct.error:
        pass
    return b""
