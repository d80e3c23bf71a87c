"""Raw mails as events. Pure.

A sender is known by address only where our own mail server vouches for it. Everybody else is an identity of its own,
``("mailto", "<our address>/unverified", address)``: with a history that consists of what was unproved, and never a customer's.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

from msgspec import Struct

from connectors.content import AnyPart, Envelope, Unsupported
from connectors.contract import Request
from connectors.email.address import MAX_ADDRESSES, Address, domain_of, normalised, parse_list, parse_one
from connectors.email.automatic import in_circles, is_automatic
from connectors.email.body import as_parts, read_body
from connectors.email.mime import Part, parse_mime
from connectors.email.report import Bounce, Complaint, Receipt, read_report
from connectors.email.settings import Settings, own_addresses, receiver_secret
from connectors.email.thread import MAX_SUBJECT, Thread, mail_ids, thinned, write_thread
from connectors.email.tokens import Reply, own_message, read_reply_address
from connectors.email.trust import Trust, sender_trust
from connectors.email.words import decode_words, raw_text, visible
from connectors.errors import BadPayload, FailureKind
from connectors.event import (
    AnyEvent,
    ConsentChanged,
    MessageReceived,
    PayloadIgnored,
    Sender,
    Status,
    StatusReported,
)
from connectors.identity import Evidence, Identity
from connectors.signature import any_matches

#: What a request of ours, or of a webhook's poster, shows.
SECRET_HEADER: Final = "x-sportello-secret"  # noqa: S105
#: Beside the mail: when the mailbox got it (RFC 3339), the envelope, and the true size of a mail that was cut.
ARRIVED: Final = "x-sportello-arrived"
ENVELOPE_FROM: Final = "x-sportello-envelope-from"
ENVELOPE_TO: Final = "x-sportello-envelope-to"
TRUE_SIZE: Final = "x-sportello-size"
#: Present: it came from a server whose word on senders does not count.
DOUBTED: Final = "x-sportello-doubted"
_KEPT: Final = (ARRIVED, ENVELOPE_FROM, ENVELOPE_TO, TRUE_SIZE, DOUBTED)
_MAX_KEPT: Final = 1000
#: References that are read of one mail.
_MAX_IDS: Final = 100

_DELIVERED: Final = ("delivered-to", "x-original-to", "envelope-to", "x-forwarded-to")


class _Mail(Struct, frozen=True, kw_only=True):
    """What the headers say."""

    root: Part
    id: str
    #: The author, or None where From cannot be read without guessing.
    author: Address | None
    #: Where an answer goes.
    reply_to: str
    subject: str
    to: tuple[str, ...]
    cc: tuple[str, ...]
    references: tuple[str, ...]
    reply: Reply | None
    remarks: tuple[str, ...]
    envelope_from: str | None
    #: May our server's word in its headers be believed?
    vouched: bool


def verify(request: Request, settings: Settings) -> bool:
    """Our own receivers, and whoever knows the webhook's secret."""
    secrets = [*([receiver_secret(settings)] if settings.secret else []), *([settings.webhook_secret] if settings.webhook_secret else [])]
    return any_matches(secrets, request.headers.get(SECRET_HEADER, ""))


def keeps(request: Request) -> Mapping[str, str]:
    """What :func:`parse` needs beside the mail; nothing secret."""
    return {name: request.headers[name][:_MAX_KEPT] for name in _KEPT if name in request.headers}


def parse(request: Request, settings: Settings) -> Sequence[AnyEvent]:
    """The event of one mail. Raises :class:`BadPayload` for what is no mail, or more than one can be."""
    if not request.body.strip():
        raise BadPayload("the mail is empty")
    if len(request.body) > settings.max_bytes:
        raise BadPayload(f"the mail has {len(request.body):,} bytes, more than max_bytes = {settings.max_bytes:,}")
    root = parse_mime(request.body)
    if not root.headers:
        raise BadPayload("the mail has no headers")
    mail = _read_headers(root, request, settings)
    key = _key(mail, settings)
    at = _arrived(request)
    if own_message(mail.id, settings):
        return [PayloadIgnored(key=key, at=at, why="our own mail came back")]
    sender = mail.author.address if mail.author is not None else ""
    report = read_report(root, sender, mail.envelope_from, settings)
    if report is not None:
        return [_reported(report, key, at)]
    if sender in own_addresses(settings) and "form" not in mail.remarks:
        return [PayloadIgnored(key=key, at=at, why="written from our own address")]
    if in_circles(root):
        raise BadPayload("the mail has been through too many servers: it goes in circles")
    return [_message(mail, key, at, request, settings)]


