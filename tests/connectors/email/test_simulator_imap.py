"""The simulated mailbox before an independent judge: Python's own imaplib; and what no library would ever say to it."""

import asyncio
import base64
import imaplib
import re
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from connectors.email.simulator.command import MAX_LINE
from connectors.email.simulator.mailbox import MAX_MAILS
from tests.support.mail import ADDRESS, mail
from tests.support.mail_world import PASSWORD, MailWorld, mail_world

Judge = imaplib.IMAP4


@pytest.fixture
async def world() -> AsyncIterator[MailWorld]:
    async with mail_world() as found:
        yield found


async def judged(world: MailWorld, work: Callable[[Judge], Any], *, folder: str = "INBOX") -> Any:
    """What ``work`` finds, in a thread, in a folder."""

    def run() -> Any:
        with imaplib.IMAP4("127.0.0.1", world.world.imap_port, timeout=10) as judge:
            assert judge.login(ADDRESS, PASSWORD)[0] == "OK"
            assert judge.select(folder)[0] == "OK"
            return work(judge)

    return await asyncio.to_thread(run)


def uids(judge: Judge, *criteria: str) -> list[int]:
    status, (found,) = judge.uid("SEARCH", *criteria)
    assert status == "OK"
    return [int(one) for one in found.split()]


def fetched(judge: Judge, numbers: str, items: str) -> bytes:
    """All that is said, in one piece."""
    status, found = judge.uid("FETCH", numbers, items)
    assert status == "OK"
    return b" ".join(b"\r\n".join(one) if isinstance(one, tuple) else one for one in found if one is not None)


