"""Did a mail go out whose answer was lost? Large providers file what they send: the folder for sent mail knows.

Sources: RFC 6154 (what folders are for), RFC 3501, 6.4.4 (SEARCH HEADER); support.google.com/mail answer 78892 and the Exchange
team's blog of 2018-04-20: both file what goes out by SMTP, so a copy of our own beside it would be a second one; read 2026-11.
"""

import asyncio
import contextlib
import errno
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any, Final

from imapclient.exceptions import IMAPClientError
from imapclient.imapclient import ALL, SENT

from connectors.email.imap import ImapTiming, connect, describe
from connectors.email.oauth import NoToken, Tokens
from connectors.email.settings import Mailbox, Settings, own_domain
from connectors.email.tokens import own_message

#: Days that are searched for another mail of ours, and how many of the newest are looked at.
_PROOF_DAYS: Final = 30
_PROOF_MAILS: Final = 20
#: Seconds for one step: who asks waits for the answer.
_PATIENCE: Final = 8.0


async def look(mailbox: Mailbox, tokens: Tokens | None, settings: Settings, mail_id: str, since: datetime) -> Sequence[str] | None:
    """``mail_id`` as often as it lies in the folder for sent mail since then. None if this mailbox cannot say.

    Nothing there counts only where another mail of ours lies: else this server may not file what goes out. Raises OSError if the
    server cannot be asked now.
    """
    timing = ImapTiming(connect=_PATIENCE, read=_PATIENCE)
    try:
        token = await tokens.get() if tokens is not None else ""
        return await asyncio.to_thread(_search, mailbox, token, settings, mail_id, since.date(), timing)
    except NoToken as error:
        problem = str(error)
    except (IMAPClientError, OSError, ValueError, KeyError) as error:
        # The library's words may quote the login.
        problem = describe(error)
    raise OSError(f"{mailbox.host}: {problem}")


def _search(mailbox: Mailbox, token: str, settings: Settings, mail_id: str, since: date, timing: ImapTiming) -> Sequence[str] | None:
    client = connect(mailbox, token, timing)
    try:
        folder = mailbox.sent_folder or client.find_special_folder(SENT) or client.find_special_folder(ALL)
        if not folder:
            return None
        if not client.folder_exists(folder):
            raise OSError(errno.ENOENT, f"there is no folder {folder!r}")
        client.select_folder(folder, readonly=True)
        # Days are the server's: it may be elsewhere on the globe.
        found = client.search(["SINCE", since - timedelta(days=1), "HEADER", "Message-ID", mail_id])
        if found:
            return [mail_id] * len(found)
        return [] if _files_ours(client, settings, since) else None
    finally:
        with contextlib.suppress(IMAPClientError, OSError):
            client.logout()


def _files_ours(client: Any, settings: Settings, since: date) -> bool:
    """Does any other mail of ours lie here? Only we can have made its id."""
    field = "BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)]"
    others = sorted(client.search(["SINCE", since - timedelta(days=_PROOF_DAYS), "HEADER", "Message-ID", own_domain(settings)]))
    fetched = client.fetch(others[-_PROOF_MAILS:], [field]) if others else {}
    return any(
        own_message(value.partition(b":")[2].strip().decode("utf-8", "replace"), settings)
        for items in fetched.values()
        for value in items.values()
        if isinstance(value, bytes)
    )
