"""What a mail is taken for: reports, loops, threads, trust; bad mails by the rows of the list of bad input; any bytes at all."""

import random
import re
import time
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies

from config import ConfigError, Secret
from connectors.content import Envelope, Html, Media, Text
from connectors.contract import Request
from connectors.email import CONNECTOR
from connectors.email.body import extract
from connectors.email.html import clean_html
from connectors.email.inbound import DOUBTED, ENVELOPE_FROM, SECRET_HEADER, keeps, parse, verify
from connectors.email.mime import parse_mime
from connectors.email.quote import fold_of
from connectors.email.settings import receiver_secret
from connectors.email.tokens import message_id, reply_address
from connectors.errors import BadPayload, FailureKind
from connectors.event import AnyEvent, ConsentChanged, MessageReceived, PayloadIgnored, Status, StatusReported
from connectors.identity import Evidence, Identity
from tests.support.mail import ADDRESS, WEBHOOK_SECRET, events_of, mail, mail_settings, request_of

MAILS = Path(__file__).parent / "mails"
ID = "msg_0123456789abcdefghjkmnpqrs"
OURS = message_id(ID, "ada@example.org", mail_settings())
#: Seconds for anything that anybody may send.
BOUNDED = 5.0


def received(raw: bytes, **headers: str) -> MessageReceived:
    (event,) = events_of(raw, None, **headers)
    assert isinstance(event, MessageReceived)
    return event


def envelope(event: MessageReceived) -> Envelope:
    found = event.parts[0]
    assert isinstance(found, Envelope)
    return found


def report(kind: str, fields: str, *, original: str = OURS, head: str = "", words: str = "Sorry.") -> bytes:
    """A multipart/report about a mail of ours."""
    return (
        f"From: MAILER-DAEMON@mx.example.org\r\nTo: {ADDRESS}\r\nSubject: Report\r\nMessage-ID: <r@mx.example.org>\r\n{head}"
        f"Content-Type: multipart/report; report-type={kind}; boundary=B\r\n\r\n--B\r\nContent-Type: text/plain\r\n\r\n{words}\r\n"
        f"--B\r\nContent-Type: message/{kind}\r\n\r\n{fields}\r\n--B\r\nContent-Type: text/rfc822-headers\r\n\r\n"
        f"From: {ADDRESS}\r\nTo: ada@example.org\r\nMessage-ID: <{original}>\r\n\r\n--B--\r\n"
    ).encode()


# --- who may bring mail -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("secret", "right"),
    [
        ("", False),
        ("wrong", False),
        (WEBHOOK_SECRET, True),
        (WEBHOOK_SECRET + "é", False),
        (receiver_secret(mail_settings()).reveal(), True),
    ],
)
def test_only_our_receivers_and_who_knows_the_secret(secret: str, right: bool) -> None:  # noqa: FBT001
    request = Request(method="POST", url="https://x", headers={SECRET_HEADER: secret}, body=b"x", received_at=request_of(b"").received_at)
    assert verify(request, mail_settings()) is right
    assert SECRET_HEADER not in keeps(request)


def test_without_a_webhook_secret_no_stranger_gets_in() -> None:
    request = Request(method="POST", url="https://x", headers={SECRET_HEADER: ""}, body=b"x", received_at=request_of(b"").received_at)
    assert not verify(request, mail_settings(webhook_secret=""))


