"""E-mail: mailboxes read by IMAP, mail taken in by SMTP or as raw MIME over the webhook, answers sent by SMTP."""

from typing import Final

from connectors.contract import Connector
from connectors.email.client import open_client
from connectors.email.inbound import keeps, parse, verify
from connectors.email.outbound import CAPABILITIES, read_reply, render
from connectors.email.settings import Settings, account, flood

CONNECTOR: Final = Connector(
    kind="email",
    settings=Settings,
    capabilities=CAPABILITIES,
    verify=verify,
    parse=parse,
    render=render,
    read_reply=read_reply,
    client=open_client,
    keeps=keeps,
    account=account,
    flood=flood,
    sources=(
        "RFC 5321, 5322, 2045-2047, 2231, 3676 (mail and MIME), 3501, 2177, 6154, 6851 (IMAP), read 2026-11",
        "RFC 3834 (automatic answers), 3464 (bounces), 5965 (complaints), 8098 (receipts), 8601 and 8617 (authentication), read 2026-11",
        "https://developers.google.com/gmail/imap/xoauth2-protocol, learn.microsoft.com legacy-protocols OAuth, read 2026-11",
    ),
)

__all__ = ["CAPABILITIES", "CONNECTOR", "Settings"]
