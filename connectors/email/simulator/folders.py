"""Commands about folders: which there are, what is in them, a mail put into one."""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Final

from connectors.email.simulator.command import Bad, No, Token, quoted, word, words
from connectors.email.simulator.mailbox import INBOX, Folder, Mailbox

_STATUS: Final[Mapping[str, Callable[[Folder], int]]] = {
    "MESSAGES": lambda folder: len(folder.mails),
    "RECENT": lambda _: 0,
    "UIDNEXT": lambda folder: folder.next_uid,
    "UIDVALIDITY": lambda folder: folder.validity,
    "UNSEEN": lambda folder: sum(not mail.has("\\Seen") for mail in folder.mails.values()),
    "SIZE": lambda folder: folder.size,
}


class Folders:
    """``say`` takes untagged lines, without their end. Each method gets a command's arguments, and returns what to say with OK."""

    def __init__(self, box: Mailbox, say: Callable[[bytes], None]) -> None:
        self._box = box
        self._say = say

    def find(self, token: Token) -> Folder:
        """Raises :class:`No`."""
        folder = self._box.folder(word(token))
        if folder is None:
            raise No("[NONEXISTENT] there is no such folder")
        return folder

    def names(self, arguments: Sequence[Token], name: str) -> bytes:
        """``LIST`` and ``LSUB``: here everybody is subscribed to everything."""
        plain = [one for one in arguments if not isinstance(one, list)]
        if len(plain) < 2:
            raise Bad("LIST takes a reference and a pattern")
        wanted = word(plain[0]) + word(plain[1])
        if not wanted:
            self._say(f'* {name} (\\Noselect) "/" ""'.encode())
            return b""
        pattern = re.escape(wanted).replace(r"\*", ".*").replace("%", "[^/]*")
        for folder in self._box.folders.values():
            if re.fullmatch(pattern, folder.name, re.IGNORECASE if folder.name == INBOX else 0):
                flags = " ".join(filter(None, ("\\HasNoChildren", folder.use)))
                self._say(f'* {name} ({flags}) "/" '.encode() + quoted(folder.name))
        return b""

    def status(self, arguments: Sequence[Token]) -> bytes:
        """``STATUS``."""
        if len(arguments) != 2:
            raise Bad("STATUS takes a folder and items")
        folder = self.find(arguments[0])
        items = [one.upper() for one in words(arguments[1])]
        if unknown := [one for one in items if one not in _STATUS]:
            raise Bad(f"STATUS has no {unknown[0][:40]}")
        told = " ".join(f"{one} {_STATUS[one](folder)}" for one in items)
        self._say(b"* STATUS " + quoted(folder.name) + f" ({told})".encode())
        return b""

    def create(self, arguments: Sequence[Token]) -> bytes:
        """``CREATE``."""
        name = word(arguments[0]).removesuffix("/") if arguments else ""
        if not name or len(name) > 200 or any(char in name for char in "*%\r\n"):
            raise No("[CANNOT] this is no name for a folder")
        if self._box.folder(name) is not None:
            raise No("[ALREADYEXISTS] there is such a folder")
        self._box.create(name)
        return b""

    def delete(self, arguments: Sequence[Token]) -> bytes:
        """``DELETE``."""
        folder = self.find(arguments[0] if arguments else "")
        if folder.name == INBOX:
            raise No("[CANNOT] INBOX stays")
        del self._box.folders[folder.name]
        return b""

    def append(self, arguments: Sequence[Token]) -> bytes:
        """``APPEND``."""
        if not 2 <= len(arguments) <= 4 or not isinstance(arguments[-1], bytes):
            raise Bad("APPEND takes a folder, perhaps flags and a time, and a mail as a literal")
        folder = self._box.folder(word(arguments[0]))
        if folder is None:
            raise No("[TRYCREATE] there is no such folder")
        middle = arguments[1:-1]
        flags = next((words(one) for one in middle if isinstance(one, list)), [])
        times = [_time(word(one)) for one in middle if not isinstance(one, list)]
        uid = self._box.add(folder, arguments[-1], flags, times[0] if times else None)
        return b"[APPENDUID %d %d] " % (folder.validity, uid)


def _time(text: str) -> datetime:
    try:
        return datetime.strptime(text.strip(), "%d-%b-%Y %H:%M:%S %z")
    except ValueError:
        raise Bad(f"{text[:40]!r} is no time like 01-Feb-2026 10:00:00 +0000") from None