@pytest.mark.parametrize(
    "wrong",
    [
        {"address": "no address"},
        {"secret": "short"},
        {"reply_address": "support@shop.example"},
        {"reply_address": "a-very-long-name-for-support+{token}@shop.example"},
        {"from_name": "{boss}"},
        {"mailboxes": [{"host": "x", "username": "u", "since": "2026-01-01"}]},
        {"mailboxes": [{"host": "x", "username": "u", "password": "p"}]},
        {"smtp": {"host": "mail.example.org", "security": "none", "username": "u", "password": "p"}},
        {"listen": {"host": "0.0.0.0", "certificate": "x"}},  # noqa: S104
        {"trust": "everybody"},
    ],
)
def test_settings_that_cannot_be_meant(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        mail_settings(**wrong)


# --- reports ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "diagnostic", "code", "kind"),
    [
        ("5.1.1", "smtp; 550 5.1.1 user unknown", "5.1.1", FailureKind.RECIPIENT),
        ("5.0.0", "smtp; 550 5.7.1 blocked by policy", "5.7.1", FailureKind.INVALID),
        ("5.2.2", "smtp; 552 mailbox full", "5.2.2", FailureKind.RECIPIENT),
        ("5.3.4", "smtp; 552 5.3.4 too big", "5.3.4", FailureKind.INVALID),
        ("4.4.7", "smtp; 421 4.4.7 gave up after 5 days", "4.4.7", FailureKind.RECIPIENT),
    ],
)
def test_a_bounce_is_the_failure_of_our_mail(status: str, diagnostic: str, code: str, kind: FailureKind) -> None:
    fields = (
        "Reporting-MTA: dns; mx.example.org\r\n\r\nFinal-Recipient: rfc822; ada@example.org\r\n"
        f"Action: failed\r\nStatus: {status}\r\nDiagnostic-Code: {diagnostic}\r\n"
    )
    (event,) = events_of(report("delivery-status", fields))
    assert isinstance(event, StatusReported)
    assert (event.message_id, event.status, event.code, event.failure) == (OURS, Status.FAILED, code, kind)


def test_a_delay_is_no_failure() -> None:
    (event,) = events_of(report("delivery-status", "X: y\r\n\r\nFinal-Recipient: rfc822; a@b\r\nAction: delayed\r\nStatus: 4.4.1\r\n"))
    assert isinstance(event, PayloadIgnored)


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (f"The mail <{OURS}> was not delivered.", Status.FAILED),
        (f"550 5.1.1 <ada@example.org>: user unknown\n\n--- The header:\nMessage-ID: <{OURS}>\n", Status.FAILED),
        (f"Der Empfänger existiert nicht.\n\nMessage-Id: <{OURS.upper()}>", Status.FAILED),
    ],
)
def test_a_bounce_in_free_words(words: str, status: Status) -> None:
    raw = f"Return-Path: <>\r\nFrom: MAILER-DAEMON@x.example\r\nSubject: failure notice\r\nMessage-ID: <b@x>\r\n\r\n{words}\r\n".encode()
    (event,) = events_of(raw)
    assert isinstance(event, StatusReported)
    assert (event.message_id, event.status) == (OURS, status)


def test_a_complaint_silences_only_the_one_who_got_the_mail() -> None:
    (event,) = events_of(report("feedback-report", "Feedback-Type: abuse\r\nOriginal-Rcpt-To: ada@example.org\r\n"))
    assert isinstance(event, ConsentChanged)
    assert (event.sender.identity, event.opted_in) == (Identity("mailto", "", "ada@example.org"), False)
    other = message_id(ID, "bob@example.org", mail_settings())
    (event,) = events_of(report("feedback-report", "Feedback-Type: abuse\r\nOriginal-Rcpt-To: ada@example.org\r\n", original=other))
    assert isinstance(event, MessageReceived)


def test_a_receipt_is_read_and_one_without_reading_is_not() -> None:
    said = "Final-Recipient: rfc822; a@b\r\nOriginal-Message-ID: <{}>\r\nDisposition: manual-action/MDN-sent-manually; {}\r\n"
    (event,) = events_of(report("disposition-notification", said.format(OURS, "displayed")))
    assert isinstance(event, StatusReported)
    assert (event.message_id, event.status) == (OURS, Status.READ)
    (event,) = events_of(report("disposition-notification", said.format(OURS, "deleted")))
    assert not isinstance(event, StatusReported)


def test_b58_a_bounce_for_a_mail_that_we_never_sent_is_a_mail() -> None:
    fields = "X: y\r\n\r\nFinal-Recipient: rfc822; a@b\r\nAction: failed\r\nStatus: 5.1.1\r\n"
    for original in ("msg_0123456789abcdefghjkmnpqrs@shop.example", message_id(ID, "a@b", mail_settings(secret="canary-" + "x" * 32))):
        event = received(report("delivery-status", fields, original=original))
        assert event.automatic


def test_our_own_mail_back_is_nothing() -> None:
    (event,) = events_of(mail(id_=OURS))
    assert isinstance(event, PayloadIgnored)
    (event,) = events_of(mail(sender="Sales <sales@shop.example>"))
    assert isinstance(event, PayloadIgnored)


