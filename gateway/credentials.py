"""Sessions, API tokens, log-in links and feed tickets: random secrets of which only a hash is kept.

The functions work within a transaction, so that the command line and the HTTP handlers share them.
"""

import hashlib
import json
import secrets
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from connectors.identity import partition_of
from storage.access import Credential, Scope
from storage.ids import random_id
from storage.protocol import Transaction
from storage.record import Agent, Entry, Role

TOKEN_PREFIX: Final = "gw_"  # noqa: S105 - how a token begins, not one
SESSION_IDLE: Final = timedelta(hours=8)
SESSION_LIFE: Final = timedelta(days=7)
ADMIN_SESSION_LIFE: Final = timedelta(hours=24)
TICKET_LIFE: Final = timedelta(seconds=30)
LINK_LIFE: Final = timedelta(hours=1)
TOKEN_DAYS: Final = 90
#: A use is written down at most this often.
_TOUCH_EVERY: Final = timedelta(minutes=1)
_LABEL_CHARS: Final = 200
#: Type of the event by which open feeds learn that a credential has ended.
CREDENTIAL_ENDED: Final = "credential.ended"


class Kind(StrEnum):
    """What a credential is for."""

    SESSION = "session"
    TOKEN = "token"  # noqa: S105 - a word, not a secret
    #: Opens one feed, once.
    TICKET = "ticket"
    #: Opens one session, once.
    LINK = "link"


def new_secret() -> str:
    """256 random bits, safe in URLs, headers and cookies."""
    return secrets.token_urlsafe(32)


def digest_of(secret: str) -> str:
    """What is kept of a secret: SHA-256, hex. Secrets are random and long, so no salt is needed."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def token_text(credential_id: str, secret: str) -> str:
    """An API token as its owner sees it: recognisable by scanners for leaked secrets."""
    return f"{TOKEN_PREFIX}{credential_id.partition('_')[2]}_{secret}"


async def issue(tx: Transaction, agent_id: str, kind: Kind, secret: str, now: datetime, life: timedelta, label: str = "") -> Credential:
    """Keep a new credential whose secret is ``secret``."""
    credential = Credential(
        id=random_id({Kind.TOKEN: "tok", Kind.SESSION: "ses", Kind.TICKET: "tic", Kind.LINK: "lnk"}[kind], now),
        agent_id=agent_id,
        kind=kind,
        digest=digest_of(secret),
        created_at=now,
        used_at=now,
        expires_at=now + life,
        label=label[:_LABEL_CHARS],
    )
    await tx.agents.put_credential(credential)
    return credential


async def issue_token(
    tx: Transaction, agent_id: str, now: datetime, life: timedelta, label: str = "", drawn: tuple[str, str] | None = None
) -> tuple[Credential, str]:
    """A new API token and its text; the text is what is hashed, so that no part of it is of use alone.

    ``drawn``: its id and secret, for a caller who must get the same ones again; otherwise they are random.
    """
    id_, secret = drawn or (random_id("tok", now), new_secret())
    text = token_text(id_, secret)
    credential = Credential(
        id=id_,
        agent_id=agent_id,
        kind=Kind.TOKEN,
        digest=digest_of(text),
        created_at=now,
        used_at=now,
        expires_at=now + life,
        label=label[:_LABEL_CHARS],
    )
    await tx.agents.put_credential(credential)
    return credential, text


async def issue_link(tx: Transaction, agent_id: str, now: datetime) -> str:
    """A one-time log-in secret, for ``/inbox/#login=<secret>``."""
    secret = new_secret()
    await issue(tx, agent_id, Kind.LINK, secret, now, LINK_LIFE)
    return secret


async def open_session(tx: Transaction, agent: Agent, now: datetime, label: str) -> str:
    """A new session; returns the secret for the cookie."""
    secret = new_secret()
    life = ADMIN_SESSION_LIFE if agent.role is Role.ADMIN else SESSION_LIFE
    await issue(tx, agent.id, Kind.SESSION, secret, now, life, label)
    return secret


async def find(tx: Transaction, secret: str, kinds: frozenset[Kind], now: datetime) -> Credential | None:
    """The live credential with this secret; None if there is none, or it is over."""
    credential = await tx.agents.credential(digest_of(secret))
    if credential is None or credential.kind not in kinds or credential.expires_at <= now:
        return None
    if credential.kind == Kind.SESSION and credential.used_at + SESSION_IDLE <= now:
        return None
    return credential


def needs_touch(credential: Credential, now: datetime) -> bool:
    """Is it time to write down that it was used?"""
    return credential.kind in (Kind.SESSION, Kind.TOKEN) and credential.used_at + _TOUCH_EVERY <= now


async def spend(tx: Transaction, secret: str, kind: Kind, now: datetime) -> Credential | None:
    """Use up a ticket or link: it works once."""
    credential = await find(tx, secret, frozenset({kind}), now)
    if credential is not None:
        await tx.agents.remove_credential(credential.id)
    return credential


async def end(tx: Transaction, credential: Credential, now: datetime) -> None:
    """Remove a session or token, and tell open feeds through the stream, so that they close on every node."""
    await tx.agents.remove_credential(credential.id)
    event = Entry(
        type=CREDENTIAL_ENDED,
        data=json.dumps({"credential_id": credential.id}).encode(),
        partition=partition_of(credential.agent_id),
        at=now,
        agent=credential.agent_id,
    )
    await tx.stream.append([event])


async def scope_of(tx: Transaction, agent: Agent) -> Scope:
    """What an agent may see: the one place where a role becomes a scope."""
    everything = agent.role in (Role.ADMIN, Role.SUPERVISOR)
    return Scope(everything=everything, queues=await tx.queues.of_agent(agent.id), agent=agent.id)
