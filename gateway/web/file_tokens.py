"""Signed addresses of files: a token names one file, one purpose and a time. It lies in no list, and no node has to remember it."""

import math
from datetime import UTC, datetime
from typing import Final

from config import Config
from config.secret import Secret
from gateway.web.signing import seal, unseal

#: Purposes; a token for one is of no use for another.
FOR_PROVIDERS: Final = "file-link"
FOR_PAGES: Final = "file-view"
FOR_PEOPLE: Final = "file-read"
#: A page's link lasts one to two of these, and is the same within one, for the browser's cache.
WINDOW_SECONDS: Final = 300


def make_token(secret: Secret, file_id: str, until: datetime, purpose: str = FOR_PROVIDERS) -> str:
    """A token for ``file_id`` that :func:`open_token` knows until then, for the same purpose."""
    return seal(secret, purpose, f"{int(until.timestamp()):x}.{file_id}")


def open_token(secret: Secret, token: str, now: datetime, purpose: str = FOR_PROVIDERS) -> str:
    """The file's id; empty for anything that we did not sign, or not for now, or not for this."""
    until, _, file_id = unseal(secret, purpose, token).partition(".")
    return file_id if until and now.timestamp() < int(until, 16) else ""


def page_link(config: Config, file_id: str, now: datetime) -> str:
    """Where, at the files' own origin, a browser may have the file for five to ten minutes."""
    until = (math.floor(now.timestamp() / WINDOW_SECONDS) + 2) * WINDOW_SECONDS
    token = make_token(config.server.secret_key, file_id, datetime.fromtimestamp(until, UTC), FOR_PAGES)
    return f"{config.file_origin}/media/{token}"