# --- threads and trust ------------------------------------------------------------------------------------------------------


def test_a_reply_address_of_ours_proves_the_thread_and_the_sender() -> None:
    back = reply_address(ID, "ada@example.org", mail_settings())
    event = received(mail(proved=False, head=f"References: <old@example.org>\nDelivered-To: {back.upper()}\n"))
    assert (event.references, event.reply_to, event.proved) == (("old@example.org", OURS), OURS, True)
    assert (event.sender.identity, event.sender.evidence) == (Identity("mailto", "", "ada@example.org"), Evidence.SIGNED)
    assert "unverified" not in envelope(event).remarks


def test_b45_the_same_address_used_by_another_is_a_newcomer() -> None:
    back = reply_address(ID, "ada@example.org", mail_settings())
    event = received(mail(sender="Bob <bob@example.net>", proved=False, head=f"Delivered-To: {back}\n"))
    assert not event.proved
    assert {"newcomer", "unverified"} <= set(envelope(event).remarks)
    assert event.sender.identity.scope
    assert all(evidence is Evidence.CLAIMED for _, evidence in event.sender.aliases)


@pytest.mark.parametrize("change", [0, 10, 30, -1])
def test_b44_a_forged_reply_address_proves_nothing(change: int) -> None:
    local, _, domain = reply_address(ID, "ada@example.org", mail_settings()).partition("@")
    token = list(local.removeprefix("support+"))
    token[change] = "b" if token[change] == "a" else "a"
    event = received(mail(proved=False, head=f"Delivered-To: support+{''.join(token)}@{domain}\nReferences: <{OURS}>\n"))
    assert not event.proved
    assert event.sender.identity.scope


def test_an_answer_from_a_relay_that_rewrote_our_domain_still_names_us() -> None:
    rewritten = OURS.partition("@")[0] + "@relay.example"
    fields = "X: y\r\n\r\nFinal-Recipient: rfc822; a@b\r\nAction: failed\r\nStatus: 5.1.1\r\n"
    (event,) = events_of(report("delivery-status", fields, original=rewritten))
    assert isinstance(event, StatusReported)
    assert event.message_id == OURS


def test_b41_a_spoofed_sender_is_nobody_whom_we_know() -> None:
    event = received(mail(proved=False))
    assert event.sender.identity == Identity("mailto", f"{ADDRESS}/unverified", "ada@example.org")
    assert event.sender.aliases == ((Identity("mailto", "", "ada@example.org"), Evidence.CLAIMED),)
    assert "unverified" in envelope(event).remarks


def test_b42_results_from_a_server_that_is_not_believed_do_not_count() -> None:
    assert received(mail()).sender.identity.scope == ""
    assert received(mail(), **{DOUBTED: "1"}).sender.identity.scope


def test_b43_an_answer_does_not_go_where_reply_to_points_in_another_house() -> None:
    assert received(mail(head="Reply-To: victim@other.example\n")).thread.startswith("mailto:ada@example.org?")
    assert received(mail(head="Reply-To: desk@mail.example.org\n")).thread.startswith("mailto:desk@mail.example.org?")


def test_b46_one_message_id_and_two_mails_are_two_events() -> None:
    first, second, third = mail("one"), mail("two"), mail("one", sender="Eve <eve@evil.example>")
    assert len({received(one).key for one in (first, second, third)}) == 3
    assert received(first).key == received(first.replace(b"From:", b"Delivered-To: sales@shop.example\r\nFrom:")).key


def test_trust_all_is_said_so() -> None:
    (event,) = events_of(mail(proved=False), mail_settings(trust="all"))
    assert isinstance(event, MessageReceived)
    assert event.sender.identity == Identity("mailto", "", "ada@example.org")


# --- bad input --------------------------------------------------------------------------------------------------------------


def _deep(depth: int) -> bytes:
    raw = b"Subject: deep\r\n"
    for level in range(depth):
        raw += b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (level, level)
    return raw + b"\r\nx"


