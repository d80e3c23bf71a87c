"""Pictures made anew, in processes that may die, hang or be broken into without harm."""

import asyncio
import functools
import io
import os
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageCms

from gateway.files import UNKNOWN_TYPE, FileStore
from gateway.pictures import MAX_FRAMES
from gateway.studio import Limits, Studio, StudioClosed
from tests.support.pictures import PLACE, PNG, moving, opened, picture, png, segment, spelled
from tests.support.waiting import until

KINDS = {"PNG": "image/png", "JPEG": "image/jpeg", "GIF": "image/gif", "WEBP": "image/webp"}


@pytest.fixture
async def studio() -> AsyncIterator[Studio]:
    made = Studio()
    yield made
    await made.close()


def exif(orientation: int) -> Image.Exif:
    tags = Image.Exif()
    tags[0x0112], tags[0x010F] = orientation, PLACE.decode()
    return tags


def near(shown: Any, wanted: tuple[int, int, int]) -> bool:
    return all(abs(one - other) <= 12 for one, other in zip(shown, wanted, strict=True))


DIRTY: dict[str, dict[str, Any]] = {
    "PNG": {"exif": exif(1), "icc_profile": b"profile " + PLACE},
    "JPEG": {"exif": exif(1), "comment": PLACE, "xmp": PLACE, "icc_profile": b"profile " + PLACE},
    "GIF": {"comment": PLACE},
    "WEBP": {"exif": exif(1), "xmp": PLACE, "icc_profile": b"profile " + PLACE},
}


@pytest.mark.parametrize("kind", KINDS)
async def test_the_same_picture_and_nothing_beside_it(studio: Studio, kind: str) -> None:
    for data in (picture(kind, size=(40, 30), **DIRTY[kind]), moving(kind, 5, (40, 30), **DIRTY[kind]) if kind != "JPEG" else b""):
        if not data:
            continue
        assert PLACE in data
        made = await studio.make(data + PLACE, KINDS[kind])
        assert made is not None
        assert PLACE not in made
        shown, before = opened(made), opened(data)
        assert (shown.format, shown.size) == (kind, before.size)
        colour = shown.convert("RGB").getpixel((20, 15))
        wanted = before.convert("RGB").getpixel((20, 15))
        assert isinstance(wanted, tuple)
        assert near(colour, wanted)  # type: ignore[arg-type]
        assert not shown.getexif()
        assert not {"comment", "xmp", "icc_profile", "exif"} & set(shown.info)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
async def test_which_side_is_up_is_in_the_pixels(studio: Studio, kind: str) -> None:
    made = await studio.make(picture(kind, size=(40, 30), exif=exif(6)), KINDS[kind])
    assert made is not None
    assert opened(made).size == (30, 40)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
