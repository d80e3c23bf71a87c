"""B60-B67: whatever a file claims to be, no browser runs it, shows it by mistake, or gets it without being allowed to."""

import asyncio
from pathlib import Path
from urllib.parse import quote

import pytest

from gateway.web import media
from storage.file import StoredFile
from storage.ids import random_id
from tests.gateway.web.test_public_files import link
from tests.support.cast import Answer, Cast
from tests.support.pictures import FRAME, PLACE, gif, jpeg, opened, picture, png, segment, spelled, webp
from tests.support.visitor import upload
from tests.support.waiting import DEADLINE

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
    "GIF that is a script": (b"GIF89a/*\0\0\0\0\0*/=1;alert(1)//;", "text/javascript", "x.gif"),
    "HTML that begins as a PNG": (b"\x89PNG\r\n\x1a\n" + SCRIPT, "image/png", "x.png"),
    "a corrupt JPEG": (b"\xff\xd8\xff\xe0\0\x10JFIF" + b"\0" * 50, "image/jpeg", "x.jpg"),
    "a JPEG that ends early": (picture("JPEG", size=(200, 200))[:650], "image/jpeg", "x.jpg"),
    "10,000 frames": (gif(*[FRAME] * 10_000), "image/gif", "x.gif"),
}
POLYGLOTS = {
    "GIF with a script": (gif(FRAME, b"\x21\xfe" + bytes([len(SCRIPT)]) + SCRIPT + b"\0", after=SCRIPT), "text/javascript", "image/gif"),
    "PNG with a script": (png(1, 1) + SCRIPT, "text/html", "image/png"),
    "PNG whose colours are a script": (spelled(SCRIPT), "text/html", "image/png"),
    "JPEG with a script": (picture("JPEG", comment=SCRIPT), "text/html", "image/jpeg"),
    "WebP with a script": (picture("WEBP", xmp=SCRIPT), "text/html", "image/webp"),
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
async def test_b61_a_polyglot_is_shown_as_the_picture_made_anew(stage: Cast, name: str) -> None:
    """Also one whose very colours spell a script, in a file that a provider brought just as it was."""
    data, claimed, mime = POLYGLOTS[name]
    uploaded = await _kept(stage, data, claimed, "x.html")
    services = stage.gateway.services
    saved = await services.files.save(data)
    brought = StoredFile(
        id=random_id("med", services.clock()),
        sha256=saved.sha256,
        mime=saved.mime,
        name="x.html",
        size=saved.size,
        created_at=services.clock(),
        uploader=stage.ada.id,
    )
    await services.store.transact(lambda tx: tx.files.put(brought))
    for file in (uploaded, brought.id):
        shown, provided = await _served(stage, file)
        original = await stage.ada.get(f"/media/{file}?original=1")
        for answer in (shown, provided, original):
            _is_harmless(answer)
        assert (shown.headers["Content-Type"], shown.headers["Content-Disposition"][:6]) == (mime, "inline")
        assert SCRIPT not in shown.raw
        assert opened(shown.raw).size == opened(data).size
        # Who asks for it as it came gets that, and no browser shows it.
        assert original.headers["Content-Type"] == "application/octet-stream"
        assert original.headers["Content-Disposition"] == provided.headers["Content-Disposition"] == "attachment; filename*=UTF-8''x.html"
        assert original.raw == provided.raw
    assert original.raw == data


async def test_b61_what_was_kept_before_is_judged_when_it_is_asked_for(stage: Cast) -> None:
    services = stage.gateway.services
    saved = await services.files.save(b"\x89PNG\r\n\x1a\n" + SCRIPT)
    now = services.clock()
    file = StoredFile(id="med_old", sha256=saved.sha256, mime="image/png", name="a.png", size=1, created_at=now, uploader=stage.ada.id)
    await services.store.transact(lambda tx: tx.files.put(file))
    answer = await stage.ada.get(f"/media/{file.id}")
    _is_harmless(answer)
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.headers["Content-Disposition"].startswith("attachment")


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
    empty = await stage.ada.call("POST", "/media", b"", headers={"Content-Type": "image/png"})
    assert (empty.status, empty.code) == (400, "empty")


async def test_b65_too_many_are_refused(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(media, "AGENT_FILES", 3)

    async def uploaded(data: bytes) -> Answer:
        return await cast.ada.call("POST", "/media", data, headers={"Content-Type": "image/png"})

    answers = [await uploaded(b"%PDF-1.7") for _ in range(5)]
    assert [answer.status for answer in answers][:4] == [201, 201, 201, 429]
    assert (answers[-1].code, 1 <= int(answers[-1].headers["Retry-After"]) <= 60) == ("rate_limited", True)
    # Others may go on.
    assert (await cast.ben.call("POST", "/media", b"%PDF-1.7", headers={"Content-Type": "image/png"})).status == 201


def test_b65_the_quota_of_an_agent() -> None:
    assert 0 < media.AGENT_FILES <= 1000
    assert media.AGENT_FILES <= media.AGENT_FILES_PER_HOUR <= 1000


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
