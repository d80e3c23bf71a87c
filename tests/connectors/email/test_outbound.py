"""Answers as mails: what is written, what is refused before sending, and what servers' words mean."""

from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

import msgspec
import pytest

from connectors.content import AnyPart, Choice, Choices, Envelope, Media, MediaKind, Text
from connectors.contract import Call, Failure, Outbound, Reply, Sent
from connectors.email.mime import parse_mime
from connectors.email.outbound import PHASE, Mail, read_reply, render
from connectors.email.settings import Settings
from connectors.email.thread import MAX_REFERENCES, MAX_THREAD, Thread, read_thread, write_thread
from connectors.email.tokens import own_message, read_reply_address
from connectors.email.writer import write_mail
from connectors.errors import FailureKind, Inexpressible
from connectors.event import MessageReceived
from tests.support.mail import ADDRESS, events_of, mail, mail_settings

ID = "msg_0123456789abcdefghjkmnpqrs"
AT = datetime(2026, 10, 5, 9, tzinfo=UTC)


def outbound(*parts: AnyPart, to: str = "mailto:ada@example.org", **more: Any) -> Outbound:
    return Outbound(id=ID, to=to, parts=parts or (Text(text="Yes."),), at=AT, **{"author": "Ben", **more})


def call_of(message: Outbound, settings: Settings | None = None) -> Call:
    (call,) = render(message, settings or mail_settings())
    return call


def written(message: Outbound, settings: Settings | None = None, files: dict[str, bytes] | None = None) -> EmailMessage:
    call = call_of(message, settings)
    raw = write_mail(msgspec.convert(call.json, Mail), [(upload, (files or {})[upload.stored]) for upload in call.uploads])
    assert all(len(line) <= 998 for line in raw.split(b"\r\n"))
    assert b"\n" not in raw.replace(b"\r\n", b"")
    found = message_from_bytes(raw, policy=policy.default)
    assert isinstance(found, EmailMessage)
    return found


def text_of(found: EmailMessage) -> str:
    body = found.get_body(("plain",))
    assert body is not None
    content = body.get_payload(decode=True)
    assert isinstance(content, bytes)
    return content.decode().replace("\r\n", "\n").strip("\n")


def test_an_answer_has_all_that_programs_thread_by() -> None:
    (event,) = events_of(mail("Where is it?", id_="q@example.org", head="References: <a@x.example> <b@x.example>\n"))
    assert isinstance(event, MessageReceived)
    found = written(outbound(Text(text="On its way – tomorrow."), to=event.thread, reply_to=event.message_id))
    assert found["Subject"] == "Re: Question"
    assert found["From"] == '"Ben (Shop)" <support@shop.example>'
    assert found["To"] == "ada@example.org"
    assert found["In-Reply-To"] == "<q@example.org>"
    assert found["References"].split() == ["<a@x.example>", "<b@x.example>", "<q@example.org>"]
    assert found["Date"].datetime == AT
    assert "Auto-Submitted" not in found
    assert text_of(found) == "On its way – tomorrow."
    assert own_message(found["Message-ID"], mail_settings())
    reply = read_reply_address(found["Reply-To"], "ada@example.org", mail_settings())
    assert reply is not None
    assert (f"<{reply.message_id}>", reply.addressee) == (found["Message-ID"], True)


def test_the_same_message_is_the_same_mail_at_every_try() -> None:
    message = outbound(Text(text="x"), Media(kind=MediaKind.FILE, ref="", stored="f", name="f.txt"))
    assert written(message, files={"f": b"1"}).as_bytes() == written(message, files={"f": b"1"}).as_bytes()


def test_automatic_mail_says_so_and_has_no_sender() -> None:
    call = call_of(outbound(automatic=True, reply_to="q@example.org", author=""), mail_settings(signature="Signed"))
    assert call.json["envelope_from"] == ""
    headers = dict(call.json["headers"])
    assert headers["Auto-Submitted"] == "auto-replied"
    assert headers["From"] == "Shop <support@shop.example>"
    assert "Signed" not in call.json["text"]


def test_a_signature_stands_below_what_a_person_wrote() -> None:
    assert text_of(written(outbound(), mail_settings(signature="Your shop\nKöln"))) == "Yes.\n\n-- \nYour shop\nKöln"


