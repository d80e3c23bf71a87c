"""One connection to the IMAP server: who is there, which folder is selected, one command after the other."""

import asyncio
import base64
import binascii
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol

from connectors.email.simulator.command import Bad, No, Token, TooBig, read_command, word
from connectors.email.simulator.folders import Folders
from connectors.email.simulator.mailbox import SYSTEM_FLAGS, Mailbox
from connectors.email.simulator.selected import Selected
from connectors.simulator import Fault, Faults

#: RFC 3501, 5.4: at least 30 minutes.
_SILENCE: Final = 30 * 60.0
#: Seconds for the client to take leave.
_FAREWELL: Final = 1.0
#: Of a literal before the login: a user name or password.
_SHORT: Final = 4096
_REFUSALS: Final = {"throttled": "[UNAVAILABLE] the server is busy, try again later", "500": "[SERVERBUG] internal error"}
_WRONG: Final = "[AUTHENTICATIONFAILED] invalid credentials"
#: What needs no login, and what needs no folder; all else needs one that is selected.
_STRANGERS: Final = frozenset({"capability", "noop", "logout", "id", "login", "authenticate"})
_SELECTED: Final = frozenset({"check", "close", "unselect", "expunge", "search", "fetch", "store", "copy", "move"})


class _Door(Protocol):
    def password_fits(self, username: str, password: str) -> bool: ...

    def token_fits(self, username: str, token: str) -> bool: ...


class Server(Protocol):
    """What a connection needs of its server."""

    @property
    def box(self) -> Mailbox: ...

    @property
    def door(self) -> _Door: ...

    @property
    def faults(self) -> Faults: ...

    @property
    def users(self) -> int: ...

    async def pause(self, seconds: float) -> None: ...


