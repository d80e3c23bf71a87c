"""Who sees what: the access predicate of the database and that of Python are one."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors.identity import Identity
from storage.access import EVERY_QUEUE, Scope
from storage.protocol import Store, Transaction
from storage.record import Conversation, MessageKind, State
from tests.support.rows import ADA, ALL, conversation, customer, message

_QUEUES = ["", "que_1", "que_2", "que_%", "QUE_1", EVERY_QUEUE]
_IDENTITIES = [
    Identity("visitor", "web", "1"),
    Identity("visitor", "web:1", ""),
    Identity("visitor", "web", "1 "),
    Identity("tel", "", "%"),
]
_KINDS = list(MessageKind)

_scopes = st.builds(
    Scope,
    everything=st.booleans(),
    queues=st.frozensets(st.sampled_from([*_QUEUES, "que_3"])),
    identity=st.sampled_from(["", *map(str, _IDENTITIES), "visitor:web:2", "VISITOR:web:1", "%"]),
    agent=st.sampled_from(["", "agt_1"]),
)


@pytest.fixture
async def everything(store: Store) -> list[Conversation]:
    """Every queue with every identity, each conversation with a message of each kind."""
    made = []

    async def work(tx: Transaction) -> None:
        await tx.customers.put(customer())
        for number, (queue, identity) in enumerate([(queue, identity) for queue in _QUEUES for identity in _IDENTITIES], start=1):
            made.append(conversation(number, queue_id=queue, identity=identity, channel=f"web{number}", last_pos=number, state=State.OPEN))
            await tx.conversations.insert(made[-1])
            for offset, kind in enumerate(_KINDS):
                await tx.messages.insert(message(number * 10 + offset, conversation_id=f"cnv_{number}", kind=kind))

    await store.transact(work)
    return made


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(scope=_scopes)
async def test_the_database_admits_what_scope_admits(store: Store, everything: list[Conversation], scope: Scope) -> None:
    admitted = [each for each in everything if scope.admits(queues=(each.queue_id,), identity=str(each.identity))]
    numbers = {each.number for each in admitted}

    async def look(tx: Transaction) -> None:
        page = await tx.conversations.page(scope, states=(), queue_id="", assignee_id="", before=0, limit=1000)
        assert {each.number for each in page} == numbers
        assert {each.number for each in await tx.conversations.of_customer("cus_1", scope)} == numbers
        for each in everything:
            assert (await tx.conversations.get(each.id, scope) is not None) == (each.number in numbers)
        counts: dict[tuple[str, State], int] = {}
        for each in admitted:
            counts[each.queue_id, each.state] = counts.get((each.queue_id, each.state), 0) + 1
        assert await tx.conversations.counts(scope) == counts
        shown = _KINDS if not scope.identity else [MessageKind.INBOUND, MessageKind.OUTBOUND]
        expected = [number * 10 + _KINDS.index(kind) for number in sorted(numbers) for kind in shown]
        assert [line.pos for line in await tx.messages.of_customer("cus_1", scope, 0, 0, 1000)] == sorted(expected)

    await store.view(look)


async def test_not_yours_is_like_not_there(store: Store) -> None:
    async def work(tx: Transaction) -> None:
        await tx.customers.put(customer())
        await tx.conversations.insert(conversation())
        assert await tx.conversations.get("cnv_1", ALL) == conversation()
        for scope in (Scope(), Scope(queues=frozenset({"que_2"})), Scope(identity="visitor:web:1"), Scope(agent="agt_1")):
            assert await tx.conversations.get("cnv_1", scope) is None
        assert await tx.conversations.get("cnv_2", ALL) is None
        assert await tx.conversations.get("cnv_1", Scope(identity=str(ADA))) is not None

    await store.transact(work)