def test_copies_subject_files_and_questions() -> None:
    parts: tuple[AnyPart, ...] = (
        Envelope(subject="Größe", to=("bob@example.org",), cc=("Cleo@Example.org", ADDRESS), bcc=("boss@shop2.example",)),
        Text(text="See below."),
        Media(kind=MediaKind.IMAGE, ref="", stored="f1", mime="image/png", name="für dich.png"),
        Choices(text="Which?", options=(Choice("a", "Red"), Choice("b", "Blue"))),
    )
    message = outbound(*parts)
    call = call_of(message)
    assert call.json["recipients"] == ("ada@example.org", "bob@example.org", "cleo@example.org", "boss@shop2.example")
    found = written(message, files={"f1": b"\x89PNG" * 100})
    assert (found["To"], found["Cc"], found["Bcc"], found["Subject"]) == (
        "ada@example.org, bob@example.org",
        "cleo@example.org",
        None,
        "Größe",
    )
    assert text_of(found) == "See below.\n\nWhich?\n1) Red\n2) Blue"
    (file,) = found.iter_attachments()
    assert (file.get_filename(), file.get_content_type(), file.get_payload(decode=True)) == ("f_r dich.png", "image/png", b"\x89PNG" * 100)
    _, ours = parse_mime(found.as_bytes()).children
    assert ours.file_name == "für dich.png"


@pytest.mark.parametrize(
    "text",
    [
        "a\n.\nb",
        "From the start",
        "x" * 5000,
        "trailing \nspaces ",
        "emoji 👩‍👩‍👧 and 中文",
        "nul\0here",
        "\n\nfirst blank",
        "=3D=",
        "tab\there",
    ],
)
def test_any_text_arrives_as_it_was_written(text: str) -> None:
    assert text_of(written(outbound(Text(text=text)))) == text.replace("\0", "\ufffd").strip("\n")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("B47", outbound(Envelope(subject="a\r\nBcc: x@evil.example"), Text(text="x"))),
        ("B47", outbound(author="Ben\nBcc: x@evil.example")),
        ("B47", outbound(Envelope(cc=("x@evil.example\r\nBcc: y@evil.example",)), Text(text="x"))),
        ("B47", outbound(to="mailto:ada@example.org%0D%0ABcc:x@evil.example")),
        ("B47", outbound(to="mailto:ada@example.org?subject=a%0D%0ABcc:x@evil.example")),
        ("B47", outbound(Media(kind=MediaKind.FILE, ref="", stored="f", name="a\r\nX: y"))),
        ("B48", outbound(Envelope(cc=tuple(f"a{number}@example.org" for number in range(20))), Text(text="x"))),
        ("", outbound(Envelope(cc=("not an address",)), Text(text="x"))),
        ("", outbound(to="12345")),
        ("", outbound(Envelope(subject="only"), Text(text=" "))),
        ("", outbound(Media(kind=MediaKind.FILE, ref="", stored="f", size=30_000_000))),
    ],
)
def test_what_is_refused_before_anything_is_sent(row: str, message: Outbound) -> None:
    del row
    with pytest.raises(Inexpressible):
        render(message, mail_settings())


def test_an_id_with_a_line_break_never_reaches_a_header() -> None:
    with pytest.raises(Inexpressible):
        render(outbound(reply_to="x@y\r\nBcc: z@evil.example"), mail_settings())


def test_whatever_is_in_a_header_has_no_line_break() -> None:
    with pytest.raises(Inexpressible, match="Message-ID"):
        render(Outbound(id="msg_1\r\nBcc: x@evil.example", to="ada@example.org", parts=(Text(text="x"),)), mail_settings())


def test_a_thread_keeps_the_first_and_the_newest_ids_and_fits() -> None:
    ids = tuple(f"{'x' * 200}{number}@example.org" for number in range(60))
    thread = Thread(address="ada@example.org", subject="S" * 300, in_reply_to=ids[-1], references=ids)
    text = write_thread(thread)
    assert len(text) <= MAX_THREAD
    again = read_thread(text)
    assert (again.address, again.in_reply_to, again.references[0], again.references[-1]) == (thread.address, ids[-1], ids[0], ids[-1])
    short = Thread(address="a+b@example.org", subject="Ünï & =?", in_reply_to="a&b=c@x.example", references=("a&b=c@x.example",))
    assert read_thread(write_thread(short)) == short
    many = tuple(f"{number}@x.example" for number in range(100))
    references = dict(call_of(outbound(to=write_thread(Thread(address="a@b.example", references=many)))).json["headers"])[
        "References"
    ].split()
    assert (len(references), references[0], references[-1]) == (MAX_REFERENCES, "<0@x.example>", "<99@x.example>")


@pytest.mark.parametrize(
    ("subject", "expected"), [("Order", "Re: Order"), ("RE: AW: Re[2]: Order", "Re: Order"), ("", "Your message to us")]
)
def test_a_subject_has_one_re(subject: str, expected: str) -> None:
    thread = write_thread(Thread(address="a@b.example", subject=subject, in_reply_to="x@y"))
    assert dict(call_of(outbound(to=thread)).json["headers"])["Subject"] == expected


