"""Agents' passwords: argon2id, 19 MiB, two passes; off the event loop, and at most two at a time so that log-ins cannot eat the memory."""

import asyncio
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

#: Shortest password that is accepted; there are no rules about its characters.
MIN_CHARS: Final = 12
#: Longest, in UTF-8 bytes: nobody shall keep the processor busy with a novel.
MAX_BYTES: Final = 1024
_MEMORY_KIB: Final = 19 * 1024
#: Hash of a random value nobody knows, made with the same parameters: an unknown e-mail address takes as long as a known one.
_NOBODY: Final = "$argon2id$v=19$m=19456,t=2,p=1$owOOFIOmcGeILtBrTUdbMQ$UjlbFvxpP1zF6F46jSvkYS/w7KSY+YBAliG0ZwkkEZc"


class BadPassword(ValueError):
    """The password cannot be used; the message says why."""


class Passwords:
    """Hashes and checks passwords."""

    def __init__(self, concurrency: int = 2) -> None:
        self._hasher = PasswordHasher(time_cost=2, memory_cost=_MEMORY_KIB, parallelism=1)
        self._turn = asyncio.Semaphore(concurrency)

    async def hash(self, password: str) -> str:
        """The string to keep. Raises BadPassword."""
        if len(password) < MIN_CHARS:
            raise BadPassword(f"The password needs at least {MIN_CHARS} characters.")
        if len(password.encode()) > MAX_BYTES:
            raise BadPassword(f"The password may have at most {MAX_BYTES} bytes.")
        async with self._turn:
            return await asyncio.to_thread(self._hasher.hash, password)

    async def verify(self, kept: str, password: str) -> bool:
        """Is it the password? With an empty ``kept`` (no such agent, or none set) the answer is no, after the same time."""
        async with self._turn:
            right = await asyncio.to_thread(self._verify, kept or _NOBODY, password[:MAX_BYTES])
        return right and bool(kept)

    def _verify(self, kept: str, password: str) -> bool:
        try:
            return self._hasher.verify(kept, password)
        except (VerificationError, InvalidHashError):
            return False