class Session:
    """One connection."""

    def __init__(self, server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._server = server
        self._box = server.box
        self._reader = reader
        self._writer = writer
        self._out: list[bytes] = []
        self._selected: Selected | None = None
        self._over = False
        self.logged_in = False
        folders = self._folders = Folders(self._box, self._say)
        self._commands: dict[str, Callable[[list[Token]], Awaitable[bytes] | bytes]] = {
            "capability": self._capability,
            "noop": _nothing,
            "check": _nothing,
            "subscribe": _nothing,
            "id": self._id,
            "logout": self._logout,
            "login": self._login,
            "authenticate": self._authenticate,
            "select": lambda arguments: self._select(arguments, writes=True),
            "examine": lambda arguments: self._select(arguments, writes=False),
            "close": self._close,
            "unselect": self._unselect,
            "idle": self._idle,
            "namespace": self._namespace,
            "list": lambda arguments: folders.names(arguments, "LIST"),
            "lsub": lambda arguments: folders.names(arguments, "LSUB"),
            "status": folders.status,
            "create": folders.create,
            "delete": folders.delete,
            "append": folders.append,
        }

    # --- the line -------------------------------------------------------------------------------------------------------

    def cut(self) -> None:
        """Resets the connection."""
        self._writer.transport.abort()

    def close(self) -> None:
        """Ends it when all is written."""
        self._writer.close()

    def _say(self, line: bytes) -> None:
        self._out.append(line + b"\r\n")

    def _write(self) -> None:
        out, self._out = self._out, []
        # uvloop raises for a line that was cut.
        if not self._writer.transport.is_closing():
            self._writer.write(b"".join(out))

    def _go_on(self, words: bytes = b"go on") -> None:
        self._say(b"+ " + words)
        self._write()

    async def run(self) -> None:
        """Serves until either side has had enough."""
        if (fault := self._server.faults.take("connect")) is not None:
            await self._turn_away(fault)
            await self._linger()
            return
        self._say(b"* OK [CAPABILITY " + self._capabilities() + b"] ready")
        while not self._over:
            self._write()
            await self._writer.drain()
            await self._turn()
        self._write()
        await self._linger()

    async def _linger(self) -> None:
        """Lets the client read what was said last: a socket that is closed over unread words is reset, and takes ours with it."""
        if self._writer.transport.is_closing():
            return
        # TimeoutError is one of them: who does not hang up is hung up on.
        with contextlib.suppress(OSError):
            await self._writer.drain()
            self._writer.write_eof()
            async with asyncio.timeout(_FAREWELL):
                while await self._reader.read(1 << 16):
                    pass

    async def _turn(self) -> None:
        tag = b"*"
        try:
            async with asyncio.timeout(_SILENCE):
                command = await read_command(self._reader, self._go_on, self._box.limits.append_bytes if self.logged_in else _SHORT)
            if command is None:
                self._over = True
                return
            tag = command[0].encode("ascii", "replace")
            await self._answer(tag, command[1], command[2])
        except (Bad, No) as error:
            tag = error.args[1].encode("ascii", "replace") if len(error.args) > 1 else tag
            self._say(b"%b %b %b" % (tag, b"BAD" if isinstance(error, Bad) else b"NO", error.args[0].encode()))
        except (TooBig, ValueError):
            # The other one is a stream's word for a line without end.
            self._bye("[TOOBIG] too much in one command")
        except TimeoutError:
            self._bye("you were silent for too long")

    def _bye(self, words: str) -> None:
        self._say(b"* BYE " + words.encode())
        self._over = True

    # --- one command ----------------------------------------------------------------------------------------------------

    async def _answer(self, tag: bytes, name: str, arguments: list[Token]) -> None:
        by_uid = name == "uid"
        if by_uid:
            name, arguments = word(arguments[0]).lower() if arguments else "", arguments[1:]
            if name not in {"search", "fetch", "store", "copy", "move", "expunge"}:
                raise Bad("there is no such UID command")
        elif name not in self._commands and name not in _SELECTED:
            raise Bad("there is no such command")
        if not self.logged_in and name not in _STRANGERS:
            raise Bad("log in first")
        if self._selected is None and name in _SELECTED:
            raise Bad("select a folder first")
        fault = self._server.faults.take(name)
        if fault is not None and await self._fails(fault, name):
            return
        words = await self._perform(name, arguments, by_uid=by_uid)
        if self._selected is not None:
            self._selected.tell_news(removals=by_uid or name not in {"search", "fetch", "store"})
        self._say(tag + b" OK " + words + b"done")
        if fault is not None and fault.kind in {"reset_after", "garbage"}:
            await self._break_off(fault)

    async def _perform(self, name: str, arguments: list[Token], *, by_uid: bool) -> bytes:
        chosen = self._selected
        match name:
            case "search" if chosen is not None:
                chosen.search(arguments, by_uid=by_uid)
            case "fetch" if chosen is not None:
                chosen.fetch(arguments, by_uid=by_uid)
            case "store" if chosen is not None:
                chosen.store(arguments, by_uid=by_uid)
            case "copy" | "move" if chosen is not None:
                return chosen.copy(arguments, by_uid=by_uid, move=name == "move")
            case "expunge" if chosen is not None:
                chosen.expunge(word(arguments[0]) if by_uid and arguments else "")
            case _:
                done = self._commands[name](arguments)
                return done if isinstance(done, bytes) else await done
        return b""

    # --- faults ---------------------------------------------------------------------------------------------------------

    async def _fails(self, fault: Fault, name: str) -> bool:
        """The fault, if the command is not carried out because of it."""
        match fault.kind:
            case "throttled" | "500":
                raise No(_REFUSALS[fault.kind])
            case "error":
                raise No(_WRONG if name in {"login", "authenticate"} else "[CANNOT] refused")
            case "hang":
                # Of IDLE: it looks well, and nothing is ever pushed.
                await self._fall_silent(fault, b"+ idling\r\n" if name == "idle" else b"")
                return True
            case "reset_after" | "garbage" if name == "idle":
                self._out = [b"+ idling\r\n" if fault.kind == "reset_after" else b"<html>502</html>\r\n"]
                self._over = True
                return True
        return False

    async def _turn_away(self, fault: Fault) -> None:
        if fault.kind == "hang":
            await self._fall_silent(fault, b"")
        elif fault.kind == "garbage":
            self._say(b"HTTP/1.1 400 Bad Request")
        elif fault.kind != "reset_after":
            self._say(b"* BYE [UNAVAILABLE] the server is busy")
        self._write()

    async def _fall_silent(self, fault: Fault, words: bytes) -> None:
        self._out = [words]
        self._write()
        await self._server.pause(fault.seconds)
        self.cut()
        self._over = True

    async def _break_off(self, fault: Fault) -> None:
        """In the middle of the answer."""
        said = b"".join(self._out)
        self._out = [b"<html>502</html>\r\n" if fault.kind == "garbage" else said[: len(said) // 2]]
        self._over = True

    # --- coming and going -----------------------------------------------------------------------------------------------

    def _capabilities(self) -> bytes:
        before = b"" if self.logged_in else b" AUTH=PLAIN AUTH=XOAUTH2"
        idle = b" IDLE" if self._box.limits.idle else b""
        known = b"IMAP4rev1 LITERAL+ SASL-IR ID NAMESPACE UIDPLUS MOVE SPECIAL-USE UNSELECT APPENDLIMIT=%d"
        return known % self._box.limits.append_bytes + idle + before

    def _capability(self, _: Sequence[Token]) -> bytes:
        self._say(b"* CAPABILITY " + self._capabilities())
        return b""

    def _id(self, _: Sequence[Token]) -> bytes:
        self._say(b'* ID ("name" "a simulated mail server")')
        return b""

    def _namespace(self, _: Sequence[Token]) -> bytes:
        self._say(b'* NAMESPACE (("" "/")) NIL NIL')
        return b""

    def _logout(self, _: Sequence[Token]) -> bytes:
        self._bye("good-bye")
        return b""

    def _login(self, arguments: Sequence[Token]) -> bytes:
        if len(arguments) != 2:
            raise Bad("LOGIN takes a name and a password")
        return self._admit(fits=self._server.door.password_fits(word(arguments[0]), word(arguments[1])))

    async def _authenticate(self, arguments: Sequence[Token]) -> bytes:
        if not arguments:
            raise Bad("AUTHENTICATE how?")
        how = word(arguments[0]).upper()
        if how not in {"PLAIN", "XOAUTH2"}:
            raise No("[CANNOT] this server knows PLAIN and XOAUTH2")
        said = word(arguments[1]) if len(arguments) > 1 else await self._challenge(b"")
        try:
            text = base64.b64decode(said, validate=True).decode("utf-8", "replace")
        except binascii.Error:
            raise Bad("this is not base64") from None
        if how == "PLAIN":
            _, username, password = [*text.split("\0"), "", ""][:3]
            return self._admit(fits=self._server.door.password_fits(username, password))
        fields = dict(one.partition("=")[::2] for one in text.split("\1") if one)
        if self._server.door.token_fits(fields.get("user", ""), fields.get("auth", "").removeprefix("Bearer ")):
            return self._admit(fits=True)
        # Google's and Microsoft's way: the reason as another challenge, and NO after whatever the client says to it.
        await self._challenge(base64.b64encode(b'{"status":"400","schemes":"Bearer"}'))
        return self._admit(fits=False)

    async def _challenge(self, words: bytes) -> str:
        self._go_on(words)
        said = (await self._reader.readline()).strip()
        if said == b"*":
            raise Bad("given up")
        return said.decode("ascii", "replace")

    def _admit(self, *, fits: bool) -> bytes:
        if self.logged_in:
            raise Bad("you are logged in already")
        if not fits:
            raise No(_WRONG)
        if self._server.users >= self._box.limits.connections:
            raise No("[LIMIT] too many simultaneous connections")
        self.logged_in = True
        return b"[CAPABILITY " + self._capabilities() + b"] "

    # --- a folder -------------------------------------------------------------------------------------------------------

    def _select(self, arguments: Sequence[Token], *, writes: bool) -> bytes:
        self._selected = None
        if not arguments:
            raise Bad("SELECT which folder?")
        folder = self._folders.find(arguments[0])
        chosen = Selected(self._box, folder, self._say, writes=writes)
        flags = " ".join(SYSTEM_FLAGS)
        kept = (f"{flags} \\*" if self._box.limits.keywords else flags) if writes else ""
        unseen = next((number for number, mail in enumerate(folder.mails.values(), 1) if not mail.has("\\Seen")), 0)
        for line in (
            f"* FLAGS ({flags})",
            f"* {len(folder.mails)} EXISTS",
            "* 0 RECENT",
            *([f"* OK [UNSEEN {unseen}] the first"] if unseen else []),
            f"* OK [PERMANENTFLAGS ({kept})] kept",
            f"* OK [UIDVALIDITY {folder.validity}] the same while UIDs are",
            f"* OK [UIDNEXT {folder.next_uid}] the next",
        ):
            self._say(line.encode())
        self._selected = chosen
        return b"[READ-WRITE] " if writes else b"[READ-ONLY] "

    def _close(self, _: Sequence[Token]) -> bytes:
        chosen, self._selected = self._selected, None
        if chosen is not None and chosen.writes:
            chosen.expunge()
        return b""

    def _unselect(self, _: Sequence[Token]) -> bytes:
        self._selected = None
        return b""

    async def _idle(self, _: Sequence[Token]) -> bytes:
        if not self._box.limits.idle:
            raise Bad("there is no such command")
        self._go_on(b"idling")
        self._push()
        self._box.watchers.add(self._push)
        try:
            async with asyncio.timeout(_SILENCE):
                said = (await self._reader.readline()).strip().upper()
        finally:
            self._box.watchers.discard(self._push)
        if said != b"DONE":
            self._over = True
            raise Bad("DONE was expected")
        return b""

    def _push(self) -> None:
        if self._selected is not None:
            self._selected.tell_news()
            self._write()


async def _nothing(_: Sequence[Token]) -> bytes:
    return b""
