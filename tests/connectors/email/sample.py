"""What the conformance kit must know about e-mail."""

from collections.abc import Sequence
from typing import Any

from connectors.contract import Request
from connectors.email import Settings
from connectors.email.inbound import SECRET_HEADER
from connectors.email.settings import receiver_secret
from gateway.kit import Sample, Talk, with_header

_SMTP: dict[str, Any] = {"username": "support@shop.example", "password": "canary-smtp-password-1", "timeout": 1.0}


def signed(request: Request, settings: Settings) -> Request:
    """Our own receivers show what only they can know; whoever posts raw mail to the webhook shows its secret."""
    by_ourselves = request.method in {"IMAP", "SMTP"}
    return with_header(request, SECRET_HEADER, (receiver_secret(settings) if by_ourselves else settings.webhook_secret).reveal())


def says(lines: Sequence[bytes]) -> bytes | None:
    """A server for outgoing mail that takes everything."""
    if not lines:
        return b"220 mx.example.org ESMTP\r\n"
    if b"DATA\r\n" in lines:
        return b"354 go on\r\n" if lines[-1] == b"DATA\r\n" else None if lines[-1] == b".\r\n" else b""
    word = lines[-1][:4].upper()
    return {b"EHLO": b"250-mx.example.org\r\n250 AUTH PLAIN\r\n", b"AUTH": b"235 2.7.0 welcome\r\n"}.get(word, b"250 ok\r\n")


SAMPLE = Sample(
    settings={
        "address": "support@shop.example",
        "secret": "canary-secret-16",
        "webhook_secret": "canary-webhook16",
        "aliases": ["sales@shop.example"],
        "shop": "Shop",
        "signature": "Shop, Via Po 1, Torino",
        "reply_address": "support-mails+{token}@shop.example",
        "authserv_ids": ["mx.shop.example"],
        "forwarders": ["forwarder.example"],
        "forms_from": ["forms@shop.example"],
        "mailboxes": [
            {
                "host": "127.0.0.1",
                "port": 9,
                "security": "none",
                "username": "support@shop.example",
                "password": "canary-imap-password-1",
                "since": "2026-11-01",
            },
            {
                "host": "127.0.0.1",
                "port": 9,
                "security": "none",
                "username": "sales@shop.example",
                "oauth": {
                    "token_url": "http://127.0.0.1:9/token",
                    "client_id": "sportello",
                    "client_secret": "canary-client-secret-1",
                    "refresh_token": "canary-refresh-token-1",
                },
                "since": "2026-11-01",
            },
        ],
        "smtp": {"host": "127.0.0.1", "port": 9, "security": "none", **_SMTP},
    },
    other_secrets=({"secret": "canary-secret-of-the-address-2", "webhook_secret": "canary-webhook-secret-2"},),
    to="mailto:ada@example.org?subject=Ordine%201",
    to_another="mailto:bob@example.com",
    headers={"content-type": "message/rfc822"},
    sign=signed,
    at=lambda host, port: {"smtp": {"host": host, "port": port, "security": "none", **_SMTP}},
    talk=Talk(says=says, refuses=lambda words: f"535 5.7.8 refused: {words}\r\n".encode()),
    own=frozenset({"own-message-comes-back", "own-message-through-a-list", "own-address-from-a-phone"}),
    exempt={"accounts": "a mail names no account: whose it is is said by the mailbox, server or webhook that it came through"},
)