async def test_colours_are_kept_without_the_profile_that_told_them(studio: Studio, kind: str) -> None:
    """In the profile red and blue have changed places; what is shown has sRGB's numbers."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    swapped = profile.replace(b"rXYZ", b"tmp0").replace(b"bXYZ", b"rXYZ").replace(b"tmp0", b"bXYZ")
    made = await studio.make(picture(kind, size=(16, 16), colour=(250, 0, 0), icc_profile=swapped), KINDS[kind])
    assert made is not None
    colour = opened(made).convert("RGB").getpixel((8, 8))
    assert near(colour, (0, 0, 250)), colour
    assert b"rXYZ" not in made


@pytest.mark.parametrize("kind", ["PNG", "GIF", "WEBP"])
async def test_a_moving_picture_moves_as_it_did(studio: Studio, kind: str) -> None:
    made = await studio.make(moving(kind, 7, duration=[50, 60, 70, 80, 90, 100, 110]), KINDS[kind])
    assert made is not None
    shown = opened(made)
    durations, colours = [], []
    for frame in range(getattr(shown, "n_frames", 1)):
        shown.seek(frame)
        shown.load()
        durations.append(int(shown.info["duration"]))
        colours.append(shown.convert("RGB").getpixel((1, 1))[0] > 128)  # type: ignore[index]
    assert durations == [50, 60, 70, 80, 90, 100, 110]
    assert colours == [False, True, False, True, False, True, False]


@pytest.mark.parametrize("kind", ["PNG", "GIF", "WEBP"])
async def test_the_worker_itself_counts_frames(studio: Studio, kind: str) -> None:
    assert await studio.make(moving(kind, MAX_FRAMES), KINDS[kind])
    assert await studio.make(moving(kind, MAX_FRAMES + 1), KINDS[kind]) is None


async def test_the_worker_itself_counts_pixels(studio: Studio) -> None:
    assert await studio.make(picture(size=(8000, 5001)), "image/png") is None
    assert await studio.make(png(50_000, 50_000), "image/png") is None


@pytest.mark.parametrize(
    ("data", "mime"),
    [
        (b"\x89PNG\r\n\x1a\n<script>alert(1)</script>", "image/png"),
        (png(2, 2), "image/png"),
        (b"GIF89a/*\0\0\0\0\0*/=1;alert(1)//;", "image/gif"),
        (picture("JPEG", size=(200, 200))[:650], "image/jpeg"),
        (b"\xff\xd8\xff" + segment(0xE0, b"JFIF"), "image/jpeg"),
        (b"RIFF\x10\0\0\0WEBPVP8 ", "image/webp"),
        (b"", "image/png"),
        # As another type than it was found to be, or as none of the four.
        (picture("JPEG"), "image/png"),
        (picture("BMP"), "image/png"),
        (picture("TIFF"), "image/jpeg"),
        (picture("BMP"), "image/bmp"),
    ],
)
async def test_what_does_not_decode_is_no_picture(studio: Studio, data: bytes, mime: str) -> None:
    assert await studio.make(data, mime) is None
    assert await studio.make(PNG, "image/png") == PNG


def long_film() -> bytes:
    """Seconds of work, and no single large piece of it."""
    shown = [Image.new("P", (2000, 2000), number) for number in range(90)]
    out = io.BytesIO()
    shown[0].save(out, "GIF", save_all=True, append_images=shown[1:])
    return out.getvalue()


@pytest.mark.parametrize(
    ("limits", "make", "mime"),
    [
        (Limits(memory_bytes=160 * 1024 * 1024), functools.partial(picture, size=(8000, 5000)), "image/png"),
        (Limits(cpu_seconds=0), long_film, "image/gif"),
        (Limits(seconds=0.1), functools.partial(picture, size=(8000, 5000)), "image/png"),
    ],
    ids=["memory", "processor", "clock"],
)
async def test_a_picture_that_takes_too_much_is_given_up_and_the_next_one_is_made(
    limits: Limits, make: Callable[[], bytes], mime: str
) -> None:
    studio = Studio(limits)
    try:
        assert await studio.make(make(), mime) is None
        assert await studio.make(PNG, "image/png") == PNG
    finally:
        await studio.close()


def alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


async def started(studio: Studio) -> int:
    assert await studio.make(PNG, "image/png") == PNG
    return studio._idle[-1].process.pid


async def test_one_that_hangs_is_ended() -> None:
    hasty = Studio(Limits(seconds=0.3))
    try:
        pid = await started(hasty)
        os.kill(pid, signal.SIGSTOP)
        assert await hasty.make(PNG, "image/png") is None
        await until(lambda: not alive(pid))
        assert await started(hasty) != pid
    finally:
        await hasty.close()


async def test_one_that_was_ended_while_it_waited_costs_no_picture(studio: Studio) -> None:
    pid = await started(studio)
    os.kill(pid, signal.SIGKILL)
    await until(lambda: studio._idle[-1].process.returncode is not None)
    assert await started(studio) != pid


async def test_nobody_gets_another_ones_picture(studio: Studio) -> None:
    """Who asked went away while it was being made: what is left in the pipe is nobody's."""
    pid = await started(studio)
    os.kill(pid, signal.SIGSTOP)
    asking = asyncio.create_task(studio.make(picture(colour=(1, 2, 3)), "image/png"))
    await until(lambda: not studio._idle)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert await studio.make(PNG, "image/png") == PNG
    await until(lambda: not alive(pid))