_BAD = {
    "B49 depth 1,000": _deep(1000),
    "B49 depth 100": _deep(100),
    "B49 100,000 parts": b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n\r\nx\r\n" * 100_000,
    "B49 100,000 headers": b"".join(b"X-%d: y\r\n" % number for number in range(100_000)) + b"\r\nbody",
    "B49 one header of 10 MB": b"Subject: " + b"x" * 10_000_000 + b"\r\n\r\nbody",
    "no headers": b"just text without any header line\r\n",
    "empty": b"  \r\n ",
}


@pytest.mark.parametrize("name", _BAD)
def test_b49_too_much_of_anything_is_refused_at_once(name: str) -> None:
    began = time.perf_counter()
    with pytest.raises(BadPayload):
        events_of(_BAD[name])
    assert time.perf_counter() - began < BOUNDED


_HEAVY = {
    "B48 10,000 recipients": mail(head="Cc: " + ", ".join(f"a{number}@example.org" for number in range(10_000)) + "\n"),
    "B49 no end boundary, 5 MB": b"From: a@b.example\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n"
    + b"--\r\n-b\r\n" * 700_000,
    "B50 idna": mail(head="Content-Type: text/plain; charset=idna\n"),
    "B51 rfc822 within 50 others": mail(head="Content-Type: message/rfc822\n") + b"Content-Type: message/rfc822\r\n\r\n" * 50,
    "B54 deep html": mail("<div>" * 100_000, head="Content-Type: text/html\n"),
    "unclosed tags": mail("<a " * 300_000, head="Content-Type: text/html\n"),
    "unclosed divs": mail("<div class='x" * 200_000, head="Content-Type: text/html\n"),
    "unclosed links": mail("<link x=y " * 200_000, head="Content-Type: text/html\n"),
    "comments": mail("<!--" * 300_000, head="Content-Type: text/html\n"),
    "quotes": mail("> \n" * 100_000),
    "attributions": mail("On Monday somebody said:\n" * 20_000),
    "colons": mail("x:\n" * 200_000),
    "begin lines": mail("begin 644 x\n" * 50_000),
    "encoded words": mail(head="X-Y: 1\nSubject: " + "=?utf-8?q?a?= " * 20_000 + "\n", id_="w@x"),
    "parameters": mail(head="Content-Type: text/plain" + "; a*0*=utf-8''%41" * 20_000 + "\n"),
    "brackets in From": mail(sender="<" * 50_000 + "a@b.example>"),
    "comments in From": mail(sender="(" * 50_000 + "a@b.example"),
    "an address without an end": mail(sender="a" * 100_000),
    "dots": mail(sender="." * 250 + "@" + "-." * 100),
    "references": mail(head="References: " + "<a@b> " * 50_000 + "\n"),
    "bytes of every kind": mail(bytes(range(256)).decode("latin-1") * 4000),
    "zero bytes": mail("\0" * 1_000_000),
    "results": mail(head="Authentication-Results: " + "(" * 10_000 + ")" * 10_000 + "\n", proved=False),
    "a file name without an end": mail(head='Content-Disposition: attachment; filename="' + "\\" * 50_000 + "\n"),
}


@pytest.mark.parametrize("name", _HEAVY)
def test_heavy_mails_are_read_in_bounded_time(name: str) -> None:
    began = time.perf_counter()
    (event,) = events_of(_HEAVY[name])
    assert time.perf_counter() - began < BOUNDED
    assert event.key


def test_b29_a_text_of_a_megabyte_is_cut_and_says_so() -> None:
    (text,) = (part for part in received(mail("x" * 1_000_000)).parts if isinstance(part, Text))
    assert (len(text.text), text.text[-3:]) == (65_536, "[…]")


