"""Names of files as strangers write them."""

import re
import unicodedata
from typing import Final

#: Long enough for any honest name, short enough for every disk once it is encoded.
MOST_CHARS: Final = 200
_TAIL_CHARS: Final = 20
#: Directions, and what nobody can see: with them ``gpj.exe`` reads as ``exe.jpg``. Joiners stay, words and emoji need them.
_HIDDEN: Final = re.compile("[\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]")
#: Windows takes these for devices, with any ending.
_DEVICE: Final = re.compile(r"(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?=\.|$)", re.IGNORECASE)


def harmless_name(name: str) -> str:
    """A name without folders, controls and directions; its end stays when it is cut, for it says what the file is. May be empty."""
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    clean = "".join(char for char in _HIDDEN.sub("", last[-10_000:]) if unicodedata.category(char) not in {"Cc", "Cs"}).strip(". ")
    if len(clean) > MOST_CHARS:
        clean = clean[: MOST_CHARS - _TAIL_CHARS] + "…" + clean[-(_TAIL_CHARS - 1) :]
    return f"_{clean}" if _DEVICE.match(clean) else clean
