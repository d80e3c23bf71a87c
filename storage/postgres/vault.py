"""Bytes of files in the database, where every node reaches them: in pieces, by the hash of their content."""

import asyncio
import hashlib
import os
from pathlib import Path
from typing import BinaryIO, Final

from storage.errors import StorageError
from storage.postgres.connection import Database
from storage.postgres.link import Link, begin_small, begin_view
from storage.postgres.reader import Pool, finish

_PIECE: Final = 1024 * 1024
#: For one piece, and for a file.
_PIECE_SECONDS: Final = 10.0
_FILE_SECONDS: Final = 300.0


class PostgresVault:
    """``storage.protocol.Vault``; two files at a time."""

    def __init__(self, database: Database) -> None:
        self._pool = Pool(database, 2, read_only=False)

    async def put(self, sha256: str, source: Path) -> None:
        await finish(self._put(sha256, source))

    async def fetch(self, sha256: str, target: Path) -> bool:
        return await finish(self._fetch(sha256, target))

    async def close(self) -> None:
        await self._pool.close()

    async def _put(self, sha256: str, source: Path) -> None:
        async with self._pool.link(_FILE_SECONDS) as link:
            await _put(link, sha256, source)

    async def _fetch(self, sha256: str, target: Path) -> bool:
        async with self._pool.link(_FILE_SECONDS) as link:
            return await _fetch(link, sha256, target)


async def _put(link: Link, sha256: str, source: Path) -> None:
    sql = await link.begin(begin_small(_PIECE_SECONDS), _PIECE_SECONDS * 1.5, _FILE_SECONDS)
    try:
        if await sql.row("SELECT 1 FROM blob WHERE sha256 = ? LIMIT 1", (sha256,)) is None:
            with await asyncio.to_thread(source.open, "rb") as file:
                number = 0
                # An empty file is one empty piece.
                while (piece := await asyncio.to_thread(file.read, _PIECE)) or not number:
                    await sql.run("INSERT INTO blob VALUES (?, ?, ?) ON CONFLICT DO NOTHING", (sha256, number, piece))
                    number += 1
    except BaseException:
        await link.roll_back()
        raise
    await link.commit()


async def _fetch(link: Link, sha256: str, target: Path) -> bool:
    sql = await link.begin(begin_view(_PIECE_SECONDS), _PIECE_SECONDS * 1.5, _FILE_SECONDS)
    part = target.with_name(target.name + ".part")
    try:
        if await sql.row("SELECT 1 FROM blob WHERE sha256 = ? LIMIT 1", (sha256,)) is None:
            return False
        digest = hashlib.sha256()
        with await asyncio.to_thread(part.open, "wb") as file:
            number = 0
            while (row := await sql.row("SELECT data FROM blob WHERE sha256 = ? AND number = ?", (sha256, number))) is not None:
                await asyncio.to_thread(_write, file, row[0])
                digest.update(row[0])
                number += 1
        if digest.hexdigest() != sha256:
            raise StorageError(f"the bytes kept as {sha256} are others: restore a backup")
        await asyncio.to_thread(os.replace, part, target)
        return True
    finally:
        part.unlink(missing_ok=True)
        await link.roll_back()


def _write(file: BinaryIO, piece: bytes) -> None:
    file.write(piece)