# --- headers --------------------------------------------------------------------------------------------------------------


def _read_headers(root: Part, request: Request, settings: Settings) -> _Mail:
    froms = root.all("from")
    author = parse_one(root.text("from")) if len(froms) == 1 else None
    replies = parse_list(root.text("reply-to"))
    remarks: list[str] = []
    if author is not None and author.address in {normalised(one) for one in settings.forms_from}:
        # A form of the shop's: it knows the customer only by what they typed. Whose mail this is, is never proved.
        author = next((one for one in replies if one.address not in own_addresses(settings)), author)
        remarks.append("form")
    elif author is not None and _differs(root, author, replies):
        remarks.append("mismatch")
    answer_to = next((one.address for one in replies if one.address not in own_addresses(settings) and _near(one, author)), "")
    to, cc = (tuple(one.address for one in parse_list(root.text(name))) for name in ("to", "cc"))
    delivered = [raw_text(value) for name in _DELIVERED for value in root.all(name)]
    delivered += request.headers.get(ENVELOPE_TO, "").split(",")
    sender = author.address if author is not None else ""
    reply = _reply((*to, *cc, *(normalised(one.strip("<> ")) for one in delivered)), sender, settings)
    ids = mail_ids(root.text("message-id"))
    envelope_from = request.headers.get(ENVELOPE_FROM)
    return _Mail(
        root=root,
        id=ids[0] if ids else "",
        author=author,
        reply_to=answer_to or sender,
        subject=visible(decode_words(root.text("subject")), MAX_SUBJECT),
        to=to,
        cc=cc,
        references=_references(root, reply),
        reply=reply,
        remarks=tuple(remarks),
        envelope_from=envelope_from,
        vouched=DOUBTED not in request.headers,
    )


def _differs(root: Part, author: Address, replies: list[Address]) -> bool:
    """Would an answer go to another house than the one that From names, or does another one say that it sent this?"""
    others = [*(one.address for one in replies), *(one.address for one in parse_list(root.text("sender")))]
    return any(domain_of(one) != domain_of(author.address) for one in others)


def _near(other: Address, author: Address | None) -> bool:
    """Of one house: an answer may go there without anybody having looked. Elsewhere it goes only if an agent writes the address."""
    if author is None:
        return False
    ours, theirs = domain_of(author.address), domain_of(other.address)
    return ours == theirs or ours.endswith(f".{theirs}") or theirs.endswith(f".{ours}")


def _reply(addresses: Sequence[str], sender: str, settings: Settings) -> Reply | None:
    return next((found for one in addresses if one and (found := read_reply_address(one, sender, settings)) is not None), None)


def _references(root: Part, reply: Reply | None) -> tuple[str, ...]:
    """Oldest first. What a valid address of ours names is the newest: it alone is proved."""
    ids = dict.fromkeys([*mail_ids(root.text("references")), *mail_ids(root.text("in-reply-to"))[:5]])
    if reply is not None:
        ids.pop(reply.message_id, None)
        ids[reply.message_id] = None
    return tuple(ids)[-_MAX_IDS:]


def _key(mail: _Mail, settings: Settings) -> str:
    """The same for the same mail in two of our mailboxes.

    The Message-ID alone will not do: whoever knows one could send a mail before it and so hide the real one.
    """
    author = mail.author.address if mail.author is not None else mail.root.text("from")
    seeds = (settings.address.lower(), mail.id, author, mail.root.text("date"), mail.subject)
    digest = hashlib.sha256("\0".join(seeds).encode("utf-8", "surrogatepass"))
    digest.update(re.sub(rb"\s+", b" ", mail.root.body).strip())
    return f"mail:{digest.hexdigest()}"


def _arrived(request: Request) -> datetime | None:
    """When our mailbox got it; the sender's own Date is a claim that many make wrongly."""
    said = request.headers.get(ARRIVED, "")
    try:
        found = datetime.fromisoformat(said) if said else None
    except ValueError:
        return None
    return found.astimezone(UTC) if found is not None and found.tzinfo is not None and 1970 < found.year < 9000 else None


def _dated(root: Part) -> datetime | None:
    try:
        found = parsedate_to_datetime(root.text("date"))
        found = found if found.tzinfo is not None else found.replace(tzinfo=UTC)
        return found.astimezone(UTC) if 1970 < found.year < 9000 else None
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


