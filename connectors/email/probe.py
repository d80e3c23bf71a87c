"""Do the credentials work, and can the servers do what we need? For people who set a channel up; changes nothing."""

import asyncio
import contextlib

from imapclient.exceptions import IMAPClientError, LoginError

from connectors.abilities import Component, Finding
from connectors.email.imap import KEYWORD, LOGIN_REMEDY, ImapTiming, connect, describe, is_busy
from connectors.email.oauth import NoToken, Tokens
from connectors.email.outbound import PHASE
from connectors.email.settings import Mailbox, Submission
from connectors.email.smtp import SmtpPool
from connectors.retry import detail_of

_OAUTH_REMEDY = "Let the mailbox's owner agree again and set the new refresh_token; check client_id, client_secret and scope."


async def probe_mailbox(mailbox: Mailbox, tokens: Tokens | None, timing: ImapTiming) -> list[Finding]:
    """What IMAP says: login, each folder, what waits there."""
    try:
        token = await tokens.get() if tokens is not None else ""
        return await asyncio.to_thread(_look, mailbox, token, timing)
    except NoToken as error:
        return [Finding(component=Component.AUTH, ok=False, detail=f"{mailbox.host}: {error}", remedy=_OAUTH_REMEDY)]
    except LoginError as error:
        if is_busy(error):
            remedy = "Look again later; if it stays so, fewer programs may be connected to this mailbox."
            return [Finding(component=Component.INBOUND, ok=False, detail=f"{mailbox.host}: {describe(error)}", remedy=remedy)]
        return [Finding(component=Component.AUTH, ok=False, detail=f"{mailbox.host}: login refused", remedy=LOGIN_REMEDY)]
    except (IMAPClientError, OSError, ValueError) as error:
        remedy = "Check host, port and security: 993 goes with tls, 143 with starttls."
        return [Finding(component=Component.INBOUND, ok=False, detail=f"{mailbox.host}:{mailbox.port}: {describe(error)}", remedy=remedy)]


def _look(mailbox: Mailbox, token: str, timing: ImapTiming) -> list[Finding]:
    client = connect(mailbox, token, timing)
    try:
        found = [Finding(component=Component.AUTH, ok=True, detail=f"{mailbox.host}: logged in as {mailbox.username}")]
        pushes = "the server pushes new mail" if client.has_capability("IDLE") else f"no IDLE: looked at every {mailbox.poll_seconds:g} s"
        found += [_folder(client, mailbox, folder, pushes) for folder in mailbox.folders]
        if mailbox.move_to and not client.folder_exists(mailbox.move_to):
            detail = f"there is no folder {mailbox.move_to!r}"
            found.append(Finding(component=Component.INBOUND, ok=False, detail=detail, remedy="Create it, or set move_to."))
        if mailbox.sent_folder and not client.folder_exists(mailbox.sent_folder):
            remedy = "Set sent_folder as the server lists it, or leave it out: then it is found by its mark."
            detail = f"there is no folder {mailbox.sent_folder!r}"
            found.append(Finding(component=Component.OUTBOUND, ok=False, detail=detail, remedy=remedy))
        return found
    finally:
        with contextlib.suppress(IMAPClientError, OSError):
            client.logout()


def _folder(client: object, mailbox: Mailbox, folder: str, pushes: str) -> Finding:
    try:
        selected = client.select_folder(folder, readonly=True)  # type: ignore[attr-defined]
        criteria = {"keyword": ["UNKEYWORD", KEYWORD.decode()], "seen": ["UNSEEN"], "move": ["UNDELETED"]}[mailbox.mark]
        waiting = len(client.search([*criteria, "SINCE", mailbox.since]))  # type: ignore[attr-defined]
    except IMAPClientError:
        remedy = "Set folders to names as the server lists them, for example INBOX."
        return Finding(component=Component.INBOUND, ok=False, detail=f"there is no folder {folder!r}", remedy=remedy)
    detail = f"{folder}: {selected.get(b'EXISTS', 0)} mails, {waiting} to be taken; {pushes}"
    return Finding(component=Component.INBOUND, ok=True, detail=detail)


async def probe_smtp(smtp: Submission, tokens: Tokens | None) -> Finding:
    """What the server for outgoing mail says to a login."""
    pool = SmtpPool(smtp, tokens, "probe")
    reply = await pool.try_login()
    await pool.close()
    where = f"{smtp.host}:{smtp.port}"
    if reply.status == 250:
        return Finding(component=Component.OUTBOUND, ok=True, detail=f"{where}: ready")
    phase = reply.headers.get(PHASE, "")
    if phase == "auth":
        remedy = (
            _OAUTH_REMEDY if tokens is not None else "Check smtp.username and smtp.password; many providers want an app password or OAuth."
        )
        return Finding(component=Component.AUTH, ok=False, detail=f"{where}: {reply.status} {detail_of(reply)}", remedy=remedy)
    remedy = "Check host, port and security: 465 goes with tls, 587 with starttls. A firewall may block outgoing mail."
    return Finding(component=Component.OUTBOUND, ok=False, detail=f"{where}: {detail_of(reply)}", remedy=remedy)