@pytest.mark.parametrize(
    ("row", "html"),
    [
        ("B52", "<script>alert(1)</script>"),
        ("B52", "<img src=x onerror=alert(1)>"),
        ("B52", "<a href='javascript:alert(1)'>x</a>"),
        ("B52", "<a href=' \x01javascript:alert(1)'>x</a>"),
        ("B52", "<a href='data:text/html,x'>x</a>"),
        ("B52", "<base href=//evil.example><meta http-equiv=refresh content='0;url=//evil.example'>"),
        ("B52", "<form action=//evil.example><input></form><iframe srcdoc='<script>'></iframe>"),
        ("B52", "<svg><style><img src=x onerror=alert(1)></style></svg><math><mtext></mtext></math>"),
        ("B52", "<noscript><p title='</noscript><img src=x onerror=alert(1)>'></noscript>"),
        ("B52", "<div id=location name=cookie class=x>x</div>"),
        ("B53", "<img src=https://evil.example/p.gif><link rel=stylesheet href=https://evil.example/x.css>"),
        ("B53", "<div style='background:url(//evil.example/x)'>x</div><table background=//evil.example/y></table>"),
        ("B53", "<style>@import url(https://evil.example/x.css)</style><video poster=//evil.example/z></video>"),
        ("B53", "<img src='//evil.example/p.gif' srcset='//evil.example/q.gif 2x'><img src='/p.gif'>"),
        ("B54", "<div style='position:fixed;width:10000px;display:none'>x</div>"),
    ],
)
def test_b52_html_that_does_something_does_nothing_here(row: str, html: str) -> None:
    del row
    clean = clean_html(f"<p>Hello</p>{html}")
    for bad in (
        "script",
        "onerror",
        "javascript:",
        "data:",
        "style",
        "evil.example",
        "iframe",
        "form",
        " id=",
        "class=",
        "srcset",
        "<base",
        "<meta",
    ):
        assert bad not in clean.html, clean.html
    assert clean.text.startswith("Hello")


@pytest.mark.parametrize(
    ("html", "shown", "pictures"),
    [
        ("<img src=https://a.example/1.png>", ["remote:0"], ["https://a.example/1.png"]),
        ("<img src='//a.example/1.png'>", ["remote:0"], ["https://a.example/1.png"]),
        (
            "<img src=HTTP://a.example/1><img src=' https://a.example/2 '>",
            ["remote:0", "remote:1"],
            ["HTTP://a.example/1", "https://a.example/2"],
        ),
        ("<img src=https://a.example/1><img src=https://a.example/1>", ["remote:0", "remote:0"], ["https://a.example/1"]),
        ("<img src=remote:0><img src=https://a.example/1>", ["remote:0"], ["https://a.example/1"]),
        (
            "<img src=remote:7><img src=/p.gif><img src=ftp://a.example/1><img src=data:image/png;base64,x><img src=file:///etc/passwd>",
            [],
            [],
        ),
        ("<img src='https://a.example/\x01'><img src='https://a.example/" + "x" * 2000 + "'>", [], []),
        ("<img src=cid:one@x>", ["cid:one@x"], []),
    ],
)
def test_b53_pictures_from_afar_are_only_named(html: str, shown: list[str], pictures: list[str]) -> None:
    clean = clean_html(f"<p>Hello</p>{html}")
    assert re.findall(r'src="([^"]*)"', clean.html) == shown
    assert list(clean.pictures) == pictures


def test_b53_a_mail_names_only_so_many_pictures() -> None:
    many = "".join(f"<img src=https://a.example/{number}>" for number in range(200))
    clean = clean_html(many)
    assert (len(clean.pictures), clean.remote, clean.html.count("remote:")) == (50, 200, 50)
    # What is cut keeps their names, too.
    long = clean_html("<img src=https://a.example/1>" + "<p>x</p>" * 100_000)
    assert 'src="remote:0"' in long.html


def test_b50_utf_7_is_never_taken_for_html() -> None:
    event = received(mail("+ADw-script+AD4-alert(1)+ADw-/script+AD4-", head="Content-Type: text/html; charset=utf-7\n"))
    assert all("<script" not in part.html for part in event.parts if isinstance(part, Html))
    assert "+ADw-" in next(part.text for part in event.parts if isinstance(part, Text))


@pytest.mark.parametrize(
    "head", ["Auto-Submitted: auto-generated\n", "Precedence: bulk\n", "List-Id: <x>\n", "X-Loop: us\n", "Return-Path: <>\n"]
)
def test_b55_a_machines_mail_is_kept_and_never_answered_by_one(head: str) -> None:
    assert received(mail(head=head)).automatic
    assert not received(mail(head="Auto-Submitted: no\n")).automatic


def test_b55_a_mail_that_goes_in_circles_is_refused() -> None:
    with pytest.raises(BadPayload):
        events_of(mail(head="Received: from a by b\n" * 51))
    assert received(mail(), **{ENVELOPE_FROM: ""}).automatic


