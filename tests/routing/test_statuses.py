"""However the reports about a reply arrive, they end the same: that is what all these orders are tried for."""

import random
from itertools import count, permutations

import pytest
from msgspec import structs

from connectors.contract import Failure, Sent
from connectors.errors import FailureKind
from connectors.event import MessageEchoed, Status, StatusReported
from routing.command import FinishAttempt
from storage.record import Attempt, MessageKind
from tests.routing.desk import OURS, Desk
from tests.routing.world import GATEWAY, World
from tests.support.claims import claim

SENT, DELIVERED, READ, FAILED = Status.SENT, Status.DELIVERED, Status.READ, Status.FAILED
_REPORTS = (SENT, DELIVERED, READ, FAILED)

#: (part, status, does the provider echo our id?)
Report = tuple[int, Status, bool]


def expected(total: int, reports: list[Report]) -> Status:
    """By the rules as a person would say them."""
    best = []
    for part in range(total):
        of_part = {status for number, status, _ in reports if number == part}
        best.append(next((status for status in (READ, DELIVERED, FAILED) if status in of_part), SENT))
    if FAILED in best:
        return FAILED
    return next(status for status in (SENT, DELIVERED, READ) if status in best)


def play(total: int, order: list[Report | None], *, known: bool, lost: bool) -> Desk:
    """None stands for the provider's answers."""
    desk = Desk(total, known=known)
    for number, one in enumerate(order):
        if one is None:
            desk.answered(lost)
        else:
            part, status, ours = one
            desk.report(StatusReported(key=str(number), message_id=f"p{part}", status=status, ours=OURS if ours else ""))
    return desk


def check(desk: Desk, order: list[Report | None]) -> None:
    reports = [one for one in order if one is not None]
    assert desk.message.status is expected(desk.total, reports), order
    assert (desk.item.status, desk.item.part_from, desk.item.unknowns) == (SENT, desk.total, 0), order
    assert not desk.message.possible_duplicate
    assert not desk.parked
    assert (desk.message.problem != "") is (desk.message.status is FAILED and any(piece.problem for piece in desk.pieces.values()))


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("ours", [True, False])
@pytest.mark.parametrize(
    "reports",
    [
        [(0, SENT), (0, DELIVERED), (0, READ), (0, FAILED)],
        [(0, READ), (0, READ), (0, DELIVERED)],
        [(0, FAILED), (0, SENT), (0, FAILED)],
        [(0, DELIVERED), (1, SENT)],
        [(0, READ), (1, READ), (1, DELIVERED)],
        [(0, FAILED), (0, DELIVERED), (1, SENT)],
        [(0, FAILED), (0, DELIVERED), (1, READ), (1, DELIVERED)],
        [(0, DELIVERED), (1, DELIVERED), (2, FAILED)],
        [(0, DELIVERED), (1, READ), (2, READ)],
    ],
)
def test_every_order_of_a_few_reports(reports: list[tuple[int, Status]], ours: bool, known: bool) -> None:  # noqa: FBT001
    total = max(part for part, _ in reports) + 1
    for order in set(permutations([*((part, status, ours) for part, status in reports), None])):
        check(play(total, list(order), known=known, lost=False), list(order))


def test_a_thousand_orders_of_many_reports() -> None:
    dice = random.Random(20_260_504)
    for _ in range(1_000):
        total = dice.randint(1, 3)
        order: list[Report | None] = [
            (dice.randrange(total), dice.choice(_REPORTS), dice.random() < 0.5) for _ in range(dice.randint(0, 9))
        ]
        order.insert(dice.randint(0, len(order)), None)
        check(play(total, order, known=dice.random() < 0.5, lost=False), order)


def test_a_lost_answer_is_made_good_by_a_report_whenever_it_comes() -> None:
    """The provider took all and the last answer was lost: reports that carry our own id say so."""
    dice = random.Random(7)
    for _ in range(1_000):
        total = dice.randint(1, 3)
        order: list[Report | None] = [(part, dice.choice((SENT, DELIVERED, READ)), True) for part in range(total)]
        order += [(dice.randrange(total), dice.choice(_REPORTS), True) for _ in range(dice.randint(0, 4))]
        dice.shuffle(order)
        order.insert(dice.randint(0, len(order)), None)
        check(play(total, order, known=dice.random() < 0.5, lost=True), order)


def test_what_was_shown_never_goes_back_but_for_a_failure_disproved() -> None:
    rank = {SENT: 1, FAILED: 1, DELIVERED: 2, READ: 3}
    dice = random.Random(3)
    for _ in range(300):
        total = dice.randint(1, 3)
        order: list[Report | None] = [(dice.randrange(total), dice.choice(_REPORTS), False) for _ in range(8)]
        desk = play(total, [None, *order], known=False, lost=False)
        ranks = [rank[status] for status in desk.shown if status is not None]
        assert ranks == sorted(ranks)


def test_a_reply_in_three_pieces_is_delivered_when_all_of_them_are() -> None:
    desk = Desk(3)
    desk.answered(lost=False)
    for part, status in ((0, SENT), (2, SENT), (1, DELIVERED)):
        desk.report(StatusReported(key=str(part), message_id=f"p{part}", status=DELIVERED))
        assert desk.message.status is status