async def raw(world: MailWorld, *lines: bytes, login: bool = True) -> bytes:
    """All that the server says to these bytes, until it or LOGOUT ends the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", world.world.imap_port)
    first = b"z LOGIN %b %b\r\n" % (ADDRESS.encode(), PASSWORD.encode()) if login else b""
    writer.write(first + b"".join(lines) + b"q LOGOUT\r\n")
    async with asyncio.timeout(60):
        said = await reader.read()
    writer.close()
    return said


async def test_login_and_what_the_server_can(world: MailWorld) -> None:
    def work() -> None:
        with imaplib.IMAP4("127.0.0.1", world.world.imap_port) as judge:
            assert {"IMAP4REV1", "IDLE", "MOVE", "UIDPLUS", "SPECIAL-USE", "LITERAL+", "AUTH=PLAIN", "AUTH=XOAUTH2"} <= {
                *judge.capabilities
            }
            for wrong in ((ADDRESS, "wrong"), ("other@shop.example", PASSWORD)):
                with pytest.raises(imaplib.IMAP4.error, match="AUTHENTICATIONFAILED"):
                    judge.login(*wrong)
            with pytest.raises(imaplib.IMAP4.error):
                judge.authenticate("PLAIN", lambda _: f"\0{ADDRESS}\0wrong".encode())
            assert judge.authenticate("PLAIN", lambda _: f"\0{ADDRESS}\0{PASSWORD}".encode())[0] == "OK"
            assert judge.noop()[0] == "OK"

    await asyncio.to_thread(work)


async def test_login_by_token(world: MailWorld) -> None:
    async with world.session.post(f"{world.base}/oauth/token", data={"grant_type": "refresh_token", "refresh_token": "wrong"}) as answer:
        assert (answer.status, (await answer.json())["error"]) == (400, "invalid_grant")
    async with world.session.post(f"{world.base}/oauth/token", data={"grant_type": "refresh_token", "refresh_token": PASSWORD}) as answer:
        token = (await answer.json())["access_token"]

    def attempt(token: str) -> str:
        with imaplib.IMAP4("127.0.0.1", world.world.imap_port) as judge:
            return judge.authenticate("XOAUTH2", lambda _: f"user={ADDRESS}\1auth=Bearer {token}\1\1".encode())[0]

    assert await asyncio.to_thread(attempt, token) == "OK"
    with pytest.raises(imaplib.IMAP4.error, match="AUTHENTICATIONFAILED"):
        await asyncio.to_thread(attempt, "made-up")


MAILS = (
    mail("one Größe", id_="1@x", head="Cc: bob@example.org\n"),
    mail("two " + "x" * 5000, id_="2@x", sender="Bob <bob@example.org>"),
    mail("three", id_="3@x", head="X-Folded: a\n b\n"),
)


@pytest.mark.parametrize(
    ("criteria", "found"),
    [
        (["ALL"], [1, 2, 3]),
        (["UNSEEN"], [2, 3]),
        (["SEEN"], [1]),
        (["KEYWORD", "$Sportello"], [2]),
        (["UNKEYWORD", "$Sportello"], [1, 3]),
        (["unkeyword", "$sportello", "UNSEEN"], [3]),
        (["2:*"], [2, 3]),
        (["UID", "1,3"], [1, 3]),
        (["UID", "9:*"], [3]),
        (["NOT", "UID", "2"], [1, 3]),
        (["OR", "UID", "1", "UID", "3"], [1, 3]),
        (["OR (UID 1) (FROM bob UID 2)"], [1, 2]),
        (["FROM", "bob@example"], [2]),
        (["CC", '"bob@example.org"'], [1]),
        (["SUBJECT", "question"], [1, 2, 3]),
        (["HEADER", "Message-ID", "<2@x>"], [2]),
        (["HEADER", "X-Folded", '""'], [3]),
        (["TEXT", '"three"'], [3]),
        (["BODY", "x@"], []),
        (["LARGER", "3000"], [2]),
        (["SMALLER", "3000"], [1, 3]),
        (["SINCE", "01-Jan-2020"], [1, 2, 3]),
        (["BEFORE", "01-Jan-2020"], []),
        (["SENTON", "5-Oct-2026"], [1, 2, 3]),
        (["SENTBEFORE", "5-Oct-2026"], []),
        (["UNDELETED", "UNANSWERED"], [1, 2, 3]),
        (["CHARSET", "UTF-8", "TEXT", '"Größe"'], [1]),
    ],
    ids=lambda value: " ".join(map(str, value)),
)
async def test_search(world: MailWorld, criteria: list[str], found: list[int]) -> None:
    world.put(*MAILS)
    world.folder().mails[1].flags = frozenset({"\\Seen"})
    world.folder().mails[2].flags = frozenset({"$Sportello"})

    def work(judge: Judge) -> list[int]:
        judge._encoding = "utf-8"  # type: ignore[attr-defined]
        return uids(judge, *criteria)

    assert await judged(world, work) == found


async def test_fetch_shows_what_was_put_in_and_marks_only_what_is_read(world: MailWorld) -> None:
    world.put(*MAILS)

    def work(judge: Judge) -> None:
        assert MAILS[0] in fetched(judge, "1", "(BODY.PEEK[] RFC822.SIZE)")
        assert b"RFC822.SIZE %d" % len(MAILS[0]) in fetched(judge, "1", "(RFC822.SIZE)")
        assert b"BODY[]<10> {30}\r\n" + MAILS[1][10:40] in fetched(judge, "2", "(BODY.PEEK[]<10.30>)")
        some = fetched(judge, "3", "(BODY.PEEK[HEADER.FIELDS (X-FOLDED MESSAGE-ID)])")
        assert b"\r\nMessage-ID: <3@x>\r\nX-Folded: a\r\n b\r\n\r\n" in some
        assert b"Subject" not in some
        assert b"Subject" in fetched(judge, "3", "(BODY.PEEK[HEADER.FIELDS.NOT (X-FOLDED)])")
        assert fetched(judge, "3", "(BODY.PEEK[TEXT])").endswith(b"three\r\n )")
        assert re.search(rb'INTERNALDATE "[ \d]\d-\w{3}-\d{4} \d\d:\d\d:\d\d \+0000"', fetched(judge, "1:*", "(INTERNALDATE UID)"))
        assert uids(judge, "SEEN") == []
        assert MAILS[0] in fetched(judge, "1", "(RFC822)")
        assert uids(judge, "SEEN") == [1]
        # By number, not by UID.
        judge.uid("STORE", "1", "+FLAGS", "(\\Deleted)")
        judge.expunge()
        assert b"1 (UID 2" in judge.fetch("1", "(UID)")[1][0]  # type: ignore[operator]

    await judged(world, work)


async def test_flags_and_keywords(world: MailWorld) -> None:
    world.put(*MAILS)

    def work(judge: Judge) -> None:
        assert b"\\*" in judge.response("PERMANENTFLAGS")[1][0]
        assert b"$Sportello" in fetched_store(judge, "+FLAGS", "($Sportello \\Flagged)")
        assert b"$Sportello" not in fetched_store(judge, "-FLAGS", "($sportello)")
        assert fetched_store(judge, "FLAGS", "(\\Seen)").endswith(b"FLAGS (\\Seen))")
        assert fetched_store(judge, "+FLAGS.SILENT", "(\\Answered)") == b""
        assert b"\\Answered" in fetched(judge, "1", "(FLAGS)")

    def fetched_store(judge: Judge, action: str, flags: str) -> bytes:
        status, found = judge.uid("STORE", "1", action, flags)
        assert status == "OK"
        return b"".join(one for one in found if isinstance(one, bytes))

    await judged(world, work)

    def forbidden(judge: Judge) -> None:
        assert b"\\*" not in judge.response("PERMANENTFLAGS")[1][0]
        fetched_store(judge, "+FLAGS", "($Sportello \\Seen)")
        assert uids(judge, "KEYWORD", "$Sportello") == []

    await world.control("mailbox", {"limits": {"keywords": False}})
    await judged(world, forbidden)


async def test_copy_move_expunge_and_append(world: MailWorld) -> None:
    world.put(*MAILS)

    def work(judge: Judge) -> None:
        assert judge.uid("COPY", "1", "Archive")[0] == "OK"
        assert judge.uid("COPY", "1", "Nowhere")[0] == "NO"
        assert judge.uid("MOVE", "2", "Archive")[0] == "OK"
        assert uids(judge, "ALL") == [1, 3]
        judge.uid("STORE", "1:3", "+FLAGS", "(\\Deleted)")
        assert judge.uid("EXPUNGE", "3")[0] == "OK"
        assert uids(judge, "ALL") == [1]
        assert judge.append("Sent", "(\\Seen)", '" 1-Feb-2026 10:00:00 +0100"', b"Subject: filed\r\n\r\nx")[0] == "OK"
        assert judge.append("Nowhere", "", "", b"x")[0] == "NO"
        assert judge.status("Archive", "(MESSAGES UIDNEXT UNSEEN)")[1] == [b'"Archive" (MESSAGES 2 UIDNEXT 3 UNSEEN 2)']
        assert judge.close()[0] == "OK"
        assert judge.select("Sent", readonly=True)[1] == [b"1"]
        assert b" 1-Feb-2026 10:00:00 +0100" in fetched(judge, "1", "(INTERNALDATE)")
        # Only examined.
        assert judge.uid("STORE", "1", "+FLAGS", "(\\Deleted)")[0] == "NO"
        assert judge.select()[1] == [b"0"]

    await judged(world, work)


async def test_folders(world: MailWorld) -> None:
    def work(judge: Judge) -> None:
        assert b'(\\HasNoChildren \\Sent) "/" "Sent"' in judge.list()[1]
        assert judge.create('"Shop mail"')[0] == "OK"
        assert judge.create('"Shop mail"')[0] == "NO"
        assert judge.list('""', '"Shop%"')[1] == [b'(\\HasNoChildren) "/" "Shop mail"']
        assert judge.delete('"Shop mail"')[0] == "OK"
        assert judge.delete("INBOX")[0] == "NO"
        assert judge.select('"Shop mail"')[0] == "NO"
        assert judge.select("inbox")[0] == "OK"
        assert judge.namespace()[0] == "OK"
        assert judge.unselect()[0] == "OK"

    await judged(world, work)


async def test_a_connection_learns_what_others_do_in_its_own_numbers(world: MailWorld) -> None:
    world.put(*MAILS)

    def work(judge: Judge) -> None:
        with imaplib.IMAP4("127.0.0.1", world.world.imap_port) as other:
            other.login(ADDRESS, PASSWORD)
            other.select()
            other.uid("STORE", "1", "+FLAGS", "(\\Deleted)")
            other.uid("STORE", "3", "+FLAGS", "(\\Seen)")
            other.expunge()
            other.append("INBOX", "", "", MAILS[0])
        # Numbers hold while a search by number is answered: what is gone still counts.
        assert judge.search(None, "ALL")[1] == [b"2 3"]
        assert judge.response("EXISTS")[1][-1] == b"4"
        assert judge.response("EXPUNGE")[1] == [None]
        judge.noop()
        assert judge.response("EXPUNGE")[1] == [b"1"]
        assert judge.search(None, "ALL")[1] == [b"1 2 3"]
        assert uids(judge, "ALL") == [2, 3, 4]

    await judged(world, work)


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        (b"a SELECT\r\n", b"a BAD"),
        (b"a FETCH 1 (FLAGS)\r\n", b"a BAD select a folder first"),
        (b"a NONSENSE\r\n", b"a BAD there is no such command"),
        (b"a UID NONSENSE 1\r\n", b"a BAD there is no such UID command"),
        (b"a\r\n", b"a BAD give a tag and a command"),
        (b"\r\n", b"* BAD"),
        (b'a SELECT "INBOX\r\n', b"a BAD this is no IMAP"),
        (b"a LIST ((((\r\n", b"a BAD a bracket is not closed"),
        (b"a LIST " + b"(" * 100 + b"\r\n", b"a BAD too many brackets"),
        (b"a LIST )\r\n", b"a BAD a bracket is closed"),
        (b"a SELECT IN\0BOX\r\n", b"a BAD a line must not contain NUL"),
        (b"a SELECT INBOX\r\nb UID FETCH 1 (BODYSTRUCTURE)\r\n", b"b BAD this server does not tell 'BODYSTRUCTURE'"),
        (b"a SELECT INBOX\r\nb UID SEARCH FOO\r\n", b"b BAD unknown search key"),
        (b"a SELECT INBOX\r\nb UID SEARCH SINCE yesterday\r\n", b"b BAD 'yesterday' is no day"),
        (b"a SELECT INBOX\r\nb UID FETCH 1:x (FLAGS)\r\n", b"b BAD '1:x' is no set"),
        (b"a SELECT INBOX\r\nb UID STORE 1 FLAGZ (x)\r\n", b"b BAD STORE takes"),
        (b"a APPEND Sent {99999999999}\r\n", b"a BAD"),
        (b"a APPEND Sent {99999999}\r\n", b"a NO [TOOBIG]"),
        (b"a APPEND Sent {99999999+}\r\n", b"* BYE [TOOBIG]"),
        (b"a LOGIN x y\r\n", b"a BAD you are logged in already"),
        (b"a AUTHENTICATE GSSAPI\r\n", b"a NO [CANNOT]"),
        (b"a NOOP " + b"x" * (2 * MAX_LINE) + b"\r\n", b"* BYE [TOOBIG]"),
    ],
)
async def test_what_is_no_imap_is_answered_by_name(world: MailWorld, said: bytes, answer: bytes) -> None:
    assert answer in await raw(world, said)


async def test_a_stranger_gets_nothing(world: MailWorld) -> None:
    for command in (b"SELECT INBOX", b'LIST "" *', b"APPEND Sent {1+}\r\nx", b"IDLE", b"UID FETCH 1 (FLAGS)"):
        assert b"a BAD log in first" in await raw(world, b"a " + command + b"\r\n", login=False)
    assert b"NO [TOOBIG]" in await raw(world, b"a LOGIN {100000}\r\n", login=False)


async def test_initial_response_and_a_login_that_is_given_up(world: MailWorld) -> None:
    word = base64.b64encode(f"\0{ADDRESS}\0{PASSWORD}".encode())
    assert b"a OK" in await raw(world, b"a AUTHENTICATE PLAIN " + word + b"\r\n", login=False)
    assert b"a BAD given up" in await raw(world, b"a AUTHENTICATE PLAIN\r\n*\r\n", login=False)
    assert b"a BAD this is not base64" in await raw(world, b"a AUTHENTICATE PLAIN !!\r\n", login=False)


async def test_idle_pushes_what_comes_and_goes(world: MailWorld) -> None:
    world.put(MAILS[0])
    reader, writer = await asyncio.open_connection("127.0.0.1", world.world.imap_port)

    async def heard(wanted: bytes) -> None:
        async with asyncio.timeout(30):
            while wanted not in await reader.readline():
                pass

    writer.write(b"a LOGIN %b %b\r\nb SELECT INBOX\r\nc IDLE\r\n" % (ADDRESS.encode(), PASSWORD.encode()))
    await heard(b"+ idling")
    world.put(MAILS[1])
    await heard(b"* 2 EXISTS")
    world.folder().mails[2].flags = frozenset({"$Sportello"})
    world.world.box.expunge(world.folder(), [1])
    await heard(b"* 1 EXPUNGE")
    await heard(b"* 1 FETCH (UID 2 FLAGS ($Sportello))")
    writer.write(b"DONE\r\n")
    await heard(b"c OK")
    writer.close()


async def test_limits(world: MailWorld) -> None:
    shown = await world.control("mailbox", {"limits": {"connections": 1, "idle": False, "append_bytes": 100}})
    assert shown["limits"] == {"connections": 1, "keywords": True, "idle": False, "append_bytes": 100}

    def work(judge: Judge) -> None:
        with imaplib.IMAP4("127.0.0.1", world.world.imap_port) as other, pytest.raises(imaplib.IMAP4.error, match="LIMIT"):
            other.login(ADDRESS, PASSWORD)
        assert "IDLE" not in judge.capability()[1][0].decode().split()
        assert judge.append("Sent", "", "", b"x" * 101)[0] == "NO"
        assert judge.append("Sent", "", "", b"x" * 99)[0] == "OK"

    await judged(world, work)


async def test_a_mailbox_is_bounded(world: MailWorld) -> None:
    world.put(*(b"Subject: %d\r\n\r\n" % number for number in range(MAX_MAILS + 5)))
    assert len(world.folder().mails) == MAX_MAILS
    assert min(world.folder().mails) == 6


async def test_a_new_uidvalidity(world: MailWorld) -> None:
    world.put(*MAILS)
    world.world.box.expunge(world.folder(), [1])
    world.folder().mails[2].flags = frozenset({"$Sportello"})
    before = world.folder().validity
    shown = await world.control("mailbox", {"renew": "INBOX"})
    assert {one["name"]: one["uidvalidity"] for one in shown["folders"]}["INBOX"] == world.folder().validity
    assert world.folder().validity > before
    assert [(one.uid, one.flags) for one in world.folder().mails.values()] == [(1, frozenset()), (2, frozenset())]
    async with world.session.post(f"{world.base}/control/mailbox", json={"renew": "Nowhere"}) as answer:
        assert answer.status == 404


@pytest.mark.parametrize(
    ("fault", "said", "answer"),
    [
        ("error", b"a LOGIN x y\r\n", b"a NO [AUTHENTICATIONFAILED]"),
        ("throttled", b"a LOGIN x y\r\n", b"a NO [UNAVAILABLE]"),
        ("500", b"a LOGIN x y\r\n", b"a NO [SERVERBUG]"),
    ],
)
async def test_faults_of_a_login(world: MailWorld, fault: str, said: bytes, answer: bytes) -> None:
    await world.fault(fault, "login")
    assert answer in await raw(world, said, login=False)


@pytest.mark.parametrize(("fault", "answer"), [("throttled", b"* BYE [UNAVAILABLE]"), ("garbage", b"HTTP/1.1"), ("reset_after", b"")])
async def test_faults_of_a_connection(world: MailWorld, fault: str, answer: bytes) -> None:
    await world.fault(fault, "connect")
    said = await raw(world)
    assert said.startswith(answer)
    assert b"OK" not in said
