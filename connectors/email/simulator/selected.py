"""One folder as one connection sees it: sequence numbers are the connection's own, and change only when it was told so."""

from collections.abc import Callable, Sequence
from typing import Final

from connectors.email.simulator.command import Bad, No, Numbers, Token, word, words
from connectors.email.simulator.fetch import flags, items_of, reads, show
from connectors.email.simulator.mailbox import Folder, Mailbox, Stored
from connectors.email.simulator.search import Ends, Placed, search_of

Say = Callable[[bytes], None]

_ACTIONS: Final = frozenset({"FLAGS", "+FLAGS", "-FLAGS"})


class Selected:
    """A selected folder. ``say`` takes untagged lines, without their end."""

    def __init__(self, box: Mailbox, folder: Folder, say: Say, *, writes: bool) -> None:
        self._box = box
        self.folder = folder
        self._say = say
        self.writes = writes
        self._view: list[int] = list(folder.mails)
        self._told = {uid: mail.flags for uid, mail in folder.mails.items()}

    # --- news -----------------------------------------------------------------------------------------------------------

    def tell_news(self, *, removals: bool = True) -> None:
        """What others, or this connection's own commands, have changed. RFC 3501, 7.4.1: no removals while numbers are in use."""
        mails = self.folder.mails
        if removals:
            for number in range(len(self._view), 0, -1):
                if self._view[number - 1] not in mails:
                    self._told.pop(self._view.pop(number - 1), None)
                    self._say(b"* %d EXPUNGE" % number)
        newest = self._view[-1] if self._view else 0
        fresh = [uid for uid in mails if uid > newest and uid not in self._told]
        if fresh:
            self._view += fresh
            self._told |= {uid: mails[uid].flags for uid in fresh}
            self._say(b"* %d EXISTS" % len(self._view))
        for number, uid in enumerate(self._view, 1):
            if uid in mails and mails[uid].flags != self._told[uid]:
                self._tell_flags(number, mails[uid])

    def _tell_flags(self, number: int, mail: Stored) -> None:
        self._told[mail.uid] = mail.flags
        self._say(b"* %d FETCH (UID %d %s)" % (number, mail.uid, flags(mail)))

    # --- commands -------------------------------------------------------------------------------------------------------

    def search(self, arguments: list[Token], *, by_uid: bool) -> None:
        """``[UID] SEARCH``."""
        test = search_of(arguments, Ends(len(self._view), self._largest()))
        found = [one for one in self._all() if test(one)]
        numbers = [one.mail.uid if by_uid else one.number for one in found]
        self._say(b" ".join([b"* SEARCH", *(b"%d" % number for number in numbers)]))

    def fetch(self, arguments: Sequence[Token], *, by_uid: bool) -> None:
        """``[UID] FETCH``."""
        if len(arguments) != 2:
            raise Bad("FETCH takes numbers and items")
        items = items_of(words(arguments[1]))
        if by_uid and "UID" not in (one.upper() for one in items):
            items = ["UID", *items]
        for number, mail in self._chosen(arguments[0], by_uid=by_uid):
            if reads(items) and self.writes and not mail.has("\\Seen"):
                mail.flags |= {"\\Seen"}
                self._told[mail.uid] = mail.flags
                items = items if "FLAGS" in items else [*items, "FLAGS"]
            self._say(b"* %d FETCH (%s)" % (number, show(mail, items)))

    def store(self, arguments: Sequence[Token], *, by_uid: bool) -> None:
        """``[UID] STORE``."""
        if len(arguments) < 3:
            raise Bad("STORE takes numbers, what to do, and flags")
        action, _, silent = word(arguments[1]).upper().partition(".")
        if action not in _ACTIONS or silent not in {"", "SILENT"}:
            raise Bad("STORE takes FLAGS, +FLAGS or -FLAGS, with or without .SILENT")
        self._must_write()
        given = [flag for one in arguments[2:] for flag in words(one)]
        kept = self._box.permitted(given)
        for number, mail in self._chosen(arguments[0], by_uid=by_uid):
            gone = {one.lower() for one in kept} if action != "FLAGS" else set()
            others = frozenset(one for one in mail.flags if one.lower() not in gone) if action != "FLAGS" else frozenset[str]()
            mail.flags = others if action == "-FLAGS" else others | kept
            if silent:
                self._told[mail.uid] = mail.flags
            else:
                self._tell_flags(number, mail)
        self._box.tell()

    def copy(self, arguments: Sequence[Token], *, by_uid: bool, move: bool) -> bytes:
        """``[UID] COPY`` and ``MOVE``; what to say with OK (RFC 4315: which UID became which)."""
        if len(arguments) != 2:
            raise Bad("give numbers and a folder")
        there = self._box.folder(word(arguments[1]))
        if there is None:
            raise No("[TRYCREATE] there is no such folder")
        if move:
            self._must_write()
        chosen = self._chosen(arguments[0], by_uid=by_uid)
        if not chosen:
            return b""
        made = [self._box.add(there, mail.raw, mail.flags, mail.at) for _, mail in chosen]
        uids = ",".join(str(mail.uid) for _, mail in chosen), ",".join(map(str, made))
        code = f"[COPYUID {there.validity} {uids[0]} {uids[1]}] ".encode()
        if move:
            # RFC 6851, 4.3: before the removals, in an untagged OK.
            self._say(b"* OK " + code + b"moved")
            self._box.expunge(self.folder, [mail.uid for _, mail in chosen])
            return b""
        return code

    def expunge(self, uids: str = "") -> None:
        """``EXPUNGE``; with a set of UIDs ``UID EXPUNGE``."""
        self._must_write()
        among = Numbers(uids, self._largest()) if uids else None
        gone = [mail.uid for mail in self.folder.mails.values() if mail.has("\\Deleted") and (among is None or mail.uid in among)]
        self._box.expunge(self.folder, gone)

    def _must_write(self) -> None:
        if not self.writes:
            raise No("[READ-ONLY] the folder was only examined")

    def _largest(self) -> int:
        return self._view[-1] if self._view else 0

    def _all(self) -> list[Placed]:
        mails = self.folder.mails
        return [Placed(number, mails[uid]) for number, uid in enumerate(self._view, 1) if uid in mails]

    def _chosen(self, numbers: Token, *, by_uid: bool) -> list[Placed]:
        among = Numbers(word(numbers), self._largest() if by_uid else len(self._view))
        return [one for one in self._all() if (one.mail.uid if by_uid else one.number) in among]
