"""Who wrote: one address of a person, and how sure we are of it."""

import hashlib
from enum import StrEnum
from typing import Final

from msgspec import Struct

#: Number of partitions of the stream; fixed at installation, never changed afterwards.
PARTITIONS: Final = 16


class Evidence(StrEnum):
    """Why we believe that an identity belongs to a person, strongest first."""

    #: Signed by the shop's own server, or proved by a token of ours.
    SIGNED = "signed"
    #: Asserted by the provider that delivered the message.
    PROVIDER = "provider"
    #: Typed by the person; shown as such, never used to merge or to open a history.
    CLAIMED = "claimed"


class Identity(Struct, frozen=True, order=True):
    """One address of a person. The provider's id is kept verbatim: never rewritten, never required to be a phone.

    Examples: ``("tel", "", "+39351…")``, ``("telegram", "<bot id>", "<user id>")``, ``("mailto", "", "ada@example.org")``,
    ``("visitor", "<channel>", "<visitor id>")``.
    """

    #: Kind of address: ``tel``, ``mailto``, ``telegram``, ``whatsapp``, ``visitor``, …
    scheme: str
    #: Within which realm ``value`` is unique; empty where it is unique in the whole world.
    scope: str
    #: The provider's own id, verbatim. At most 512 characters.
    value: str

    def __str__(self) -> str:
        return f"{self.scheme}:{self.scope}:{self.value}"


_VISITOR: Final = "visitor:"


def mail_of_visitor(visitor: Identity, address: str) -> Identity:
    """A mail address as somebody without a proof has typed it: theirs alone, whoever else types the same, and whoever owns it."""
    return Identity("mailto", f"{_VISITOR}{visitor.scope}/{visitor.value}", address)


def is_typed_mail(identity: Identity) -> bool:
    """Is this what :func:`mail_of_visitor` makes?"""
    return identity.scheme == "mailto" and identity.scope.startswith(_VISITOR)


def proves(proved: Identity, typed: Identity) -> bool:
    """Is ``proved``, an address with a proof, the one that a visitor has typed?"""
    return is_typed_mail(typed) and (proved.scheme, proved.scope) == ("mailto", "") and proved.value.casefold() == typed.value.casefold()


def partition_of(key: str) -> int:
    """The partition in ``0 … PARTITIONS-1`` for an ordering key: stable across processes, versions and merges of customers."""
    return hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=2).digest()[0] % PARTITIONS
