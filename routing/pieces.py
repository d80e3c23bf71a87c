"""How far a reply has come, from what is known of each message that it is at the provider. Pure.

Nothing here looks at what was shown before: so every order of reports, of the provider's answers and of what we found out
ourselves ends the same.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from itertools import count
from typing import Final

from msgspec import structs

from connectors.contract import Failure, Outcome, Sent
from connectors.event import Status
from routing.delivery import RANK
from storage.piece import Piece
from storage.record import Message, OutboxItem

#: Outcome of an attempt of which nobody knew what had come, until the provider told.
RESOLVED: Final = "resolved"
#: Several copies of one piece: the best of them is what the shopper has.
_PROOF: Final = (Status.FAILED, Status.SENT, Status.DELIVERED, Status.READ)
_SEEN: Final = frozenset({Status.DELIVERED, Status.READ})
#: Also what has never been tried here: after a restore it may have been sent all the same.
_MAY_GO: Final = frozenset({Status.QUEUED, Status.RETRY, Status.UNKNOWN})


def reported(piece: Piece, status: Status, problem: str) -> Piece:
    """The piece after a report: never back, and a proof of delivery beats a failure."""
    if status is Status.EXPIRED:
        status = Status.FAILED
    if status not in _PROOF or RANK[status] <= RANK[piece.status or Status.SENT]:
        return piece
    return structs.replace(piece, status=status, problem=problem if status is Status.FAILED else "")


def reached(own: Status, total: int, pieces: Iterable[Piece]) -> Status:
    """How far a message of ``total`` pieces (0: nobody knows) has come; ``own`` is where the sending stands.

    ``sent`` when all are taken, ``delivered`` and ``read`` when all are, ``failed`` when one is.
    """
    best: dict[int, Status] = {}
    for piece in pieces:
        if piece.part >= 0:
            best[piece.part] = max(best.get(piece.part, Status.FAILED), piece.status or Status.SENT, key=_PROOF.index)
    if Status.FAILED in best.values():
        return Status.FAILED
    total = total or (len(best) if own is Status.SENT else 0)
    proved = total > 0 and all(part in best for part in range(total))
    if not proved and own is not Status.SENT:
        return own
    return min((best.get(part, Status.SENT) for part in range(max(total, 1))), key=_PROOF.index)


def shown(message: Message, own: Status, pieces: Sequence[Piece], why: str) -> Message:
    """The line with its status, and the reason where there is one: ``why`` is that of the sending."""
    status = reached(own, message.pieces, pieces)
    if message.status in _SEEN and (status not in _SEEN or message.status is Status.READ):
        status = message.status  # seen as a whole, by the shopper's own client or a watermark
    if status in {Status.SENT, Status.DELIVERED, Status.READ}:
        why = ""
    elif status is Status.FAILED:
        why = why if own in {Status.FAILED, Status.EXPIRED} else ""
        why = next((piece.problem for piece in pieces if piece.status is Status.FAILED and piece.problem), why)
    return structs.replace(message, status=status, problem=why)


def adopt(message: Message, pieces: Sequence[Piece], provider_id: str) -> Piece:
    """The piece with this id: one that is known, or the first that has no id yet, or one sent twice."""
    for piece in pieces:
        if piece.provider_id == provider_id:
            return piece
    taken = {piece.part for piece in pieces}
    part = next(part for part in count() if part not in taken)
    if message.pieces and part >= message.pieces:
        part = 0 if message.pieces == 1 else -1
    return Piece(part=part, provider_id=provider_id)


def with_piece(pieces: Sequence[Piece], piece: Piece) -> tuple[Piece, ...]:
    """``pieces`` with this one as it now is."""
    return (*(one for one in pieces if one.provider_id != piece.provider_id), piece)


def placed(known: Sequence[Piece], taken: Mapping[str, int], *, copies: bool) -> tuple[Piece, ...]:
    """All pieces, once the sender says which ``taken`` id is which part; what was reported of them stays.

    An id that came by a report alone had been given the first free part. If that one is another's, it belongs to a later part of the
    same attempt; unless there may be ``copies`` by an attempt before: then it is one, and nothing else is proved by it.
    """
    by_id = {piece.provider_id: piece for piece in known}
    sure = [structs.replace(by_id.get(id_, Piece(part=part, provider_id=id_)), part=part) for id_, part in taken.items()]
    parts = {piece.part for piece in sure}
    result: list[Piece] = list(sure)
    displaced: list[Piece] = []
    for piece in known:
        if piece.provider_id not in taken:
            (displaced if piece.part in parts and not copies else result).append(piece)
    for piece in displaced:
        free = {one.part for one in result}
        result.append(structs.replace(piece, part=next(part for part in count() if part not in free)))
    return tuple(result)


def credited(outcomes: Sequence[Outcome], part_from: int, pieces: Iterable[Piece]) -> tuple[Outcome, ...]:
    """``outcomes`` from ``part_from`` on, where an id that the provider has told meanwhile counts as its answer."""
    told = {piece.part: piece.provider_id for piece in pieces}
    credit: list[Outcome] = []
    for part, outcome in enumerate(outcomes, part_from):
        credit.append(Sent(told[part]) if isinstance(outcome, Failure) and part in told else outcome)
    if all(isinstance(one, Sent) for one in credit):
        for part in count(part_from + len(credit)):
            if part not in told:
                break
            credit.append(Sent(told[part]))
    return tuple(credit)


def settled(item: OutboxItem, total: int, pieces: Iterable[Piece], now: datetime) -> OutboxItem:
    """A reply that would go out again, but for what the provider has told of it meanwhile."""
    told = {piece.part for piece in pieces}
    part_from = next(part for part in count(item.part_from) if part not in told)
    if item.status not in _MAY_GO or part_from == item.part_from:
        return item
    if item.status is Status.UNKNOWN:
        item = structs.replace(item, unknowns=max(0, item.unknowns - 1))
    status = Status.SENT if total and part_from >= total else Status.RETRY
    return structs.replace(item, part_from=part_from, status=status, next_at=now)
