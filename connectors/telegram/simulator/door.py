"""Where links to the bot lead: a page in the place of ``https://t.me``, which on a phone would open the app."""

import re
from typing import Final

from aiohttp import web

from connectors.telegram.simulator.state import World

#: core.telegram.org/bots/features#deep-linking, read 2026-11.
_START: Final = re.compile(r"[A-Za-z0-9_-]{0,64}")


class Door:
    """``GET /t.me/<bot>?start=<word>``."""

    def __init__(self, world: World) -> None:
        self._bot = str(world.bot["username"])

    async def open(self, request: web.Request) -> web.Response:
        """What the app would send once somebody presses Start."""
        word = request.query.get("start", "")
        if request.match_info["bot"].casefold() != self._bot.casefold():
            return web.Response(status=404, text="There is no such bot.")
        if not _START.fullmatch(word):
            return web.Response(status=400, text="start takes 0 to 64 of A-Z a-z 0-9 _ -")
        said = f"/start {word}".rstrip()
        return web.Response(
            text=f"On a phone this opens the chat with @{self._bot}, and Start sends:\n\n{said}\n\nHere: write that on the phone page."
        )
