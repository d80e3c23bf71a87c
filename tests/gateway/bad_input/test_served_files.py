"""B60-B67: whatever a file claims to be, no browser runs it, shows it by mistake, or gets it without being allowed to."""

import asyncio
from pathlib import Path
from urllib.parse import quote

import pytest

from storage.file import StoredFile
from tests.gateway.web.test_public_files import link
from tests.support.cast import DEADLINE, Answer, Cast
from tests.support.pictures import PLACE, jpeg, png, segment, webp
from tests.support.visitor import upload

SCRIPT = b"<script>alert(1)</script>"
DANGEROUS = {
    "SVG": (b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>', "image/svg+xml", "a.svg"),
    "SVG with parameters": (b"<svg onload='alert(1)'/>", "image/svg+xml; x", "a.svg"),
    "SVG in capitals": (b"<?xml version='1.0'?><svg/>", "IMAGE/SVG+XML", "a.SVG"),
    "HTML": (b"<!doctype html>" + SCRIPT, "text/html", "a.html"),
    "HTML after a blank": (b" \n" + SCRIPT, " text/html", "a.png"),
    "XHTML": (b"<html xmlns='http://www.w3.org/1999/xhtml'/>", "application/xhtml+xml", "a.xhtml"),
    "XML": (b"<?xml version='1.0'?><a/>", "text/xml", "a.xml"),
    "PDF": (b"%PDF-1.7 /JavaScript (app.alert(1))", "application/pdf", "a.pdf"),
    "shortcut": (b"[InternetShortcut]\nURL=javascript:alert(1)", "text/x-url", "a.url"),
    "HTA": (b"<HTA:APPLICATION>", "application/hta", "a.hta"),
    "double extension": (SCRIPT, "image/png", "photo.png.html"),
    "no extension": (SCRIPT, "", "photo"),
    "wrong extension": (SCRIPT, "image/jpeg", "photo.jpg"),
    "a bomb": (png(50_000, 50_000), "image/png", "bomb.png"),
}
POLYGLOTS = {
    "GIF that is a script": (b"GIF89a/*\0\0\0\0\0*/=1;alert(1)//;", "text/javascript", "image/gif"),
    "PNG with a script": (png(1, 1) + SCRIPT, "text/html", "image/png"),
    "JPEG with a script": (jpeg(segment(0xFE, SCRIPT)), "text/html", "image/jpeg"),
    "a corrupt JPEG": (b"\xff\xd8\xff\xe0\0\x10JFIF" + b"\0" * 50, "image/jpeg", "image/jpeg"),
}


async def _kept(cast: Cast, data: bytes, mime: str, name: str) -> str:
    headers = {"Content-Type": mime, "X-File-Name": quote(name)}
    answer = await cast.ada.call("POST", "/media", data, headers={key: value for key, value in headers.items() if value})
    assert answer.status == 201, answer.raw
    return str(answer.json["id"])


async def _served(cast: Cast, file: str) -> list[Answer]:
    """To agents, and to providers by a public link."""
    public = Answer(*await cast.gateway.request("GET", link(cast.gateway.services, file)))
    return [await cast.ada.get(f"/media/{file}"), public]


def _is_harmless(answer: Answer) -> None:
    assert answer.status == 200
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
    assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"


@pytest.mark.parametrize("name", DANGEROUS)
async def test_b60_b61_b62_what_is_no_harmless_picture_is_a_download(stage: Cast, name: str) -> None:
    data, mime, file_name = DANGEROUS[name]
    agents, public = await _served(stage, await _kept(stage, data, mime, file_name))
    for answer in (agents, public):
        _is_harmless(answer)
        assert answer.headers["Content-Disposition"] == f"attachment; filename*=UTF-8''{file_name}"
        assert answer.raw == data
    assert agents.headers["Content-Type"] == "application/octet-stream"
    assert public.headers["Content-Type"] in {"application/octet-stream", "application/pdf"}


@pytest.mark.parametrize("name", POLYGLOTS)
async def test_b61_a_polyglot_is_the_picture_that_it_begins_as(stage: Cast, name: str) -> None:
    """With its type and nosniff it is neither a script nor a page, and what can be taken out of it is."""
    data, claimed, mime = POLYGLOTS[name]
    for answer in await _served(stage, await _kept(stage, data, claimed, "x.html")):
        _is_harmless(answer)
        assert answer.headers["Content-Type"] == mime
        assert SCRIPT not in answer.raw


@pytest.mark.parametrize("who", ["agent", "visitor"])
@pytest.mark.parametrize("data", [jpeg(segment(0xE1, PLACE)), png(1, 1, (b"tEXt", PLACE)), webp((b"VP8 ", b"x"), (b"EXIF", PLACE))])
async def test_b63_a_photo_does_not_tell_where_it_was_taken(stage: Cast, who: str, data: bytes) -> None:
    if who == "agent":
        file = await _kept(stage, data, "image/jpeg", "me.jpg")
    else:
        stage.dan.token = ""
        file = (await upload(stage.dan, data)).json["id"]
    stored = await stage.gateway.services.store.view(lambda tx: tx.files.get(file))
    assert stored is not None
    kept = await stage.gateway.services.files.read(stored.sha256)
    assert PLACE in data
    assert PLACE not in kept
    assert stored.size == len(kept)


@pytest.mark.parametrize(
    ("name", "encoded"),
    [
        ("../../etc/passwd", "passwd"),
        ("..\\..\\a.txt", "a.txt"),
        ("C:\\a.txt", "a.txt"),
        ("con", "_con"),
        ("a\0b", "ab"),
        ("a\r\nSet-Cookie: x=1", "aSet-Cookie%3A%20x%3D1"),
        ('a"; filename=b.exe', "a%22%3B%20filename%3Db.exe"),
        ("photo\u202egnp.exe", "photognp.exe"),
        ("è" * 300, "%C3%A8" * 180 + "%E2%80%A6" + "%C3%A8" * 19),
        ("", None),
        ("..", None),
    ],
)
async def test_b64_a_name_is_no_path_and_no_header(stage: Cast, name: str, encoded: str | None) -> None:
    file = await _kept(stage, b"%PDF-1.7 names", "application/pdf", name)
    for answer in await _served(stage, file):
        assert answer.headers["Content-Disposition"] == f"attachment; filename*=UTF-8''{encoded or file}"
        assert "Set-Cookie" not in answer.headers


async def test_b30_b64_a_name_that_a_provider_brought_is_harmless_too(stage: Cast) -> None:
    services = stage.gateway.services
    saved = await services.files.save(b"%PDF-1.7 brought")
    now, name = services.clock(), "../a\r\nX: y\u202efdp.exe"
    file = StoredFile(id="med_brought", sha256=saved.sha256, mime=saved.mime, name=name, size=1, created_at=now, uploader=stage.ada.id)
    await services.store.transact(lambda tx: tx.files.put(file))
    for answer in await _served(stage, file.id):
        assert answer.headers["Content-Disposition"] == "attachment; filename*=UTF-8''aX%3A%20yfdp.exe"


async def test_b65_half_an_upload_leaves_nothing(stage: Cast) -> None:
    folder = Path(stage.gateway.services.config.data_dir) / "media"
    before = {path for path in folder.rglob("*") if path.is_file()}
    reader, writer = await asyncio.open_connection("127.0.0.1", stage.gateway.port)
    head = f"POST /api/v1/media HTTP/1.1\r\nHost: x\r\nCookie: sportello_session={stage.ada.cookie}\r\nOrigin: {stage.gateway.url}\r\n"
    writer.write(f"{head}Content-Length: 1000000\r\n\r\n".encode() + b"half of it")
    await writer.drain()
    async with asyncio.timeout(DEADLINE):
        while not list((folder / "incoming").iterdir()):  # noqa: ASYNC110 - a folder has no event
            await asyncio.sleep(0.01)
        writer.close()
        while list((folder / "incoming").iterdir()):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert {path for path in folder.rglob("*") if path.is_file()} == before
    del reader


async def test_b65_too_much_and_nothing_are_refused(stage: Cast) -> None:
    limit = stage.gateway.services.config.media.max_bytes
    assert limit == 25 * 1024 * 1024
    answer = await stage.ada.call("POST", "/media", b"x" * (limit + 1), headers={"Content-Type": "image/png"})
    assert (answer.status, answer.code) == (413, "too_large")
    assert (await stage.ada.call("POST", "/media", b"", headers={"Content-Type": "image/png"})).code == "empty"


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ("bytes=0-3", 206),
        ("bytes=-3", 206),
        ("bytes=\u0661-\u0663", 416),
        ("bytes=1-0", 416),
        ("bytes=--5", 416),
        ("bytes=-1-2", 416),
        ("bytes=99999999-", 416),
        ("bytes=" + "9" * 400 + "-", 416),
        ("bytes=" + "9" * 5000 + "-", 416),
        ("bytes=" + ",".join("0-1" for _ in range(1000)), 416),
        ("lines=0-1", 416),
        ("bytes=-", 416),
        ("x", 416),
    ],
)
async def test_b67_ranges(stage: Cast, asked: str, status: int) -> None:
    file = await _kept(stage, b"%PDF-1.7 ranges", "application/pdf", "a.pdf")
    for path in (f"/api/v1/media/{file}", link(stage.gateway.services, file)):
        headers = {**stage.ada.cookie_header, "Range": asked}
        answered, told, body = await stage.gateway.request("GET", path, headers=headers)
        assert answered in {status, 200}
        assert len(body) <= len(b"%PDF-1.7 ranges") or told["Content-Type"].startswith("application/problem")
