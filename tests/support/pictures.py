"""Pictures: real ones, and such that are made by hand, with anything written into them."""

import io
import struct
import zlib
from typing import Any, Final

from PIL import Image

#: What must not leave the house.
PLACE = b"GPS 45.4384 N 10.9916 E, camera 0123456789"
_SCAN_HEAD = b"\x01\x01\0\0\x3f\0"


def picture(kind: str = "PNG", *, size: tuple[int, int] = (3, 2), colour: tuple[int, int, int] = (200, 30, 60), **saved: Any) -> bytes:
    """A real one. A PNG is the same when the gateway has made it anew; the others are pictures again."""
    out = io.BytesIO()
    Image.new("RGB", size, colour).save(out, kind, **saved)
    return out.getvalue()


def moving(kind: str, frames: int, size: tuple[int, int] = (3, 2), **saved: Any) -> bytes:
    """One of so many frames, each different from the last one, 50 ms each."""
    shown = [Image.new("RGB", size, (number % 2 * 255, number, 0)) for number in range(frames)]
    out = io.BytesIO()
    shown[0].save(out, kind, save_all=True, append_images=shown[1:], **{"duration": 50, "loop": 0, **saved})
    return out.getvalue()


def spelled(text: bytes) -> bytes:
    """A PNG whose colours are these bytes, not packed: they stand in the file."""
    line = text + b"." * (-len(text) % 3)
    header = struct.pack(">IIBBBBB", len(line) // 3, 1, 8, 2, 0, 0, 0)
    return _png((b"IHDR", header), (b"IDAT", zlib.compress(b"\0" + line, 0)), (b"IEND", b""))


def opened(data: bytes) -> Image.Image:
    """It decodes: all of it."""
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


#: For whoever needs any picture.
PNG: Final = picture()


def segment(marker: int, content: bytes) -> bytes:
    """One segment of a JPEG."""
    return bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2) + content


def jpeg(*extra: bytes, width: int = 320, height: int = 200, scans: bytes | None = None, after: bytes = b"") -> bytes:
    """A JPEG whose data would not decode."""
    if scans is None:
        scans = segment(0xDA, _SCAN_HEAD) + b"data\xff\0data\xff\xd0data"
    frame = segment(0xC0, b"\x08" + struct.pack(">HH", height, width) + b"\x01\x01\x11\0")
    head = b"\xff\xd8" + segment(0xE0, b"JFIF\0\x01\x01\0\0\x01\0\x01\0\0")
    return head + b"".join(extra) + segment(0xDB, b"\0" * 65) + frame + scans + b"\xff\xd9" + after


def png(width: int, height: int, *extra: tuple[bytes, bytes], after: bytes = b"") -> bytes:
    """A PNG of one grey line."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return _png((b"IHDR", header), *extra, (b"IDAT", zlib.compress(b"\0\0")), (b"IEND", b"")) + after


def _png(*chunks: tuple[bytes, bytes]) -> bytes:
    made = (struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(made)


def gif(*blocks: bytes, after: bytes = b"") -> bytes:
    """A GIF of two colours with these blocks."""
    return b"GIF89a" + struct.pack("<HH", 1, 1) + b"\x80\0\0" + b"\0\0\0\xff\xff\xff" + b"".join(blocks) + b";" + after


#: One frame of it, of one pixel.
FRAME = b"\x21\xf9\x04\0\x0a\0\0\0" + b"\x2c" + struct.pack("<HHHH", 0, 0, 1, 1) + b"\0\x02\x02\x44\x01\0"
#: It begins again when it is over.
LOOP = b"\x21\xff\x0bNETSCAPE2.0\x03\x01\0\0\0"


def webp(*chunks: tuple[bytes, bytes], after: bytes = b"") -> bytes:
    """A WebP file."""
    made = b"WEBP" + b"".join(struct.pack("<4sI", name, len(body)) + body + b"\0" * (len(body) % 2) for name, body in chunks)
    return b"RIFF" + struct.pack("<I", len(made)) + made + after


def tiff(*, orientation: int) -> bytes:
    """An Exif block, little-endian: which side is up, the camera, and the place."""
    entries = struct.pack("<HHIHH", 0x0112, 3, 1, orientation, 0) + struct.pack("<HHII", 0x010F, 2, len(PLACE), 38)
    return b"II*\0" + struct.pack("<IH", 8, 2) + entries + struct.pack("<I", 0) + PLACE
