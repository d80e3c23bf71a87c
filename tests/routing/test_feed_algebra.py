"""A snapshot and the events after it give the newer snapshot, whatever happens in between: the promise behind the live feed."""

import tempfile
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors.content import Text
from connectors.event import MessageDeleted, MessageEdited
from routing.command import (
    Accept,
    Actor,
    Assign,
    MarkSeen,
    MergeCustomers,
    Note,
    Reopen,
    Resolve,
    SetMember,
    Snooze,
    Transfer,
    UnmergeCustomers,
    Wake,
)
from routing.errors import Refused
from storage import open_store
from storage.access import Scope
from storage.errors import NotFound
from storage.protocol import Transaction
from storage.record import Conversation, Presence
from tests.routing.world import GATEWAY, World, data

NAMES = ("cleo", "dan", "eve")
Json = dict[str, Any]


class Client:
    """What an agent's screen does: replace its copy by the one in the event, drop what left its queues."""

    def __init__(self, agent_id: str, queues: set[str], conversations: dict[str, Json]) -> None:
        self.agent_id = agent_id
        self.queues = queues
        self.conversations = conversations
        self.resync = False

    def apply(self, type_: str, body: Json) -> None:
        conversation = body.get("conversation")
        if conversation is not None:
            if conversation["queue_id"] in self.queues:
                self.conversations[conversation["id"]] = conversation
            else:
                self.conversations.pop(conversation["id"], None)
        elif type_ in {"customer.merged", "customer.unmerged"}:
            owner = body["into_id"] if type_ == "customer.merged" else body["from_id"]
            for id_, one in self.conversations.items():
                if one["identity"] in body["identities"]:
                    self.conversations[id_] = {**one, "customer_id": owner}
        elif type_ == "queue.member_removed" and body["agent_id"] == self.agent_id:
            self.queues.discard(body["queue_id"])
            self.conversations = {id_: one for id_, one in self.conversations.items() if one["queue_id"] in self.queues}
        elif type_ == "queue.member_added" and body["agent_id"] == self.agent_id:
            self.resync = True


async def snapshot(world: World, agent_id: str) -> tuple[Client, int]:
    actor = await world.actor(agent_id)
    conversations = await world.inbox(actor.scope)
    head: int = await world.look(lambda tx: tx.stream.head())
    plain = {id_: msgspec.to_builtins(conversation) for id_, conversation in conversations.items()}
    return Client(agent_id, set(actor.scope.queues), msgspec.json.decode(msgspec.json.encode(plain))), head


