"""What the operator says about one support address: where its mail comes in, how it goes out, whom to believe."""

import re
from datetime import date
from ipaddress import ip_network
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

from msgspec import Meta, Struct, field

from config import Secret
from connectors.capabilities import Flood
from connectors.email.address import normalised
from connectors.signature import sign

#: What stands for the signed part in ``reply_address``.
TOKEN: Final = "{token}"  # noqa: S105
#: RFC 5321, 4.5.3.1.1: octets before the ``@``; a token of ours takes up to ``TOKEN_CHARS`` of them.
LOCAL_PART: Final = 64
TOKEN_CHARS: Final = 50
#: Bits enough to stay unguessed: a secret of sixteen characters and more.
SECRET_CHARS: Final = 16
#: A whole mail, with files in their transport form; longer ones are taken without their files.
MAX_MAIL: Final = 30 * 1024 * 1024

Security = Annotated[
    Literal["tls", "starttls", "none"],
    Meta(title="Encryption", description="tls from the first byte, starttls, or none for a server on this machine"),
]


def _none() -> Secret:
    return Secret("")


class OAuth(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where access tokens come from, for Google and Microsoft 365."""

    #: ``https://oauth2.googleapis.com/token`` or ``https://login.microsoftonline.com/<tenant>/oauth2/v2.0/token``.
    token_url: Annotated[str, Meta(title="Token address", description="Google: https://oauth2.googleapis.com/token")]
    client_id: Annotated[str, Meta(title="Client id", description="Of the application registered there", min_length=1)]
    refresh_token: Annotated[Secret, Meta(title="Refresh token", description="Got once, when the mailbox's owner agreed")]
    #: Microsoft's public clients have none.
    client_secret: Annotated[Secret, Meta(title="Client secret", description="Of the application; public clients have none")] = field(
        default_factory=_none
    )
    #: Microsoft: ``https://outlook.office.com/IMAP.AccessAsUser.All https://outlook.office.com/SMTP.Send offline_access``.
    scope: Annotated[str, Meta(title="Scope", description="Microsoft needs it; Google does not")] = ""

    def __post_init__(self) -> None:
        if urlsplit(self.token_url).scheme not in {"http", "https"}:
            raise ValueError("token_url must be an http(s) address")


class Mailbox(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A mailbox that is read by IMAP."""

    host: Annotated[str, Meta(title="IMAP server", description="For example imap.example.org", min_length=1)]
    username: Annotated[str, Meta(title="User name", description="Often the address itself", min_length=1)]
    #: A mailbox may hold years of mail that was answered long ago.
    since: Annotated[date, Meta(title="Since", description="Mail that came before this day is left alone, for example 2026-11-30")]
    port: Annotated[int, Meta(title="Port", description="993 for tls, 143 for starttls", ge=1, le=65535)] = 993
    security: Security = "tls"
    password: Annotated[Secret, Meta(title="Password", description="Or use oauth")] = field(default_factory=_none)
    oauth: Annotated[OAuth | None, Meta(title="OAuth", description="Instead of a password, for Google and Microsoft 365")] = None
    folders: Annotated[tuple[str, ...], Meta(title="Folders", description="Each is watched", min_length=1)] = ("INBOX",)
    #: How the server is told that a mail was taken: by a keyword of ours, by "seen", or by moving it to ``move_to``.
    mark: Annotated[Literal["keyword", "seen", "move"], Meta(title="Mark", description="How a mail that was taken is marked")] = "keyword"
    move_to: Annotated[str, Meta(title="Move to", description="The folder for mark = move")] = ""
    #: PEM file of the authority that signed the server's certificate; empty: the system's.
    ca_file: Annotated[str, Meta(title="Authority's file", description="For a server with a certificate of your own")] = ""
    #: Searched for a mail whose sending had no answer; empty: the folder that the server marks as the one for sent mail.
    sent_folder: Annotated[str, Meta(title="Sent folder", description="Where the server files what goes out; found by itself if empty")] = (
        ""
    )
    #: Seconds between looks where the server cannot push.
    poll_seconds: Annotated[float, Meta(title="Poll", description="Seconds between looks at a server without IDLE", gt=0)] = 30.0

    def __post_init__(self) -> None:
        if bool(self.password) == (self.oauth is not None):
            raise ValueError("mailboxes need either password or oauth")
        if (self.mark == "move") != bool(self.move_to):
            raise ValueError("move_to is for mark = move, and needed there")
        if self.move_to in self.folders:
            raise ValueError("move_to must not be one of the folders")
        if self.sent_folder in self.folders:
            raise ValueError("sent_folder must not be one of the folders")


class Submission(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The server that takes our mail, by SMTP."""

    host: Annotated[str, Meta(title="SMTP server", description="For example smtp.example.org", min_length=1)]
    port: Annotated[int, Meta(title="Port", description="465 for tls, 587 for starttls", ge=1, le=65535)] = 465
    security: Security = "tls"
    username: Annotated[str, Meta(title="User name", description="Empty for a relay that knows us by address")] = ""
    password: Annotated[Secret, Meta(title="Password", description="Or use oauth")] = field(default_factory=_none)
    oauth: Annotated[OAuth | None, Meta(title="OAuth", description="Instead of a password, for Google and Microsoft 365")] = None
    ca_file: Annotated[str, Meta(title="Authority's file", description="For a server with a certificate of your own")] = ""
    connections: Annotated[int, Meta(title="Connections", description="Most at once", ge=1, le=16)] = 2
    #: Seconds for one command's answer.
    timeout: Annotated[float, Meta(title="Patience", description="Seconds to wait for an answer", gt=0, le=300)] = 20.0

    def __post_init__(self) -> None:
        if self.username and bool(self.password) == (self.oauth is not None):
            raise ValueError("smtp with a username needs either password or oauth")
        if self.security == "none" and self.username and self.host not in {"127.0.0.1", "::1", "localhost"}:
            raise ValueError("smtp would send the password unencrypted: use security tls or starttls")


class Listen(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An SMTP server of ours, to which another server forwards mail."""

    host: Annotated[str, Meta(title="Address", description="Of this machine, for example 10.0.0.5", min_length=1)]
    port: Annotated[int, Meta(title="Port", description="25 needs a privilege; 0 takes a free one", ge=0, le=65535)] = 2525
    #: PEM files; with both, STARTTLS is offered.
    certificate: Annotated[str, Meta(title="Certificate", description="PEM file")] = ""
    key: Annotated[str, Meta(title="Private key", description="PEM file")] = ""
    connections: Annotated[int, Meta(title="Connections", description="Most at once", ge=1, le=1000)] = 50
    #: Networks of the servers whose ``Authentication-Results`` are believed: whoever else reaches the port can write any.
    believe: Annotated[tuple[str, ...], Meta(title="Believed servers", description="Networks, for example 10.0.0.0/24")] = (
        "127.0.0.1/32",
        "::1/128",
    )

    def __post_init__(self) -> None:
        if bool(self.certificate) != bool(self.key):
            raise ValueError("listen needs both certificate and key, or neither")
        for network in self.believe:
            ip_network(network)


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of one support address."""

    #: ``support@shop.example``: what shoppers write to and answers come from.
    address: Annotated[str, Meta(title="Address", description="For example support@shop.example")]
    #: Signs our Message-IDs and reply addresses: a change makes older answers lose their thread.
    secret: Annotated[Secret, Meta(title="Secret", description="16 characters and more; make one with: openssl rand -hex 32")]
    #: Other addresses of ours, also those that forward to ``address``. Mail from any of them is our own.
    aliases: Annotated[tuple[str, ...], Meta(title="Other addresses", description="Of ours, as bare addresses")] = ()
    shop: Annotated[str, Meta(title="Shop's name", description="As shoppers see it")] = ""
    from_name: Annotated[str, Meta(title="Sender's name", description="{author} and {shop} are put in")] = "{author} ({shop})"
    signature: Annotated[str, Meta(title="Signature", description="Below each mail that a person wrote")] = ""
    subject: Annotated[str, Meta(title="Subject", description="Of a mail that answers none")] = "Your message to us"
    #: For example ``support+{token}@shop.example``: proves that an answer belongs to the thread even where References are lost.
    reply_address: Annotated[str, Meta(title="Reply address", description="For example support+{token}@shop.example")] = ""
    mailboxes: Annotated[tuple[Mailbox, ...], Meta(title="Mailboxes", description="Read by IMAP")] = ()
    smtp: Annotated[Submission | None, Meta(title="Outgoing mail", description="Without it nothing can be answered")] = None
    listen: Annotated[Listen | None, Meta(title="Inbound SMTP", description="Take mail as a mail server does")] = None
    webhook_secret: Annotated[Secret, Meta(title="Webhook secret", description="Of those who post raw mail to our webhook")] = field(
        default_factory=_none
    )
    #: What our receiving server calls itself in ``Authentication-Results``. Without it no sender is proved.
    authserv_ids: Annotated[tuple[str, ...], Meta(title="Authentication servers", description="For example mx.shop.example")] = ()
    #: Domains whose ARC seal is believed, because they forward our mail.
    forwarders: Annotated[tuple[str, ...], Meta(title="Trusted forwarders", description="Domains of ARC seals, as d= says them")] = ()
    trust: Annotated[
        Literal["dmarc", "all"],
        Meta(title="Trust", description="all believes every sender: ONLY where a gateway of yours drops every mail that fails DMARC"),
    ] = "dmarc"
    #: Senders of the shop's own contact forms; there the customer stands in Reply-To.
    forms_from: Annotated[tuple[str, ...], Meta(title="Contact forms", description="Senders of forms, for example forms@shop.example")] = ()
    #: One sender's mails beyond this are kept and ask for no work: nothing is reopened, queued or unread. By the hour; 0: no limit.
    sender_per_hour: Annotated[int, Meta(title="Mails of one sender", description="Within an hour; further ones are only kept", ge=0)] = 60
    #: The same for a sender whom nothing proves. A shop without ``authserv_ids`` has no others.
    unverified_per_hour: Annotated[
        int, Meta(title="Mails of one unverified sender", description="Within an hour; further ones are only kept", ge=0)
    ] = 30
    #: Conversations that unverified senders of one domain may begin or take up again: names before the @ are free.
    domain_per_hour: Annotated[
        int, Meta(title="Unverified senders of one domain", description="Conversations within an hour; further ones wait for nobody", ge=0)
    ] = 300
    max_bytes: Annotated[int, Meta(title="Largest mail", description="Bytes; of larger ones only the text is taken", ge=65536)] = MAX_MAIL

    def __post_init__(self) -> None:
        """Messages here must not quote a secret: they are shown to people."""
        for name, addresses in (("address", (self.address,)), ("aliases", self.aliases), ("forms_from", self.forms_from)):
            if any(not normalised(one) for one in addresses):
                raise ValueError(f"{name} must be bare addresses like support@shop.example")
        if len(self.secret.reveal()) < SECRET_CHARS:
            raise ValueError(f"secret must have at least {SECRET_CHARS} characters; make one with: openssl rand -hex 32")
        if self.webhook_secret and len(self.webhook_secret.reveal()) < SECRET_CHARS:
            raise ValueError(f"webhook_secret must have at least {SECRET_CHARS} characters; make one with: openssl rand -hex 32")
        if self.reply_address:
            _check_reply_address(self.reply_address)
        if self.from_name and not re.fullmatch(r"(?:[^{}\r\n]|\{author\}|\{shop\})*", self.from_name):
            raise ValueError("from_name may hold {author} and {shop}, and no other braces")
        if any(ord(char) < 32 for char in self.shop + self.subject):
            raise ValueError("shop and subject must not hold line breaks or other control characters")


def _check_reply_address(pattern: str) -> None:
    if pattern.count(TOKEN) != 1 or not normalised(pattern.replace(TOKEN, "x")) or TOKEN not in pattern.partition("@")[0]:
        raise ValueError("reply_address must look like support+{token}@shop.example")
    spare = LOCAL_PART - TOKEN_CHARS
    if len(pattern.partition("@")[0].replace(TOKEN, "").encode()) > spare:
        raise ValueError(f"reply_address may have {spare} characters before the @ beside {{token}}; use a shorter name")


def own_addresses(settings: Settings) -> frozenset[str]:
    """All addresses that are ours."""
    return frozenset(normalised(one) for one in (settings.address, *settings.aliases))


def account(settings: Settings) -> str:
    """As in ``Event.account``."""
    return normalised(settings.address)


def flood(settings: Settings) -> Flood:
    """How many mails are work."""
    return Flood(sender=settings.sender_per_hour, unproved=settings.unverified_per_hour, domain=settings.domain_per_hour)


def own_domain(settings: Settings) -> str:
    """The right side of our Message-IDs."""
    return normalised(settings.address).rpartition("@")[2]


def receiver_secret(settings: Settings) -> Secret:
    """What our own receivers show to ``verify``: nobody else can know it."""
    return Secret(sign("sha256", settings.secret, b"sportello.email.receiver"))
