"""Pictures made by hand, with anything written into them."""

import struct
import zlib

#: What must not leave the house.
PLACE = b"GPS 45.4384 N 10.9916 E, camera 0123456789"
_SCAN_HEAD = b"\x01\x01\0\0\x3f\0"


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
    chunks = [(b"IHDR", header), *extra, (b"IDAT", zlib.compress(b"\0\0")), (b"IEND", b"")]
    made = (struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(made) + after


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
