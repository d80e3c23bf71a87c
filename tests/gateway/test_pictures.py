"""Photos lose where and with what they were taken, and nothing else; what unpacks to too much is no picture."""

import struct
import time
import zlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.files import UNKNOWN_TYPE, FileStore
from gateway.pictures import MAX_FRAMES, MAX_PIXELS, frames, pixels, without_metadata
from tests.support.pictures import FRAME, LOOP, PLACE, gif, jpeg, moving, picture, png, segment, tiff, webp


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[FileStore]:
    files = FileStore(tmp_path)
    yield files
    await files.close()


def test_a_jpeg_keeps_its_picture_its_colours_and_which_side_is_up() -> None:
    profile = segment(0xE2, b"ICC_PROFILE\0\x01\x01colours")
    adobe = segment(0xEE, b"Adobe\0d\0\0\0\0\0")
    dirty = jpeg(
        segment(0xE1, b"Exif\0\0" + tiff(orientation=6)),
        segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0<x>" + PLACE),
        profile,
        segment(0xE2, b"MPF\0" + PLACE),
        segment(0xED, b"Photoshop 3.0\0" + PLACE),
        adobe,
        segment(0xFE, PLACE),
        after=jpeg(segment(0xE1, b"Exif\0\0" + tiff(orientation=1))) + PLACE,
    )
    clean = without_metadata(dirty, "image/jpeg")
    assert clean is not None
    assert PLACE not in clean
    small = segment(0xE1, b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0")
    assert clean == jpeg(small, profile, adobe)
    assert without_metadata(clean, "image/jpeg") is None
    assert pixels(clean, "image/jpeg") == pixels(dirty, "image/jpeg") == 320 * 200


def test_a_jpeg_without_its_end_or_with_rubbish_between_is_cleaned_too() -> None:
    whole = jpeg(segment(0xFE, PLACE))
    for dirty in (whole[:-2], whole.replace(b"\xff\xfe", b"\x00\x00\xff\xff\xfe")):
        clean = without_metadata(dirty, "image/jpeg")
        assert clean is not None
        assert PLACE not in clean
        assert jpeg().startswith(clean)


def test_a_progressive_jpeg_keeps_all_its_scans() -> None:
    scans = (
        segment(0xDA, b"\x01\x01\0\0\x3f\0")
        + b"\xff\0\xff\xd0abc"
        + segment(0xC4, b"table")
        + segment(0xDA, b"\x01\x01\0\0\x3f\0")
        + b"more"
    )
    dirty = jpeg(segment(0xFE, PLACE), scans=scans)
    assert without_metadata(dirty, "image/jpeg") == jpeg(scans=scans)


def test_a_png_keeps_what_it_looks_like() -> None:
    kept = [(b"iCCP", b"p\0\0x"), (b"pHYs", b"\0" * 9), (b"tRNS", b"\0")]
    dirty = png(
        1, 1, *kept, (b"tEXt", b"Comment\0" + PLACE), (b"iTXt", PLACE), (b"eXIf", tiff(orientation=1)), (b"caBX", PLACE), after=PLACE
    )
    assert without_metadata(dirty, "image/png") == png(1, 1, *kept)
    turned = without_metadata(png(1, 1, (b"eXIf", tiff(orientation=8))), "image/png")
    assert turned is not None
    assert PLACE not in turned
    assert b"\x01\x12\0\x03\0\0\0\x01\0\x08" in turned
    place = turned.index(b"eXIf")
    (length,) = struct.unpack(">I", turned[place - 4 : place])
    assert struct.unpack(">I", turned[place + 4 + length :][:4])[0] == zlib.crc32(turned[place : place + 4 + length])


def test_a_webp_keeps_its_frames_and_tells_no_lies() -> None:
    extended = b"\x2c\0\0\0" + (99).to_bytes(3, "little") + (49).to_bytes(3, "little")
    dirty = webp((b"VP8X", extended), (b"ICCP", b"abc"), (b"VP8 ", b"frame"), (b"EXIF", tiff(orientation=1)), (b"XMP ", PLACE), after=PLACE)
    assert without_metadata(dirty, "image/webp") == webp((b"VP8X", b"\x20" + extended[1:]), (b"ICCP", b"abc"), (b"VP8 ", b"frame"))
    turned = without_metadata(webp((b"VP8X", extended), (b"VP8 ", b"frame"), (b"EXIF", tiff(orientation=3))), "image/webp")
    assert turned is not None
    assert turned[20] == 0x28
    assert PLACE not in turned


def test_a_gif_keeps_its_frames_and_how_often_they_are_shown() -> None:
    comment = b"\x21\xfe" + bytes([len(PLACE)]) + PLACE + b"\0"
    xmp = b"\x21\xff\x0bXMP DataXMP" + bytes([len(PLACE)]) + PLACE + b"\0"
    coloured = FRAME.replace(b"\x01\0\x01\0\0", b"\x01\0\x01\0\x80" + b"abcdef")
    dirty = gif(LOOP, comment, FRAME, xmp, coloured, after=PLACE)
    assert without_metadata(dirty, "image/gif") == gif(LOOP, FRAME, coloured)
    assert without_metadata(gif(LOOP, FRAME), "image/gif") is None
    assert frames(dirty, "image/gif") == 2


@pytest.mark.parametrize(
    ("few", "many"),
    [
        (gif(LOOP, *[FRAME] * MAX_FRAMES), gif(LOOP, *[FRAME] * (MAX_FRAMES + 1))),
        (gif(FRAME), gif(*[FRAME] * 200_000)),
        (gif(FRAME, b"?"), gif(*[FRAME] * 200, b"?")),
        (moving("PNG", MAX_FRAMES), png(1, 1, (b"acTL", struct.pack(">II", 10_000, 0)))),
        (moving("WEBP", MAX_FRAMES), webp((b"VP8X", b"\0" * 10), *[(b"ANMF", b"x")] * 10_000)),
    ],
    ids=["gif", "endless gif", "damaged gif", "png", "webp"],
)
async def test_a_moving_picture_without_an_end_is_a_download(store: FileStore, few: bytes, many: bytes) -> None:
    assert (await store.save(few)).mime.startswith("image/")
    saved = await store.save(many)
    assert saved.mime == UNKNOWN_TYPE
    assert await store.read(saved.sha256) == many


@pytest.mark.parametrize("mime", ["image/jpeg", "image/png", "image/webp", "image/gif", "application/pdf"])
def test_rubbish_is_left_alone(mime: str) -> None:
    whole = {"image/jpeg": jpeg(segment(0xFE, PLACE)), "image/png": png(1, 1, (b"tEXt", PLACE)), "image/webp": webp((b"VP8 ", b"x" * 20))}
    whole["image/gif"] = gif(LOOP, FRAME, b"\x21\xfe\x03abc\0")
    data = whole.get(mime, b"%PDF-1.7")
    for size in range(len(data)):
        for cut in (data[:size], data[:size] + b"\xff" * 9, data[:size] + b"\0" * 20):
            without_metadata(cut, mime)
            pixels(cut, mime)
            frames(cut, mime)
    assert without_metadata(b"", mime) is None


@pytest.mark.parametrize(
    ("data", "mime", "size"),
    [
        (png(50_000, 50_000), "image/png", 2_500_000_000),
        (jpeg(width=65_535, height=65_535), "image/jpeg", 65_535**2),
        (b"GIF89a" + struct.pack("<HH", 65_535, 65_535) + b"\0\0\0;", "image/gif", 65_535**2),
        (webp((b"VP8X", b"\0\0\0\0" + b"\xff\xff\xff\xff\xff\xff")), "image/webp", 2**48),
        (webp((b"VP8L", b"\x2f" + (16_383 | 16_383 << 14).to_bytes(4, "little"))), "image/webp", 16_384**2),
        (webp((b"VP8 ", b"\0\0\0\x9d\x01\x2a" + struct.pack("<HH", 16_383, 16_383))), "image/webp", 16_383**2),
    ],
)
async def test_a_picture_that_unpacks_to_too_much_is_a_download(store: FileStore, data: bytes, mime: str, size: int) -> None:
    assert pixels(data, mime) == size > MAX_PIXELS
    saved = await store.save(data)
    assert saved.mime == UNKNOWN_TYPE
    assert await store.read(saved.sha256) == data


@pytest.mark.parametrize(
    ("data", "mime"),
    [
        (b"\xff\xd8" + b"\xff\xe1\0\x02" * 1_000_000 + jpeg(width=65_535, height=65_535)[2:], "image/jpeg"),
        (png(1, 1, *[(b"tEXt", b"")] * 200_000), "image/png"),
        (webp((b"VP8 ", b"\0" * 10), *[(b"XMP ", b"")] * 200_000), "image/webp"),
    ],
    ids=["jpeg", "png", "webp"],
)
def test_a_picture_of_endless_pieces_costs_little(data: bytes, mime: str) -> None:
    # Of the processor, which others use, too.
    began = time.process_time()
    assert without_metadata(data, mime) is None
    assert pixels(data, mime) < MAX_PIXELS or mime == "image/jpeg"
    assert time.process_time() - began < 5
    # How large it is cannot be told in time: then it is not shown.
    assert mime != "image/jpeg" or pixels(data, mime) > MAX_PIXELS


async def test_what_fits_is_a_picture(store: FileStore) -> None:
    assert (await store.save(picture(size=(8000, 5000)))).mime == "image/png"
    assert (await store.save(picture(size=(8000, 5001)))).mime == UNKNOWN_TYPE


async def test_only_uploads_are_changed_and_the_same_upload_is_the_same_file(tmp_path: Path, store: FileStore) -> None:
    dirty = jpeg(segment(0xFE, PLACE))

    async def chunks() -> AsyncIterator[bytes]:
        for place in range(0, len(dirty), 10):
            yield dirty[place : place + 10]

    first, second = await store.save_stream(chunks(), 10_000), await store.save_stream(chunks(), 10_000)
    assert first == second
    assert (await store.read(first.sha256), first.size, first.mime) == (jpeg(), len(jpeg()), "image/jpeg")
    assert await store.read((await store.save(dirty)).sha256) == dirty
    assert not list((tmp_path / "incoming").iterdir())