def test_b30_b31_names_and_subjects_are_data() -> None:
    event = received(mail("{{7*7}} ${x} %s", sender='"<img onerror=x> \u202egpj" <ada@example.org>'))
    assert event.sender.name == "<img onerror=x> gpj"
    assert any(isinstance(part, Text) and part.text == "{{7*7}} ${x} %s" for part in event.parts)


def test_b34_b35_addresses_that_look_alike_and_are_alike() -> None:
    values = [
        received(mail(sender=one)).sender.identity.value for one in ("аlice@shop2.example", "Alice@Shop2.EXAMPLE", "alice@shop2.example")
    ]
    assert values[1] == values[2] != values[0]
    assert received(mail(sender="a.b+x@gmail.example")).sender.identity.value == "a.b+x@gmail.example"


def test_b57_b59_b60_files_are_carried_and_never_opened() -> None:
    for mime, data in (("application/zip", b"PK\x03\x04"), ("text/calendar", b"BEGIN:VCALENDAR"), ("image/svg+xml", b"<svg onload=x>")):
        raw = mail(data.decode("latin-1"), head=f"Content-Type: {mime}; name=x\nContent-Disposition: attachment\n")
        (media,) = (part for part in received(raw).parts if isinstance(part, Media))
        assert media.kind == "file"
        assert extract(parse_mime(raw), media.ref.rpartition("#")[2], 1000).data.strip() == data


@pytest.mark.parametrize("limit", [3, 4])
def test_a_file_that_is_too_large_is_said_so(limit: int) -> None:
    raw = mail("AAAAAA==", head="Content-Type: image/png; name=x.png\nContent-Transfer-Encoding: base64\n")
    fetched = extract(parse_mime(raw), "", limit)
    assert bool(fetched.data) is (limit == 4)
    assert bool(fetched.problem) is (limit == 3)
    assert extract(parse_mime(raw), "9.9", 10).problem


# --- anything ---------------------------------------------------------------------------------------------------------------

_SEEDS = [path.read_bytes() for path in sorted(MAILS.glob("*.eml"))]


def _read(raw: bytes) -> list[AnyEvent]:
    try:
        return list(CONNECTOR.parse(request_of(raw), mail_settings()))
    except BadPayload:
        return []


@given(strategies.binary(max_size=2000))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_any_bytes_give_events_or_bad_payload(raw: bytes) -> None:
    assert all(0 < len(event.key) <= 512 for event in _read(raw))
    _read(b"From: a@b.example\r\nContent-Type: text/html\r\n\r\n" + raw)


def test_mutilated_mails_give_events_or_bad_payload() -> None:
    rng = random.Random(7)
    began = time.perf_counter()
    for number in range(1500):
        raw = bytearray(rng.choice(_SEEDS))
        for _ in range(rng.randrange(1, 12)):
            place = rng.randrange(len(raw) + 1)
            match rng.randrange(4):
                case 0:
                    raw[place : place + 1] = bytes([rng.randrange(256)])
                case 1:
                    del raw[place : place + rng.randrange(1, 50)]
                case 2:
                    raw[place:place] = rng.choice(_SEEDS)[: rng.randrange(200)]
                case _:
                    raw[place:place] = rng.choice(
                        [b"\r\n\r\n", b"\0", b"=?utf-8?b?", b"--b\r\n", b"<", b'"', b"(", b"\xff\xfe"]
                    ) * rng.randrange(1, 20)
            if not raw:
                raw = bytearray(b"x")
        one = bytes(raw)
        started = time.perf_counter()
        first, second = _read(one), _read(one)
        assert first == second, number
        assert time.perf_counter() - started < BOUNDED
    assert time.perf_counter() - began < 60


@given(strategies.text(max_size=500))
@settings(max_examples=100, deadline=None, derandomize=True)
def test_a_fold_lies_within_the_text(text: str) -> None:
    assert 0 <= fold_of(text) < max(len(text), 1)


def test_no_secret_is_in_what_settings_show() -> None:
    shown = repr(mail_settings())
    assert isinstance(mail_settings().secret, Secret)
    assert WEBHOOK_SECRET not in shown
    assert mail_settings().secret.reveal() not in shown
    assert parse(request_of(mail()), mail_settings()) == parse(request_of(mail()), mail_settings())
