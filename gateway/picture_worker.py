"""A process that decodes strangers' pictures and makes them anew; started by ``gateway.studio`` as a script.

A hole in a decoder opens this process and nothing more: it has nothing of ours, no environment, no open file but two pipes, and bounds
on memory and time.

In: a letter for the type, four bytes of length, the picture. Out: ``R`` once ready, then for each picture ``N``, or ``Y``, length and
the new one.
What was written beside the picture stays behind: the new one is made of pixels alone, turned as Exif says, in the colours of sRGB.
"""

import contextlib
import io
import struct
import sys
import time
import warnings
from pathlib import Path
from typing import Any, BinaryIO, Final

from PIL import GifImagePlugin, Image, ImageCms, ImageFile, ImageOps, JpegImagePlugin, PngImagePlugin, WebPImagePlugin

if sys.platform != "win32":
    import resource

FORMATS: Final = {
    b"P": PngImagePlugin.PngImageFile.format,
    b"J": JpegImagePlugin.JpegImageFile.format,
    b"G": GifImagePlugin.GifImageFile.format,
    b"W": WebPImagePlugin.WebPImageFile.format,
}
#: More may be a photo whose new version is larger than what was sent.
_MAX_BYTES: Final = 48 * 1024 * 1024
#: Above this, time counts for more than size.
_LARGE_PIXELS: Final = 4_000_000
_QUALITY: Final = 90
#: Nothing of these is taken from the old picture; Pillow would take some.
_BESIDE: Final[dict[str, Any]] = {"exif": b"", "xmp": b"", "comment": b"", "icc_profile": None}


class _Refused(Exception):
    """Not shown."""


def rendition(data: bytes, kind: str, max_pixels: int, max_frames: int) -> bytes:
    """The picture anew, of the same type. Raises whatever a decoder raises for what it cannot or must not show."""
    out = io.BytesIO()
    with Image.open(io.BytesIO(data), formats=(kind,)) as image:
        if image.width * image.height > max_pixels or not image.width * image.height:
            raise _Refused
        frames = 1 if kind == "JPEG" else getattr(image, "n_frames", 1)
        if frames > max_frames:
            raise _Refused
        if frames > 1:
            image.save(out, kind, save_all=True, **_BESIDE, **_moving(image, kind, frames))
        else:
            _still(image, kind).save(out, kind, **_BESIDE, **_options(data, kind, image.width * image.height))
    if out.tell() > _MAX_BYTES:
        raise _Refused
    return out.getvalue()


def _still(image: Image.Image, kind: str) -> Image.Image:
    image.load()
    try:
        turned = ImageOps.exif_transpose(image)
    except Exception:  # noqa: BLE001  what says which side is up cannot be read; the picture could
        turned = image.copy()
    profile = turned.info.get("icc_profile")
    if profile:
        turned = _in_srgb(turned, profile)
    if kind == "JPEG" and turned.mode not in {"L", "RGB"}:
        turned = turned.convert("RGB")
    if kind == "PNG" and turned.mode == "P":
        # A list of colours would stand in the new file as it stood in the old one.
        turned = turned.convert("RGBA" if turned.has_transparency_data else "RGB")
    # Which colour is none belongs to the picture.
    turned.info = {key: value for key, value in turned.info.items() if key == "transparency" and kind in {"PNG", "GIF"}}
    return turned


def _in_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """With the same colours, so that the profile can stay behind; as it is, if the profile is no good."""
    flat = image
    if image.mode not in {"L", "RGB", "RGBA", "CMYK"}:
        flat = image.convert("RGBA" if image.has_transparency_data else "RGB")
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        shown = "RGBA" if flat.mode == "RGBA" else "RGB"
        return ImageCms.profileToProfile(flat, source, ImageCms.createProfile("sRGB"), outputMode=shown) or image
    except (ImageCms.PyCMSError, OSError, ValueError):
        return image


def _options(data: bytes, kind: str, pixels: int) -> dict[str, Any]:
    match kind:
        case "JPEG":
            return {"quality": _QUALITY}
        case "PNG":
            return {"compress_level": 6 if pixels <= _LARGE_PIXELS else 3}
        case "WEBP":
            return {"quality": _QUALITY, "method": 2, "lossless": data[12:16] == b"VP8L", "exact": False}
        case _:
            return {}


def _moving(image: Image.Image, kind: str, frames: int) -> dict[str, Any]:
    match kind:
        case "PNG":
            # Each frame comes complete, whatever it was made of.
            return {"disposal": 0, "blend": 0, "loop": image.info.get("loop", 0), "default_image": image.info.get("default_image", False)}
        case "WEBP":
            shown: list[int] = []
            for frame in range(frames):
                image.seek(frame)
                image.load()
                shown.append(int(image.info.get("duration", 0)))
            image.seek(0)
            return {"duration": shown, "loop": image.info.get("loop", 0), "quality": _QUALITY, "method": 2}
        case _:
            return {}


def _serve(incoming: BinaryIO, outgoing: BinaryIO, limits: list[int]) -> None:
    cpu_seconds, max_pixels, max_frames = limits
    outgoing.write(b"R")
    outgoing.flush()
    while head := incoming.read(5):
        kind = FORMATS[head[:1]]
        (length,) = struct.unpack(">I", head[1:])
        data = incoming.read(length)
        _bound_time(cpu_seconds)
        try:
            made = rendition(data, str(kind), max_pixels, max_frames)
        except Exception:  # noqa: BLE001  decoders raise anything
            outgoing.write(b"N")
        else:
            outgoing.write(b"Y" + struct.pack(">I", len(made)))
            outgoing.write(made)
        outgoing.flush()


def _bound(memory_bytes: int) -> None:
    warnings.simplefilter("error", Image.DecompressionBombWarning)
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    # Frames that share their colours keep them.
    GifImagePlugin.LOADING_STRATEGY = GifImagePlugin.LoadingStrategy.RGB_AFTER_DIFFERENT_PALETTE_ONLY
    # Where memory runs out the kernel takes this process, not the gateway.
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", "ascii")
    if sys.platform != "win32":
        for limit, most in ((resource.RLIMIT_AS, memory_bytes), (resource.RLIMIT_FSIZE, 0), (resource.RLIMIT_CORE, 0)):
            # A system that knows no such bound still has the clock's.
            with contextlib.suppress(ValueError, OSError):
                resource.setrlimit(limit, (most, most))


def _bound_time(cpu_seconds: int) -> None:
    if sys.platform != "win32":
        _, most = resource.getrlimit(resource.RLIMIT_CPU)
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_CPU, (int(time.process_time()) + 1 + cpu_seconds, most))


if __name__ == "__main__":
    memory, *others = map(int, sys.argv[1:])
    _bound(memory)
    _serve(sys.stdin.buffer, sys.stdout.buffer, others)
