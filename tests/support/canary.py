"""Looks for secrets in everything that was written: by their value and by every form in which one may be carried.

Independent of the product's own redaction, so that both can be held against each other. From a shell, over folders:
``python -m tests.support.canary FOLDER… -- NAME=VALUE…``.
"""

import base64
import binascii
import functools
import gzip
import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from html import escape
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, quote_plus

import msgspec

from storage.interaction import LogFilter
from storage.protocol import WHOLE, Store, Transaction

_PIECE = 1 << 20
_CHANNEL_ROWS = 100_000


class Hit(NamedTuple):
    """A secret where none may be."""

    place: str
    canary: str
    form: str


def forms(secret: str) -> dict[str, str]:
    """Name -> the secret as it may be written."""
    data = secret.encode()
    found = {
        "plain": secret,
        "in an address": quote(secret, safe=""),
        "in a path": quote(secret),
        "in a form": quote_plus(secret),
        "in JSON": json.dumps(secret)[1:-1],
        "in JSON, not ascii": json.dumps(secret, ensure_ascii=False)[1:-1],
        "in HTML": escape(secret),
        "hex": binascii.hexlify(data).decode(),
        **{f"base64 after {before} bytes": _within_base64(data, before) for before in range(3)},
    }
    found |= {f"{name}, url-safe": form.replace("+", "-").replace("/", "_") for name, form in found.items() if "base64" in name}
    return {name: form for name, form in found.items() if len(form) >= 6}


def _within_base64(data: bytes, before: int) -> str:
    """Those characters of a base64 that are the same whatever comes before and after, found by trying."""
    made = {base64.b64encode(bytes([byte]) * before + data + bytes([byte ^ 0x5A]) * 3).decode() for byte in (0x00, 0x41, 0xFF)}
    same = [chars[0] if len(set(chars)) == 1 else "\0" for chars in zip(*made, strict=True)]
    runs = "".join(same).split("\0")
    longest = max(runs, key=len)
    return longest if len(longest) >= 8 else ""


@functools.lru_cache(maxsize=1000)
def _needles(secret: str) -> tuple[tuple[str, bytes], ...]:
    return tuple((form, text.encode()) for form, text in forms(secret).items())


def search_text(text: str, canaries: Mapping[str, str], place: str = "text") -> list[Hit]:
    """All hits in one text."""
    return search_bytes(text.encode("utf-8", "surrogatepass"), canaries, place)


def search_bytes(data: bytes, canaries: Mapping[str, str], place: str) -> list[Hit]:
    """All hits in some bytes; percent-escapes are found in either case."""
    lower = re.sub(rb"%[0-9a-f]{2}", lambda match: match[0].upper(), data) if b"%" in data else data
    return [
        Hit(place, name, form)
        for name, secret in canaries.items()
        for form, text in _needles(secret)
        if text in data or (lower is not data and text in lower)
    ]


def search_folders(folders: Iterable[Path], canaries: Mapping[str, str], allowed: Iterable[str] = ()) -> list[Hit]:
    """All hits in all files below, databases and their logs included; ``allowed`` are names of files that may hold secrets."""
    excepted = frozenset(allowed)
    hits: list[Hit] = []
    for folder in folders:
        for path in sorted(folder.rglob("*")) if folder.is_dir() else [folder]:
            if path.is_file() and not path.is_symlink() and path.name not in excepted:
                for data in _pieces(path, max((len(form) for secret in canaries.values() for form in forms(secret).values()), default=0)):
                    hits += search_bytes(data, canaries, str(path))
    return list(dict.fromkeys(hits))


def _pieces(path: Path, overlap: int) -> Iterator[bytes]:
    with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
        tail = b""
        while piece := file.read(_PIECE):
            yield tail + piece
            tail = piece[-overlap * 2 :] if overlap else b""


async def search_store(store: Store, channels: Iterable[str], canaries: Mapping[str, str]) -> list[Hit]:
    """All hits in the stream (events and raw payloads), the channels' logs and their health."""
    hits: list[Hit] = []
    after = 0
    while batch := await store.read(WHOLE, after, 1000):
        after = batch[-1].pos
        for recorded in batch:
            hits += search_bytes(recorded.entry.data + b"\n" + recorded.entry.raw, canaries, f"event {recorded.pos} {recorded.entry.type}")

    async def logs(tx: Transaction) -> list[tuple[str, bytes]]:
        found = [("health", msgspec.json.encode(await tx.channel_log.health()))]
        for channel in channels:
            rows = await tx.channel_log.page(channel, LogFilter(), "", _CHANNEL_ROWS)
            found += [(f"log of {channel}: {row.id} {row.kind}", msgspec.json.encode(row)) for row in rows]
        return found

    for place, data in await store.view(logs):
        hits += search_bytes(data, canaries, place)
    return hits


def main(arguments: list[str]) -> int:
    """Prints the hits; how many there are is the exit status, at most 1."""
    border = arguments.index("--") if "--" in arguments else len(arguments)
    canaries = dict(pair.split("=", 1) for pair in arguments[border + 1 :])
    hits = search_folders([Path(name) for name in arguments[:border]], canaries)
    for hit in hits:
        sys.stdout.write(f"{hit.place}: {hit.canary} ({hit.form})\n")
    sys.stdout.write(f"{len(hits)} hits\n")
    return 1 if hits else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
