"""``sendMediaGroup``: several files as one album, with Telegram's own refusals.

Source: core.telegram.org/bots/api#sendmediagroup, read 2026-11.
"""

from typing import Any, Final

from connectors.telegram.simulator.call import ApiCall, Uploaded
from connectors.telegram.simulator.limits import ALBUM_FILES, bad, check_caption
from connectors.telegram.simulator.state import Json, World
from connectors.telegram.simulator.upload import FILES, checked_content

#: What an album may hold, with the method that sends one alone.
_TYPES: Final = {"photo": "sendphoto", "video": "sendvideo", "audio": "sendaudio", "document": "senddocument"}
_ATTACHED: Final = "attach://"


def album_contents(world: World, call: ApiCall) -> list[tuple[Json, str]]:
    """The messages of the album, each with its words. One file is a message like any other. Raises ``ApiError``."""
    if "media" not in call.parameters:
        raise bad('parameter "media" is required')
    items = call.structure("media") or []
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise bad("can't parse InputMedia: expected an Array of objects")
    if not items:
        raise bad("there are no messages to send")
    contents = [_content(world, call, item) for item in items]
    if len(items) > ALBUM_FILES:
        raise bad("too many messages to send as an album")
    kinds = {str(item["type"]) for item in items}
    for alone in ("audio", "document"):
        if alone in kinds and len(kinds) > 1:
            raise bad(f"{alone} can't be mixed with other media types")
    return contents


def _content(world: World, call: ApiCall, item: dict[str, Any]) -> tuple[Json, str]:
    kind = str(item.get("type", ""))
    if kind not in _TYPES:
        raise bad(f"can't parse InputMedia: type \"{kind}\" can't be used in sendMediaGroup")
    caption = check_caption(item.get("caption", ""))
    content = checked_content(world, *FILES[_TYPES[kind]], _file(world, call, str(item.get("media", ""))))
    return content | ({"caption": caption} if caption else {}), caption


def _file(world: World, call: ApiCall, media: str) -> Uploaded:
    if media.startswith(_ATTACHED):
        uploaded = call.files.get(media.removeprefix(_ATTACHED))
        if uploaded is None:
            raise bad("can't parse InputMedia: media not found")
        return uploaded
    known = world.file(media)
    if known is None:
        raise bad("wrong file identifier/HTTP URL specified")
    return Uploaded("", known.mime, known.data)
