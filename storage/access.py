"""Who may do and see what: credentials, scopes, and the answers kept for repeated requests."""

from typing import Final

from msgspec import Struct

from connectors.event import Instant


class Credential(Struct, frozen=True, kw_only=True):
    """A session or an API token; only the hash of its secret is kept."""

    id: str
    agent_id: str
    #: ``session``, ``token`` or ``ticket``.
    kind: str
    #: SHA-256 of the secret, hex.
    digest: str
    created_at: Instant
    #: Last use, to the minute.
    used_at: Instant
    #: Idle end for sessions is computed from ``used_at``; this is the absolute one.
    expires_at: Instant
    #: What the user calls it, or the user agent of the session.
    label: str = ""


#: In an event's audience: every agent may see it.
EVERY_QUEUE: Final = "*"
#: In an event's audience: who sees everything may see it. No queue has this id, so nobody is a member of it.
SUPERVISORS_ONLY: Final = "!"


class Scope(Struct, frozen=True, kw_only=True):
    """What a principal may see: the one access predicate. ``admits`` in Python and ``scope_sql`` in the back-ends agree, by test."""

    #: All conversations (admin, supervisor).
    everything: bool = False
    #: Conversations in these queues.
    queues: frozenset[str] = frozenset()
    #: Conversations of this identity only (a visitor), as ``str(Identity)``; empty for agents.
    identity: str = ""
    #: Agent id, for events that concern one agent only.
    agent: str = ""

    def admits(self, *, queues: tuple[str, ...] = (), identity: str = "", agent: str = "") -> bool:
        """May the principal see something with this audience? Without any audience it is nobody's; the queue ``*`` is every agent's."""
        if self.identity:
            return identity == self.identity
        if self.everything:
            return bool(queues or identity or agent)
        if self.agent and (agent == self.agent or EVERY_QUEUE in queues):
            return True
        return not self.queues.isdisjoint(queues)


class SavedReply(Struct, frozen=True, kw_only=True):
    """The first answer to a request with an Idempotency-Key, repeated to later ones."""

    #: SHA-256 of route and body.
    fingerprint: str
    #: 0 while the first request is still being handled.
    status: int
    body: bytes
    at: Instant