def test_a_piece_that_failed_says_why_until_it_is_known_better() -> None:
    desk = Desk(2)
    desk.answered(lost=False)
    failed = StatusReported(key="f", message_id="p1", status=FAILED, code="30005", detail="unknown", failure=FailureKind.RECIPIENT)
    desk.report(failed)
    assert desk.message.problem == "This address cannot receive messages. 30005 unknown"
    desk.report(StatusReported(key="d", message_id="p1", status=DELIVERED))
    assert (desk.message.status, desk.message.problem) == (SENT, "")


def test_a_report_lets_the_rest_go_on_at_once() -> None:
    """Two pieces; the answer to the first was lost, and the gateway does not know how many there are."""
    desk = Desk(2)
    desk.finish(Failure(kind=FailureKind.UNKNOWN), calls=0)
    assert (desk.item.status, desk.message.possible_duplicate) == (Status.UNKNOWN, True)
    desk.report(StatusReported(key="s", message_id="p0", status=SENT, ours=OURS))
    assert (desk.item.status, desk.item.part_from, desk.message.possible_duplicate) == (Status.RETRY, 1, False)


@pytest.mark.parametrize("read", [0, 1])
def test_a_copy_sent_by_mistake_proves_nothing_about_other_pieces(read: int) -> None:
    desk = Desk(2)
    desk.answered(lost=False)
    desk.report(StatusReported(key="c", message_id="copy", status=READ, ours=OURS))
    desk.report(StatusReported(key="d", message_id=f"p{read}", status=READ))
    assert desk.message.status is SENT


def test_one_piece_that_failed_fails_the_reply_while_others_still_wait() -> None:
    desk = Desk(2)
    desk.finish(Sent("p0"), Failure(kind=FailureKind.TRANSIENT))
    desk.report(StatusReported(key="f", message_id="p0", status=FAILED))
    assert (desk.message.status, desk.item.status) == (FAILED, Status.RETRY)


def test_a_reply_that_was_given_up_and_arrived_all_the_same_is_shown_as_it_is() -> None:
    desk = Desk(1)
    desk.item = structs.replace(desk.item, expires_at=desk.item.accepted_at)
    desk.finish(Failure(kind=FailureKind.UNKNOWN))
    assert desk.message.status is Status.EXPIRED
    desk.report(StatusReported(key="d", message_id="p0", status=DELIVERED, ours=OURS))
    assert desk.message.status is DELIVERED


def test_what_a_report_told_before_the_crash_is_not_all_of_it() -> None:
    desk = Desk(2)
    desk.report(StatusReported(key="s", message_id="p0", status=SENT, ours=OURS))
    desk.finish(Failure(kind=FailureKind.UNKNOWN), calls=0)
    assert (desk.item.status, desk.item.part_from, desk.item.unknowns) == (Status.RETRY, 1, 0)


async def test_the_same_through_the_router(world: World) -> None:
    """Sixty replies, each with reports in another order, some before the answer and some after."""
    ada = await world.agent("ada", await world.default_queue())
    conversation = await world.writes("cleo")
    dice = random.Random(1)
    numbers = count()
    for _ in range(60):
        total = dice.randint(1, 3)
        message = await world.reply(ada, conversation.id)
        order = [(dice.randrange(total), dice.choice(_REPORTS), dice.random() < 0.5) for _ in range(6)]
        events = [
            StatusReported(
                key=f"s{next(numbers)}", message_id=f"{message.id}.{part}", status=status, ours=message.id if ours else "", code="7"
            )
            for part, status, ours in order
        ]
        (item,) = await world.store.transact(lambda tx: claim(tx, world.clock()))
        cut = dice.randint(0, len(events))
        await world.receive(*events[:cut])
        attempt = Attempt(message_id=item.message_id, number=1, started_at=world.clock(), outcome="sent")
        outcomes = tuple(Sent(f"{message.id}.{part}") for part in range(total))
        await world.router.handle(
            FinishAttempt(id=world.id(), actor=GATEWAY, message_id=message.id, attempt=attempt, outcomes=outcomes, calls=total)
        )
        await world.receive(*events[cut:])
        now = await world.message(message.id)
        assert now.status is expected(total, list(order)), order
        assert (now.problem, now.pieces) == ("7" if now.status is FAILED else "", total)


async def test_our_own_sending_comes_back_as_an_echo_before_its_answer(world: World) -> None:
    ada = await world.agent("ada", await world.default_queue())
    conversation = await world.writes("cleo")
    message = await world.reply(ada, conversation.id)
    (item,) = await world.store.transact(lambda tx: claim(tx, world.clock()))
    await world.receive(MessageEchoed(key="e", message_id="m_1", sender=world.shopper("cleo"), parts=message.parts, ours=message.id))
    await world.receive(StatusReported(key="r", message_id="m_1", status=READ))
    lines = await world.history(conversation.customer_id)
    assert [line.kind for line in lines if line.kind is not MessageKind.ACTIVITY] == [MessageKind.INBOUND, MessageKind.OUTBOUND]
    lost = Failure(kind=FailureKind.UNKNOWN)
    attempt = Attempt(message_id=message.id, number=item.attempts, started_at=world.clock(), outcome="unknown")
    await world.router.handle(
        FinishAttempt(id=world.id(), actor=GATEWAY, message_id=message.id, attempt=attempt, outcomes=(lost,), calls=1)
    )
    now = await world.message(message.id)
    assert (now.status, now.possible_duplicate, now.sent_at) == (READ, False, world.clock())