def seen_from_outside(pid: int) -> tuple[bytes, list[str], str]:
    """A process's environment, open files and bounds."""
    place = Path(f"/proc/{pid}")
    files = [str(one.readlink()) for one in (place / "fd").iterdir()]
    return (place / "environ").read_bytes(), files, (place / "limits").read_text("ascii")


async def test_it_knows_no_secret_and_holds_no_file(studio: Studio, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SPORTELLO_SERVER__SECRET_KEY", "canary-in-the-environment")
    with (tmp_path / "secret").open("w") as file:
        os.set_inheritable(file.fileno(), True)  # noqa: FBT003
        pid = await started(studio)
        environment, files, bounds = seen_from_outside(pid)
    assert b"canary" not in environment
    assert (await asyncio.to_thread(Path(f"/proc/{pid}/oom_score_adj").read_text)).strip() == "1000"
    assert not [name for name in files if "secret" in name]
    for name in ("Max file size", "Max core file size"):
        (line,) = (one for one in bounds.splitlines() if one.startswith(name))
        assert line.removeprefix(name).split()[:2] == ["0", "0"]


async def test_they_end_when_there_is_nothing_to_do_and_at_the_end() -> None:
    idle = Studio(idle_seconds=0.05)
    pid = await started(idle)
    await until(lambda: not alive(pid))
    pid = await started(idle)
    await idle.close()
    assert not alive(pid)


async def test_two_at_a_time(studio: Studio) -> None:
    made = await asyncio.gather(*(studio.make(PNG, "image/png") for _ in range(12)))
    assert made == [PNG] * 12
    assert 1 <= len(studio._idle) <= 2


# --- beside the files --------------------------------------------------------------------------------------------------


class Counting(Studio):
    """Counts what it is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0
        self.away = False

    async def make(self, source: Path | bytes, mime: str) -> bytes | None:
        self.asked += 1
        if self.away:
            raise StudioClosed("not now")
        return await super().make(source, mime)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[tuple[FileStore, Counting]]:
    counting = Counting()
    files = FileStore(tmp_path, studio=counting)
    yield files, counting
    await files.close()


async def test_a_picture_is_made_once_and_again_where_it_is_missing(store: tuple[FileStore, Counting]) -> None:
    files, counting = store
    saved = await files.save(spelled(b"<script>"))
    shown = await files.shown(saved.sha256, saved.mime)
    assert shown is not None
    assert b"<script>" not in shown.read_bytes()
    assert b"<script>" in await files.read(saved.sha256)
    assert counting.asked == 1
    # Another node has the file alone.
    shown.unlink()
    assert await files.shown(saved.sha256, saved.mime) == shown
    assert opened(shown.read_bytes()).size == (3, 1)
    assert counting.asked == 2


async def test_what_cannot_be_made_is_tried_once(store: tuple[FileStore, Counting]) -> None:
    files, counting = store
    saved = await files.save(png(2, 2))
    assert saved.mime == UNKNOWN_TYPE
    assert [await files.shown(saved.sha256, "image/png") for _ in range(3)] == [None] * 3
    assert counting.asked == 1


async def test_while_none_can_be_made_a_picture_stays_one(store: tuple[FileStore, Counting]) -> None:
    files, counting = store
    counting.away = True
    saved = await files.save(PNG)
    assert saved.mime == "image/png"
    with pytest.raises(StudioClosed):
        await files.shown(saved.sha256, saved.mime)
    counting.away = False
    assert await files.shown(saved.sha256, saved.mime) is not None


async def test_it_goes_with_its_original(store: tuple[FileStore, Counting]) -> None:
    files, _ = store
    kept, gone = await files.save(PNG), await files.save(picture(colour=(1, 2, 3)))
    files.path(gone.sha256).unlink()
    with pytest.raises(FileNotFoundError):
        await files.shown(gone.sha256, gone.mime)
    await files.sweep()
    assert sorted(path.name for path in files._folder.rglob("*.shown")) == [f"{kept.sha256}.shown"]
    assert await files.read(kept.sha256) == PNG


async def test_no_process_no_picture(monkeypatch: pytest.MonkeyPatch, studio: Studio) -> None:
    monkeypatch.setattr("gateway.studio._WORKER", Path("/nothing.py"))
    with pytest.raises(StudioClosed):
        await studio.make(PNG, "image/png")
