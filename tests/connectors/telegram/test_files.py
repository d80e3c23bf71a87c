"""Files in both directions, over real HTTP."""

import base64
from collections.abc import Awaitable, Callable

import pytest
from aiohttp import web

from connectors.abilities import FetchedMedia
from connectors.content import Media, MediaKind, Text
from connectors.contract import Failure, Sent
from connectors.errors import FailureKind
from tests.support.serving import serving
from tests.support.telegram import PIXEL, TOKEN, Bench, deliver


async def test_photo_with_caption(bench: Bench) -> None:
    """G10: a photo goes up as multipart, with the caption beside it."""
    user = await bench.phone.user()
    bench.files["med_1"] = PIXEL
    photo = Media(kind=MediaKind.IMAGE, ref="med_1", mime="image/png", name='Größe "M"\r\nX: y.png', size=len(PIXEL))
    assert await deliver(bench, user, photo, Text(text="Like this?")) == [Sent(f"{user}:1")]
    (message,) = await bench.phone.messages(user)
    assert (message["photo"], message["caption"]) == (True, "Like this?")
    fetched = await bench.client().fetch_media(message["file_id"], 1000)
    assert fetched.data == PIXEL


@pytest.mark.parametrize(
    ("kind", "mime", "field"),
    [
        (MediaKind.VIDEO, "video/mp4", "video"),
        (MediaKind.AUDIO, "audio/mpeg", "audio"),
        (MediaKind.VOICE, "audio/ogg", "voice"),
        (MediaKind.FILE, "application/pdf", "document"),
        (MediaKind.STICKER, "image/webp", "sticker"),
        (MediaKind.IMAGE, "image/tiff", "document"),
    ],
)
async def test_every_kind_of_file_has_its_method(bench: Bench, kind: MediaKind, mime: str, field: str) -> None:
    user = await bench.phone.user()
    bench.files["med_1"] = b"bytes"
    (outcome,) = await deliver(bench, user, Media(kind=kind, ref="med_1", mime=mime, name="a.bin"))
    assert isinstance(outcome, Sent)
    assert (await bench.phone.messages(user))[0][field] is True


async def test_a_file_of_several_megabytes_arrives_unchanged(bench: Bench) -> None:
    user = await bench.phone.user()
    bench.files["med_1"] = bytes(range(256)) * 16_384
    await deliver(bench, user, Media(kind=MediaKind.FILE, ref="med_1", mime="application/zip", name="a.zip"))
    (message,) = await bench.phone.messages(user)
    fetched = await bench.client().fetch_media(message["file_id"], 1 << 23)
    assert fetched.data == bench.files["med_1"]
    assert (fetched.mime, fetched.name.rpartition(".")[2]) == ("application/zip", "zip")


async def test_a_file_that_cannot_be_read_was_not_sent(bench: Bench) -> None:
    user = await bench.phone.user()
    (outcome,) = await deliver(bench, user, Media(kind=MediaKind.IMAGE, ref="med_gone", mime="image/png"))
    assert isinstance(outcome, Failure)
    assert (outcome.kind, outcome.detail) == (FailureKind.TRANSIENT, "the file med_gone could not be read: KeyError")


async def test_files_that_cannot_be_had(bench: Bench) -> None:
    """G10: > 20 MB is told, an unknown id is final, more than asked for is not read."""
    user = await bench.phone.user()
    await bench.phone.say(user, document=base64.b64encode(bytes(20_000_001)).decode(), name="huge.bin")
    await bench.phone.say(user, document=base64.b64encode(b"x" * 5000).decode(), name="small.bin")
    huge, small = await bench.phone.messages(user)
    client = bench.client()
    assert "20 MB" in (await client.fetch_media(huge["file_id"], 1 << 30)).problem
    assert "larger than 4999" in (await client.fetch_media(small["file_id"], 4999)).problem
    assert (await client.fetch_media(small["file_id"], 5000)).data == b"x" * 5000
    gone = await client.fetch_media("AgAC-nothing", 5000)
    assert gone.problem
    await bench.phone.post("faults", kind="500", method="getFile")
    again = await client.fetch_media(small["file_id"], 5000)
    assert (again.data, again.retry) == (b"", True)


async def rogue_telegram(bench: Bench, path: str, file: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> FetchedMedia:
    """A Bot API whose files are at ``path``, and behave like ``file``."""

    async def get_file(_request: web.Request) -> web.Response:
        return web.json_response({"ok": True, "result": {"file_id": "x", "file_unique_id": "x", "file_path": path}})

    app = web.Application()
    app.router.add_post("/bot{token}/getfile", get_file)
    app.router.add_get("/{path:.*}", file)
    async with serving(app) as root:
        return await bench.client(bench.settings(api_base=root)).fetch_media("x", 1000)


@pytest.mark.parametrize("path", ["/etc/passwd", "../../getMe", "photos/../../x", ".."])
async def test_a_file_must_lie_below_its_place(bench: Bench, path: str) -> None:
    """Or the answer would choose which address gets the token."""

    async def file(_request: web.Request) -> web.Response:
        raise AssertionError("must not be asked for")

    fetched = await rogue_telegram(bench, path, file)
    assert (fetched.data, fetched.retry) == (b"", False)
    assert fetched.problem


async def test_downloads_that_fail(bench: Bench) -> None:
    """C16: an expired link is asked for again, a redirect is not followed, a torn file is no file."""
    seen: list[str] = []

    async def gone(_request: web.Request) -> web.Response:
        return web.Response(status=404)

    async def elsewhere(request: web.Request) -> web.Response:
        seen.append(request.path)
        return web.Response(status=302, headers={"Location": "/secrets"})

    async def torn(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "500"})
        await response.prepare(request)
        await response.write(b"x" * 100)
        assert request.transport is not None
        request.transport.abort()
        return response

    for file in (gone, elsewhere, torn):
        fetched = await rogue_telegram(bench, "photos/ä b#?.jpg", file)
        assert (fetched.data, fetched.retry) == (b"", True)
        assert fetched.problem
        assert "canary" not in fetched.problem
    assert seen == [f"/file/bot{TOKEN}/photos/ä b#?.jpg"]
