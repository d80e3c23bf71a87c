"""What lies in the shop's mailbox: folders, mails, flags. Memory is bounded; who watches is told of each change at once."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

#: Kept in one folder; the oldest go first.
MAX_MAILS: Final = 2000
MAX_FOLDER_BYTES: Final = 256 * 1024 * 1024
#: What a server takes of one mail.
MAX_BYTES: Final = 25 * 1024 * 1024
INBOX: Final = "INBOX"
SENT: Final = "Sent"
_FIELD: Final = re.compile(rb"^(?P<name>[!-9;-~]+)[ \t]*:[^\n]*\n(?:[ \t][^\n]*\n)*", re.MULTILINE)
#: Flags that every server has.
SYSTEM_FLAGS: Final = ("\\Answered", "\\Flagged", "\\Deleted", "\\Seen", "\\Draft")


@dataclass(slots=True, kw_only=True)
class Stored:
    """One mail in a folder."""

    uid: int
    raw: bytes
    at: datetime
    flags: frozenset[str] = frozenset()

    def has(self, flag: str) -> bool:
        """Flags know no case."""
        return flag.lower() in {one.lower() for one in self.flags}

    def fields(self) -> list[tuple[str, bytes]]:
        """Each header's name in lower case, and all of its lines as they are."""
        head = self.raw.partition(b"\r\n\r\n")[0] + b"\r\n"
        return [(found["name"].decode("ascii").lower(), found[0]) for found in _FIELD.finditer(head)]

    def header(self, name: str) -> str | None:
        """The first header of that name, unfolded; None if there is none."""
        value = next((field.partition(b":")[2] for found, field in self.fields() if found == name.lower()), None)
        return None if value is None else re.sub(rb"\r?\n", b"", value).decode("utf-8", "replace").strip()


@dataclass(slots=True, kw_only=True)
class Folder:
    """Mails in the order of their UIDs, which only ever grow."""

    name: str
    validity: int
    #: What it is for, by RFC 6154: ``\\Sent``, ``\\Trash``, …; empty for any other.
    use: str = ""
    next_uid: int = 1
    mails: dict[int, Stored] = field(default_factory=dict)
    size: int = 0


@dataclass(slots=True, kw_only=True)
class Limits:
    """What this server grants; a test changes it while it runs."""

    #: Connections that are logged in at once; more are refused.
    connections: int = 15
    #: May clients invent keywords? Some servers keep only the system's flags.
    keywords: bool = True
    #: Does it push?
    idle: bool = True
    append_bytes: int = MAX_BYTES


class Mailbox:
    """The folders of one user."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._validity = int(now())
        self.limits = Limits()
        self.folders: dict[str, Folder] = {}
        #: Called after each change of any folder.
        self.watchers: set[Callable[[], None]] = set()
        for name, use in ((INBOX, ""), (SENT, "\\Sent"), ("Drafts", "\\Drafts"), ("Trash", "\\Trash"), ("Archive", "\\Archive")):
            self.create(name, use)

    def folder(self, name: str) -> Folder | None:
        """The folder of that name; INBOX in any case of letters."""
        return self.folders.get(INBOX if name.upper() == INBOX else name)

    def create(self, name: str, use: str = "") -> Folder:
        """An empty folder, with a UIDVALIDITY that no other has had."""
        self._validity += 1
        made = self.folders[name] = Folder(name=name, validity=self._validity, use=use)
        return made

    def renew(self, name: str) -> None:
        """As after a restored backup: the same mails with new UIDs in a new UIDVALIDITY, and no flag of any client's."""
        old = self.folders[name]
        made = self.create(name, old.use)
        for mail in old.mails.values():
            self.add(made, mail.raw, at=mail.at)

    def add(self, folder: Folder, raw: bytes, flags: Iterable[str] = (), at: datetime | None = None) -> int:
        """Files a mail, with CRLF as IMAP has it; returns its UID."""
        uid = folder.next_uid
        folder.next_uid += 1
        whole = re.sub(rb"\r?\n", b"\r\n", raw)
        when = (at or datetime.fromtimestamp(self._now(), UTC)).replace(microsecond=0)
        folder.mails[uid] = Stored(uid=uid, raw=whole, at=when, flags=self.permitted(flags))
        folder.size += len(whole)
        while (len(folder.mails) > MAX_MAILS or folder.size > MAX_FOLDER_BYTES) and len(folder.mails) > 1:
            self._remove(folder, next(iter(folder.mails)))
        self.tell()
        return uid

    def expunge(self, folder: Folder, uids: Iterable[int]) -> None:
        """Removes mails for good."""
        for uid in uids:
            self._remove(folder, uid)
        self.tell()

    def permitted(self, flags: Iterable[str]) -> frozenset[str]:
        """What of these flags is kept: ``\\Recent`` is the server's own, and keywords may be forbidden."""
        system = {one.lower(): one for one in SYSTEM_FLAGS}
        keywords = (one for one in flags if not one.startswith("\\") and self.limits.keywords)
        return frozenset([*keywords, *(system[one.lower()] for one in flags if one.lower() in system)])

    def tell(self) -> None:
        """Tells all who watch."""
        for watcher in tuple(self.watchers):
            watcher()

    def _remove(self, folder: Folder, uid: int) -> None:
        if (gone := folder.mails.pop(uid, None)) is not None:
            folder.size -= len(gone.raw)
