"""What all events of one element or one change begin with. Pure."""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from connectors.errors import BadPayload
from connectors.event import AnyEvent, PayloadIgnored, Sender
from connectors.identity import Evidence, Identity

#: Before the reference of somebody who ticked a checkbox and has no page-scoped id yet.
USER_REF: Final = "user_ref:"
#: Before the id of a comment: in message ids, and as the address of a commenter whose id Meta keeps from us.
COMMENT: Final = "comment:"
#: Before the id of a post that a visitor wrote on the page: answered in the same ways as a comment.
POST: Final = "comment:post:"

_KEY_CHARS: Final = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Fragment:
    """One of the many things in a webhook."""

    #: ``messenger`` or ``instagram``.
    scheme: str
    #: The page or account of ours that it is about.
    account: str
    #: The same bytes, the same mark: for what is not used.
    mark: str
    at: datetime | None
    #: The time as Meta wrote it: what tells two things apart that have no id of their own.
    when: str
    #: A whole webhook with just this.
    raw: bytes
    #: Another address of the same person; empty if none.
    alias: str = ""

    def plain(self, *key: str) -> dict[str, Any]:
        """The fields of an event that nobody in particular caused."""
        return {"key": key_of(*key), "at": self.at, "raw": self.raw, "account": self.account}

    def personal(self, person: str, *key: str, name: str = "") -> dict[str, Any]:
        """The fields of an event that ``person`` caused. Raises :class:`BadPayload` without one."""
        if not person:
            raise BadPayload("it does not say whose it is")
        aliases = ((self._identity(self.alias), Evidence.PROVIDER),) if self.alias else ()
        sender = Sender(identity=self._identity(person), name=name[:200], aliases=aliases)
        return {**self.plain(*key), "sender": sender, "thread": person}

    def ignored(self, why: str) -> tuple[AnyEvent, ...]:
        """Nothing for a shop."""
        return (PayloadIgnored(**self.plain("unused", self.mark), why=why),)

    def _identity(self, value: str) -> Identity:
        return Identity(self.scheme, self.account, value)


def key_of(*words: str) -> str:
    """A key of these words; a digest where they are longer than a key may be."""
    key = ":".join(words)
    if len(key) <= _KEY_CHARS:
        return key
    return f"{words[0]}:{hashlib.blake2b(key.encode('utf-8', 'surrogatepass'), digest_size=32).hexdigest()}"