# --- events ---------------------------------------------------------------------------------------------------------------


def _message(mail: _Mail, key: str, at: datetime | None, request: Request, settings: Settings) -> MessageReceived:
    body = read_body(mail.root)
    automatic = is_automatic(mail.root, mail.author.address if mail.author else "", mail.envelope_from)
    sender, remarks = _sender(mail, settings)
    remarks += ["automatic"] * automatic + ["encrypted"] * body.encrypted + ["remote_content"] * bool(body.remote)
    if mail.reply is not None and not mail.reply.addressee:
        remarks.append("newcomer")
    envelope = Envelope(subject=mail.subject, to=mail.to[:MAX_ADDRESSES], cc=mail.cc[:MAX_ADDRESSES], remarks=tuple(dict.fromkeys(remarks)))
    parts: tuple[AnyPart, ...] = (envelope, *as_parts(body, key))
    if TRUE_SIZE in request.headers:
        parts = (*parts, Unsupported(kind="oversize"))
    id_ = mail.id or f"hash:{key.removeprefix('mail:')}"
    thread = Thread(
        address=mail.reply_to or sender.identity.value,
        subject=mail.subject,
        in_reply_to=mail.id,
        references=thinned(tuple(dict.fromkeys((*mail.references, mail.id)))) if mail.id else thinned(mail.references),
    )
    return MessageReceived(
        key=key,
        at=at or _dated(mail.root),
        sender=sender,
        thread=write_thread(thread) if mail.author is not None else "",
        message_id=id_,
        parts=parts,
        reply_to=mail.references[-1] if mail.references else "",
        references=mail.references,
        proved=mail.reply is not None and mail.reply.addressee,
        automatic=automatic,
    )


def _sender(mail: _Mail, settings: Settings) -> tuple[Sender, list[str]]:
    """Who wrote, as far as it is proved, and what an agent should know about it."""
    remarks = list(mail.remarks)
    language = mail.root.text("content-language").partition(",")[0].strip()
    language = language if re.fullmatch(r"[A-Za-z]{2,3}(?:-[A-Za-z0-9]{2,8})*", language) else ""
    if mail.author is None:
        said = visible(decode_words(mail.root.text("from")), 200) or "nobody"
        mark = hashlib.sha256(said.encode("utf-8", "surrogatepass")).hexdigest()[:32]
        return Sender(identity=Identity("mailto", f"{settings.address.lower()}/unreadable", mark), name=said), [*remarks, "unverified"]
    address, name = mail.author.address, mail.author.name
    if "form" not in remarks and mail.vouched and sender_trust(mail.root, address, settings) is Trust.PROVED:
        return Sender(identity=Identity("mailto", "", address), name=name, language=language), remarks
    if mail.reply is not None and mail.reply.addressee:
        # Only who got our answer at this address can know where to reply.
        return Sender(identity=Identity("mailto", "", address), evidence=Evidence.SIGNED, name=name, language=language), remarks
    return (
        Sender(
            identity=Identity("mailto", f"{settings.address.lower()}/unverified", address),
            name=name,
            language=language,
            aliases=((Identity("mailto", "", address), Evidence.CLAIMED),),
        ),
        [*(one for one in remarks if one != "form"), "unverified"],
    )


def _reported(report: Bounce | Complaint | Receipt, key: str, at: datetime | None) -> AnyEvent:
    match report:
        case Bounce(action="failed", message_id=id_, code=code, detail=detail, kind=kind):
            hard = FailureKind.RECIPIENT if kind is FailureKind.TRANSIENT else kind
            return StatusReported(key=key, at=at, message_id=id_, status=Status.FAILED, code=code, detail=detail, failure=hard)
        case Bounce(action="delivered", message_id=id_):
            return StatusReported(key=key, at=at, message_id=id_, status=Status.DELIVERED)
        case Bounce(action=action, code=code):
            return PayloadIgnored(
                key=key, at=at, why=f"a mail of ours is {action[:20] or 'under way'} ({code or 'no code'}); the server goes on trying"
            )
        case Complaint(address=address):
            return ConsentChanged(key=key, at=at, sender=Sender(identity=Identity("mailto", "", address)), opted_in=False)
        case Receipt(message_id=id_):
            return StatusReported(key=key, at=at, message_id=id_, status=Status.READ)
