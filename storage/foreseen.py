"""What a function will probably ask its transaction for, so that several can ask and write together."""

from collections.abc import Awaitable, Callable, Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, fields
from typing import Any, Generic, TypeVar

from connectors.identity import Identity

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreseen:
    """A hint, and nothing more: what is not in it can be asked for all the same, and what is need not be there."""

    #: Whom they belong to.
    identities: AbstractSet[Identity] = frozenset()
    #: By (channel, identity) the person, and the unresolved conversation or else the newest.
    pairs: AbstractSet[tuple[str, Identity]] = frozenset()
    #: By (channel, provider's id) the message, and how it is being sent if it is one of ours.
    provider_ids: AbstractSet[tuple[str, str]] = frozenset()
    #: By our id conversations, and whose they are.
    conversations: AbstractSet[str] = frozenset()
    #: By our id messages that are being sent, with all that concerns them.
    messages: AbstractSet[str] = frozenset()

    @classmethod
    def all_of(cls, several: "Iterable[Foreseen]") -> "Foreseen":
        """What all of these foresee."""
        together = tuple(several)
        return cls(**{field.name: frozenset[Any]().union(*(getattr(one, field.name) for one in together)) for field in fields(cls)})


@dataclass(frozen=True, slots=True)
class Shareable(Generic[T]):
    """A function for ``Store.transact`` which says what it will ask for. Those that come together read and write together, one after the
    other, where the database is far away. ``work`` may be called again from its beginning, when another's failure has undone everything.
    """

    work: Callable[[Any], Awaitable[T]]
    ahead: Foreseen = Foreseen()

    async def __call__(self, tx: Any) -> T:
        """By itself."""
        await tx.foresee(self.ahead)
        return await self.work(tx)
