"""The kit with providers that are not asked by HTTP, files that come within the message, and settings that must be refused."""

import asyncio
import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest

from connectors.abilities import FetchedMedia
from connectors.content import Media, MediaKind
from connectors.contract import Call, ClientContext, Connector, Reply, Request
from connectors.event import AnyEvent, MessageReceived
from gateway.kit import Sample, Talk, wild
from gateway.kit.bench import Bench, find_connector
from gateway.kit.case import Setting
from gateway.kit.checks import CHECKS, run_check
from gateway.kit.findings import State
from gateway.kit.folder import Folder, Found, read_folder

PIGEON = Path(__file__).parents[2] / "third_party" / "pigeon"
BY_ID = {check.id: check for check in CHECKS}


@pytest.fixture(scope="module", autouse=True)
def _pigeon_at_hand() -> Iterator[None]:
    sys.path.insert(0, str(PIGEON))
    yield
    sys.path.remove(str(PIGEON))


@cache
def pigeon() -> Connector[Any]:
    return find_connector("sportello_pigeon")


def red(connector: Connector[Any], id_: str, cases: Sequence[Setting] = (), **sample: Any) -> str:
    """The words of a check that fails; empty if it does not."""
    given = read_folder(PIGEON / "tests")
    changed: Sample = replace(given.sample, **sample)
    found = (*given.found, *(Found(case, given.path) for case in cases))
    result = run_check(Bench(connector, Folder(given.path, changed, found)), BY_ID[id_])
    return "\n".join(result.findings.lines()) if result.state is State.FAILED else ""


# --- line by line -------------------------------------------------------------------------------------------------------


def says(lines: Sequence[bytes]) -> bytes | None:
    """Greets, wants the key, and then the message, which ends with a dot."""
    if not lines:
        return b"coo\n"
    if len(lines) == 1:
        return b"ok welcome\n"
    return None if lines[-1] == b".\n" else b""


TALK = Talk(says=says, refuses=lambda words: f"no {words}\n".encode())


class Lines:
    """A client that talks as it should; what is wrong in the others is a change of this."""

    #: Does it hide the key in the server's words?
    hides = True
    #: Does it know that a message may have been taken?
    unsure = True
    stubborn = False
    deaf = False

    def __init__(self, settings: Any, context: ClientContext) -> None:
        del context
        self._key = settings.key.reveal()
        host, _, port = settings.api_base.removeprefix("http://").partition(":")
        self._host, self._port = host, int(port)

    async def send(self, call: Call) -> Reply:
        written = False
        try:
            async with contextlib.AsyncExitStack() as stack:
                reader, writer = await asyncio.open_connection(self._host, self._port)
                stack.callback(writer.transport.abort)
                words = ""
                for line in (b"", f"key {self._key}\n".encode(), b"%s\n.\n" % msgspec.json.encode(call.json)):
                    written = line.endswith(b".\n")
                    writer.write(line)
                    words = (await reader.readline()).decode()
                    if not words:
                        raise ConnectionResetError
                    if words.startswith("no ") and not self.deaf:
                        shown = words.replace(self._key, "[hidden]") if self.hides else words
                        return Reply(status=403, body=msgspec.json.encode({"error": shown}))
                return Reply(status=201, body=b'{"id": "f1"}')
        except asyncio.CancelledError:
            if self.stubborn:
                return Reply(status=0, written=True)
            raise
        except OSError:
            return Reply(status=0, body=b"the line broke", written=written and self.unsure)

    async def close(self) -> None:
        """Nothing stays open."""


class Repeating(Lines):
    """Shows the server's words as they came."""

    hides = False


class Optimistic(Lines):
    """Thinks that what was not answered was not taken."""

    unsure = False


class Stubborn(Lines):
    """Does not let itself be cancelled."""

    stubborn = True


class Deaf(Lines):
    """Hears no refusal."""

    deaf = True


@pytest.mark.parametrize(
    ("client", "wrong"),
    [
        (Lines, {}),
        (Repeating, {"C12": "shows a secret"}),
        (Deaf, {"C12": "a refusal as answer"}),
        (Optimistic, {"C19": "the provider hangs up"}),
        (Stubborn, {"C19": "a cancelled call gives an answer"}),
    ],
)
def test_a_server_that_is_spoken_to_line_by_line(client: type[Lines], wrong: Mapping[str, str]) -> None:
    connector = replace(pigeon(), client=client)
    for id_ in ("C12", "C19"):
        found = red(connector, id_, talk=TALK)
        assert (wrong[id_] in found) if id_ in wrong else found == "", (id_, found)