class Actions:
    """Everything that may happen; each takes two numbers to choose with. What is refused changes nothing."""

    def __init__(self, world: World, ada: str, ben: str, queues: list[str]) -> None:
        self.world, self.agents, self.queues = world, [ada, ben], queues

    async def one(self, index: int) -> Conversation | None:
        async def work(tx: Transaction) -> list[Conversation]:
            return await tx.conversations.page(GATEWAY.scope, states=[], queue_id="", assignee_id="", before=0, limit=50)

        found = await self.world.store.view(work)
        return sorted(found, key=lambda conversation: conversation.number)[index % len(found)] if found else None

    async def actor(self, index: int) -> Actor:
        return await self.world.actor(self.agents[index // 3 % 2])

    async def write(self, a: int, b: int) -> None:
        await self.world.writes(NAMES[a % 3], f"text {b}", channel=("web", "shop2")[b % 2])

    async def edit(self, a: int, b: int) -> None:
        sender = self.world.shopper(NAMES[a % 3])
        number = next(self.world.numbers)
        await self.world.receive(MessageEdited(key=f"e{number}", message_id=f"p{b}", sender=sender, parts=(Text(text="edited"),)))
        await self.world.receive(MessageDeleted(key=f"d{number}", message_id=f"p{b + 1}"))

    async def command(self, kind: Callable[..., Any], a: int, b: int, **fields: Any) -> None:
        conversation = await self.one(a)
        if conversation is None:
            return
        await self.world.router.handle(kind(id=self.world.id(), actor=await self.actor(b), conversation_id=conversation.id, **fields))

    async def reply(self, a: int, b: int) -> None:
        conversation = await self.one(a)
        if conversation is not None:
            await self.world.reply(await self.actor(b), conversation.id)

    async def note(self, a: int, b: int) -> None:
        await self.command(Note, a, b, parts=(Text(text="note"),))

    async def accept(self, a: int, b: int) -> None:
        await self.command(Accept, a, b)

    async def assign(self, a: int, b: int) -> None:
        await self.command(Assign, a, b, agent_id=(*self.agents, "")[b % 3])

    async def transfer(self, a: int, b: int) -> None:
        await self.command(Transfer, a, b, queue_id=self.queues[b % len(self.queues)])

    async def snooze(self, a: int, b: int) -> None:
        await self.command(Snooze, a, b, until=self.world.clock() + timedelta(minutes=5))

    async def resolve(self, a: int, b: int) -> None:
        await self.command(Resolve, a, b)

    async def reopen(self, a: int, b: int) -> None:
        await self.command(Reopen, a, b)

    async def seen(self, a: int, b: int) -> None:
        await self.command(MarkSeen, a, b, pos=10 * b)

    async def pass_time(self, a: int, b: int) -> None:
        self.world.clock.forward(minutes=a + b)
        await self.world.router.handle(Wake(id=self.world.id(), actor=GATEWAY))

    async def presence(self, a: int, b: int) -> None:
        await self.world.presence(self.agents[a % 2], list(Presence)[b % 3])

    async def member(self, a: int, b: int) -> None:
        queue = self.queues[b % len(self.queues)]
        change = SetMember(id=self.world.id(), actor=GATEWAY, queue_id=queue, agent_id=self.agents[a % 2], member=a % 3 > 0)
        await self.world.router.handle(change)

    async def merge(self, a: int, b: int) -> None:
        one, two = await self.one(a), await self.one(b)
        if one is not None and two is not None:
            kind = MergeCustomers if (a + b) % 3 else UnmergeCustomers
            await self.world.router.handle(kind(id=self.world.id(), actor=GATEWAY, from_id=one.customer_id, into_id=two.customer_id))


NAMES_OF_ACTIONS = sorted(name for name in vars(Actions) if not name.startswith("_") and name not in {"one", "actor", "command"})
steps = st.lists(st.tuples(st.sampled_from(NAMES_OF_ACTIONS), st.integers(0, 11), st.integers(0, 11)), min_size=12, max_size=40)


async def play(steps_: list[tuple[str, int, int]], folder: str) -> None:
    store = await open_store(f"sqlite://{folder}/world.db")
    try:
        world = World(store)
        general, returns = await world.default_queue(), await world.queue("Returns")
        ada = await world.agent("ada", general, capacity=2)
        ben = await world.agent("ben", general, returns, capacity=2)
        actions = Actions(world, ada.agent_id, ben.agent_id, [general, returns])
        for name in NAMES:
            await world.writes(name)
        client, head = await snapshot(world, ada.agent_id)
        for name, a, b in steps_:
            action: Callable[[int, int], Awaitable[None]] = getattr(actions, name)
            with suppress(Refused, NotFound):
                await action(a, b)
        for recorded in await world.events(head):
            entry = recorded.entry
            visible = Scope(queues=frozenset(client.queues), agent=ada.agent_id)
            if visible.admits(queues=entry.queues, identity=entry.identity, agent=entry.agent):
                client.apply(entry.type, data(recorded))
            if client.resync:
                return  # the server tells the client to fetch a fresh snapshot: nothing left to compare
        fresh, _ = await snapshot(world, ada.agent_id)
        assert client.conversations == fresh.conversations
    finally:
        await store.close()


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps)
async def test_snapshot_and_events_give_the_newer_snapshot(steps_: list[tuple[str, int, int]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        await play(steps_, folder)
