"""One reply and what is reported of it, without a database: the decisions' effects on plain dictionaries, quick enough for all orders."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from msgspec import structs

from connectors.content import Text
from connectors.contract import Failure, Sent
from connectors.errors import FailureKind
from connectors.event import Status, StatusReported, decode_event
from routing import inbound, sending
from routing.command import FinishAttempt
from routing.effect import ChangeMessage, Effect, LinkProvider, ParkEvent, ReportPiece, UpdateOutbox
from routing.rules import Rules
from routing.snapshot import Arrival, Snapshot
from storage.piece import Piece
from storage.record import Attempt, Author, AuthorKind, Message, MessageKind, OutboxItem
from tests.routing.world import GATEWAY

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
OURS = "msg_1"


def _message(pieces: int) -> Message:
    return Message(
        id=OURS,
        pos=1,
        conversation_id="cnv_1",
        customer_id="cus_1",
        kind=MessageKind.OUTBOUND,
        author=Author(kind=AuthorKind.AGENT),
        parts=(Text(text="ciao"),),
        at=NOW,
        received_at=NOW,
        channel="shop",
        status=Status.QUEUED,
        pieces=pieces,
    )


def _item() -> OutboxItem:
    return OutboxItem(
        message_id=OURS,
        conversation_id="cnv_1",
        channel="shop",
        thread="42",
        reply_to="",
        parts=(Text(text="ciao"),),
        status=Status.SENDING,
        attempts=1,
        unknowns=0,
        part_from=0,
        next_at=NOW,
        expires_at=NOW + timedelta(hours=24),
        accepted_at=NOW,
    )


@dataclass
class Desk:
    """``known``: is it known beforehand how many pieces it takes?"""

    total: int
    known: bool = False
    item: OutboxItem = field(default_factory=_item)
    pieces: dict[str, Piece] = field(default_factory=dict)
    parked: list[tuple[str, bytes]] = field(default_factory=list)
    #: Every status that was shown.
    shown: list[Status | None] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.message = _message(self.total if self.known else 0)

    def report(self, event: StatusReported) -> None:
        message = self.message if event.ours or event.message_id in self.pieces else None
        pieces = tuple(sorted(self.pieces.values(), key=lambda piece: piece.part)) if message else ()
        snapshot = Snapshot(message=message, item=self.item if message else None, pieces=pieces)
        self._apply(inbound.decide(Arrival(event=event, channel="shop", at=NOW), snapshot, Rules()))

    def finish(self, *outcomes: Sent | Failure, calls: int | None = None) -> None:
        attempt = Attempt(message_id=OURS, number=self.item.attempts, started_at=NOW, finished_at=NOW, outcome="sent")
        command = FinishAttempt(
            id="f", actor=GATEWAY, message_id=OURS, attempt=attempt, outcomes=outcomes, calls=self.total if calls is None else calls
        )
        snapshot = Snapshot(item=self.item, message=self.message, pieces=tuple(self.pieces.values()))
        self._apply(sending.finished(command, snapshot, Rules(), NOW))

    def answered(self, lost: bool) -> None:  # noqa: FBT001 - read aloud it is clear
        """The provider's answers; ``lost``: but for the last one."""
        answers: list[Sent | Failure] = [Sent(f"p{part}") for part in range(self.total)]
        if lost:
            answers[-1] = Failure(kind=FailureKind.UNKNOWN)
        self.finish(*answers)

    def _apply(self, effects: list[Effect]) -> None:
        revived: list[str] = []
        for effect in effects:
            match effect:
                case LinkProvider():
                    former = self.pieces.get(effect.provider_id, Piece(part=0, provider_id=effect.provider_id))
                    self.pieces[effect.provider_id] = structs.replace(former, part=effect.part)
                    revived.append(effect.provider_id)
                case ReportPiece():
                    self.pieces[effect.piece.provider_id] = structs.replace(
                        self.pieces[effect.piece.provider_id], status=effect.piece.status, problem=effect.piece.problem
                    )
                case ParkEvent():
                    self.parked.append((effect.provider_id, effect.data))
                case UpdateOutbox():
                    self.item = effect.item
                case ChangeMessage():
                    self.message = effect.message
                    self.shown.append(effect.message.status)
                case _:
                    raise AssertionError(effect)
        waiting = [data for id_, data in self.parked if id_ in revived]
        self.parked = [(id_, data) for id_, data in self.parked if id_ not in revived]
        for data in waiting:
            event = decode_event(data)
            assert isinstance(event, StatusReported)
            self.report(event)
