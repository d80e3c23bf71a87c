"""A file that came with a call, as a field of a message."""

import re
from types import MappingProxyType
from typing import Final

from connectors.telegram.simulator.call import Uploaded
from connectors.telegram.simulator.limits import PHOTO_BYTES, bad
from connectors.telegram.simulator.state import Json, World

#: Method -> field of its file, and where Telegram would keep it.
FILES: Final = MappingProxyType(
    {
        "sendphoto": ("photo", "photos", ".jpg"),
        "sendvideo": ("video", "videos", ".mp4"),
        "sendaudio": ("audio", "music", ".mp3"),
        "sendvoice": ("voice", "voice", ".oga"),
        "senddocument": ("document", "documents", ""),
        "sendsticker": ("sticker", "stickers", ".webp"),
    }
)


def checked_content(world: World, name: str, folder: str, suffix: str, uploaded: Uploaded) -> Json:
    """As :func:`file_content`. Raises ``ApiError`` for a file that Telegram refuses."""
    if not uploaded.data:
        raise bad("file must be non-empty")
    if name == "photo" and len(uploaded.data) > PHOTO_BYTES:
        raise bad("too big for a photo")
    return file_content(world, name, folder, suffix, uploaded)


def file_content(world: World, name: str, folder: str, suffix: str, uploaded: Uploaded) -> Json:
    """A message's field ``name`` with a file that is kept from now on."""
    own_suffix = suffix or ("." + uploaded.name.rpartition(".")[2] if "." in uploaded.name else "")
    file = world.add_file(uploaded.data, uploaded.mime, folder, re.sub(r"[^A-Za-z0-9.]", "", own_suffix)[:12])
    shown: Json = {"file_id": file.id, "file_unique_id": file.id[-8:], "file_size": len(file.data)}
    match name:
        case "photo":
            small = {**shown, "width": 90, "height": 67}
            return {"photo": [small, {**shown, "width": 1280, "height": 960}]}
        case "sticker":
            return {"sticker": {**shown, "width": 512, "height": 512, "is_animated": False, "is_video": False}}
        case _:
            return {name: shown | {"mime_type": uploaded.mime} | ({"file_name": uploaded.name} if uploaded.name else {})}