# --- files within the message ---------------------------------------------------------------------------------------------


def with_file(size: int = 4, ref: str = "") -> Callable[[Request, Any], Sequence[AnyEvent]]:
    def parse(request: Request, settings: Any) -> Sequence[AnyEvent]:
        events = pigeon().parse(request, settings)
        media = [
            Media(kind=MediaKind.FILE, ref=ref or f"raw:{event.key}#1", mime="text/plain", name="a.txt", size=size) for event in events
        ]
        return [
            msgspec.structs.replace(event, parts=(*event.parts, one)) if isinstance(event, MessageReceived) else event
            for event, one in zip(events, media, strict=True)
        ]

    return parse


class Taking(Lines):
    """Takes files out of what was stored."""

    bounded = True
    choosy = True

    def extract(self, raw: bytes, ref: str, max_bytes: int) -> FetchedMedia:
        if (self.choosy and not ref.endswith("#1")) or (self.bounded and max_bytes < 4):
            return FetchedMedia(problem="not there, or too large")
        return FetchedMedia(data=raw[:4]) if len(raw) >= 4 else FetchedMedia(problem="not there")


class Unbounded(Taking):
    bounded = False


class Careless(Taking):
    choosy = False


@pytest.mark.parametrize(
    ("client", "parse", "wrong"),
    [
        (Taking, with_file(), ""),
        (Taking, with_file(size=5), "Give the file's bytes"),
        (Taking, with_file(ref="raw:another#1"), "A reference is raw:<event key>#<place>"),
        (Taking, None, "no inbound case has a file within the message"),
        (Unbounded, with_file(), "too large or not there"),
        (Careless, with_file(), "too large or not there"),
    ],
)
def test_files_within_the_message(client: type[Taking], parse: Callable[..., Any] | None, wrong: str) -> None:
    good = pigeon()
    able = msgspec.structs.replace(good.capabilities, receives=good.capabilities.receives | {"media"})
    found = red(replace(good, capabilities=able, client=client, parse=parse or good.parse), "C16")
    assert (wrong in found) if wrong else found == "", found


# --- settings, accounts, mails ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "refused", "wrong"),
    [
        ({"loft": 5}, "loft", ""),
        ({"loft": 5}, "quite other words", "instead of 'quite other words'"),
        ({"loft": "loft-2"}, "loft", "taken, instead of 'loft'"),
    ],
)
def test_settings_that_must_be_refused(changes: dict[str, Any], refused: str, wrong: str) -> None:
    found = red(pigeon(), "C01", [Setting(name="odd", changes=changes, refused=refused)])
    assert (wrong in found) if wrong else found == "", found


def test_a_case_of_settings_needs_words() -> None:
    with pytest.raises(ValueError, match="refused"):
        Setting(changes={}, refused="")


def test_accounts_are_excused_only_where_no_event_names_one() -> None:
    good = pigeon()

    def nameless(request: Request, settings: Any) -> Sequence[AnyEvent]:
        return [msgspec.structs.replace(event, account="") for event in good.parse(request, settings)]

    excuse = {"accounts": "pigeons come home"}
    assert "no inbound case is for" in red(replace(good, parse=nameless), "C06", merge=None)
    assert red(replace(good, parse=nameless), "C06", merge=None, exempt=excuse) == ""
    assert "an event names the account" in red(good, "C06", exempt=excuse)


MAIL = b"From: a@x.example\r\nSubject: one\r\n two\r\nContent-Type: text/plain\r\n\r\nHello: you\r\n"


def test_mails_are_broken_by_their_headers() -> None:
    lines = wild.as_headers(MAIL)
    assert lines is not None
    assert lines == [b"From: a@x.example\r\n", b"Subject: one\r\n two\r\n", b"Content-Type: text/plain\r\n", b"\r\nHello: you\r\n"]
    assert list(wild.unknown_kinds(MAIL)) == [("Content-Type", MAIL.replace(b"text/plain", b"kit_unknown"))]
    changed = list(wild.confused(MAIL))
    assert MAIL.replace(b"Subject: one\r\n two\r\n", b"") in changed
    assert MAIL.replace(b"one\r\n two", b"<") in changed
    assert wild.as_headers(b'{"a": 1}') is None
    assert wild.as_headers(b"no header\n\nbody: x") is None