@pytest.mark.parametrize(
    ("status", "words", "phase", "kind"),
    [
        (421, "4.3.2 closing", "mail", FailureKind.TRANSIENT),
        (450, "4.2.0 greylisted", "rcpt", FailureKind.TRANSIENT),
        (451, "4.7.1 come again", "rcpt", FailureKind.TRANSIENT),
        (451, "4.7.28 unusual rate of mail", "data", FailureKind.THROTTLED),
        (452, "4.5.3 too many recipients", "rcpt", FailureKind.THROTTLED),
        (454, "4.7.0 temporary", "auth", FailureKind.TRANSIENT),
        (530, "5.7.0 must log in", "mail", FailureKind.AUTH),
        (534, "5.7.9 app password", "auth", FailureKind.AUTH),
        (535, "5.7.8 bad credentials", "auth", FailureKind.AUTH),
        (550, "5.7.60 sender not allowed", "mail", FailureKind.ACCOUNT),
        (550, "5.4.5 daily limit", "mail", FailureKind.ACCOUNT),
        (550, "5.1.1 no such user", "rcpt", FailureKind.RECIPIENT),
        (550, "no such user", "rcpt", FailureKind.RECIPIENT),
        (550, "5.7.1 relaying denied", "rcpt", FailureKind.CONFIG),
        (550, "5.7.1 blocked by policy", "rcpt", FailureKind.INVALID),
        (550, "5.2.1 disabled", "rcpt", FailureKind.RECIPIENT),
        (552, "5.3.4 too large", "data", FailureKind.INVALID),
        (552, "5.2.2 mailbox full", "rcpt", FailureKind.RECIPIENT),
        (553, "5.6.7 needs SMTPUTF8", "rcpt", FailureKind.INVALID),
        (554, "5.7.1 spam", "data", FailureKind.INVALID),
        (554, "5.1.1 gone", "data", FailureKind.RECIPIENT),
    ],
)
def test_what_a_servers_words_mean(status: int, words: str, phase: str, kind: FailureKind) -> None:
    outcome = read_reply(call_of(outbound()), Reply(status=status, body=words.encode(), headers={PHASE: phase}), mail_settings())
    assert isinstance(outcome, Failure)
    assert outcome.kind is kind
    assert outcome.code.startswith(str(status))


def test_silence_is_unknown_only_when_something_was_written() -> None:
    call, settings = call_of(outbound()), mail_settings()
    assert getattr(read_reply(call, Reply(status=0, written=True), settings), "kind", None) is FailureKind.UNKNOWN
    assert getattr(read_reply(call, Reply(status=0, written=False), settings), "kind", None) is FailureKind.TRANSIENT
    sent = read_reply(call, Reply(status=250, body=b"2.0.0 ok"), settings)
    assert isinstance(sent, Sent)
    assert f"<{sent.provider_id}>" == dict(call.json["headers"])["Message-ID"]
    assert isinstance(read_reply(Call(method="MAIL", url="x"), Reply(status=250), settings), Failure)


LINK = "https://chat.shop.example/unsubscribe/" + "A" * 80


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"unsubscribe": LINK}, (f"<{LINK}>", "List-Unsubscribe=One-Click")),
        ({}, (None, None)),
        ({"unsubscribe": LINK.replace("https", "http")}, (None, None)),
        ({"unsubscribe": LINK, "parts": (Envelope(cc=("dan@example.org",)), Text(text="News"))}, (None, None)),
        ({"unsubscribe": LINK, "parts": (Envelope(bcc=("dan@example.org",)), Text(text="News"))}, (None, None)),
    ],
    ids=["to many", "an answer", "not by https", "with a copy", "with a hidden copy"],
)
def test_only_what_goes_to_many_can_be_ended_by_one_click(more: dict[str, Any], expected: tuple[str | None, str | None]) -> None:
    parts = more.pop("parts", ())
    found = written(outbound(*parts, **more))
    assert (found["List-Unsubscribe"], found["List-Unsubscribe-Post"]) == expected


@pytest.mark.parametrize(
    "address",
    ["ada+shop+2@example.org", '"ada b"@example.org', '"a@b"@example.org', '"ada,b"@example.org', "ada.b@xn--bcher-kva.example"],
)
def test_an_answer_goes_back_to_any_address(address: str) -> None:
    """Plus-addresses, quoted local parts and coded domains are the same after the way in and out; names beyond ASCII stand beside them."""
    (event,) = events_of(mail(sender=f"Zażółć Łódź <{address}>"))
    assert isinstance(event, MessageReceived)
    assert (event.sender.identity.value, event.sender.name) == (address, "Zażółć Łódź")
    call = call_of(outbound(to=event.thread, author="Świętosława"))
    assert (call.url, call.json["recipients"]) == (address, (address,))
    found = written(outbound(to=event.thread, author="Świętosława"))
    assert found["To"] == address
    assert found["From"].addresses[0].display_name == "Świętosława (Shop)"
