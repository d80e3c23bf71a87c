"""A router over a real store, and short words for what happens to it."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import msgspec

from connectors.content import AnyPart, Text
from connectors.event import AnyEvent, MessageReceived, Sender, encode_event, event_type
from connectors.identity import Identity
from routing import announce
from routing.command import Actor, PutAgent, PutQueue, Reply, SetMember, SetPresence
from routing.router import Router
from routing.rules import Rules
from storage.access import Scope
from storage.protocol import WHOLE, Store, Transaction
from storage.record import Agent, Appended, Conversation, Duplicate, Entry, Message, Presence, Queue, Recorded, Role, State

EVERYTHING = Scope(everything=True)
GATEWAY = Actor(agent_id="", name="gateway", role=Role.ADMIN, scope=EVERYTHING)


@dataclass
class Clock:
    """A clock that a test moves."""

    now: datetime = datetime(2026, 5, 4, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **amount: float) -> None:
        self.now += timedelta(**amount)


@dataclass
class World:
    """One gateway's brain, without its senses."""

    store: Store
    clock: Clock = field(default_factory=Clock)
    rules: Rules = field(default_factory=Rules)
    numbers: Any = field(default_factory=lambda: count(1))
    reading: asyncio.Lock = field(default_factory=asyncio.Lock)

    def __post_init__(self) -> None:
        self.router = Router(self.store, self.rules, self.clock)

    def id(self) -> str:
        return f"cmd{next(self.numbers)}"

    # --- shoppers

    def shopper(self, name: str, channel: str = "web") -> Sender:
        return Sender(identity=Identity("visitor", channel, name), name=name.title())

    async def receive(self, *events: AnyEvent, channel: str = "web", route: bool = True) -> list[Appended | Duplicate]:
        """Events arrive on a channel and, usually, are routed at once."""
        outcomes = await self.store.append([self.entry(event, channel) for event in events])
        if route:
            await self.settle()
        return outcomes

    def entry(self, event: AnyEvent, channel: str) -> Entry:
        sender = getattr(event, "sender", None)
        partition = announce.partition(channel, sender.identity) if sender else 0
        return Entry(
            type=event_type(event),
            data=encode_event(event),
            partition=partition,
            at=self.clock(),
            channel=channel,
            key=event.key,
            raw=event.raw,
        )

    async def settle(self) -> None:
        async with self.reading:
            for _ in range(1000):
                if not await self.router.route():
                    return
            raise AssertionError("the router does not come to rest")

    async def writes(self, name: str, text: str = "ciao", channel: str = "web", **fields: Any) -> Conversation:
        """A shopper writes; returns the conversation as it stands then."""
        number = next(self.numbers)
        parts: Sequence[AnyPart] = fields.pop("parts", (Text(text=text),))
        message = MessageReceived(
            key=f"k{number}", message_id=f"p{number}", sender=self.shopper(name, channel), parts=tuple(parts), **fields
        )
        await self.receive(message, channel=channel)
        return await self.conversation_of(name, channel)

    async def conversation_of(self, name: str, channel: str = "web") -> Conversation:
        identity = Identity("visitor", channel, name)

        async def work(tx: Transaction) -> Conversation | None:
            return await tx.conversations.unresolved(channel, identity) or await tx.conversations.latest(channel, identity)

        found = await self.store.view(work)
        assert found is not None
        return found

    # --- agents

    async def agent(self, name: str, *queues: str, role: Role = Role.AGENT, online: bool = True, capacity: int = 5) -> Actor:
        made = await self.router.handle(
            PutAgent(id=self.id(), actor=GATEWAY, name=name, email=f"{name}@shop.example", role=role, capacity=capacity)
        )
        assert isinstance(made, Agent)
        for queue in queues:
            await self.router.handle(SetMember(id=self.id(), actor=GATEWAY, queue_id=queue, agent_id=made.id, member=True))
        if online:
            await self.presence(made.id, Presence.ONLINE)
        return await self.actor(made.id)

    async def actor(self, agent_id: str) -> Actor:
        """The agent with the scope that they have now."""

        async def work(tx: Transaction) -> Actor:
            agent = await tx.agents.get(agent_id)
            assert agent is not None
            everything = agent.role in {Role.ADMIN, Role.SUPERVISOR}
            scope = Scope(everything=everything, queues=await tx.queues.of_agent(agent_id), agent=agent_id)
            return Actor(agent_id=agent_id, name=agent.name, role=agent.role, scope=scope)

        return await self.store.view(work)

    async def presence(self, agent_id: str, presence: Presence) -> None:
        await self.router.handle(SetPresence(id=self.id(), actor=GATEWAY, agent_id=agent_id, presence=presence))

    async def queue(self, name: str) -> str:
        made = await self.router.handle(PutQueue(id=self.id(), actor=GATEWAY, name=name))
        assert isinstance(made, Queue)
        return made.id

    async def default_queue(self) -> str:
        async def work(tx: Transaction) -> str:
            return (await tx.queues.default()).id

        return await self.store.view(work)

    async def reply(self, actor: Actor, conversation_id: str, text: str = "ecco", **fields: Any) -> Message:
        command = Reply(id=self.id(), actor=actor, conversation_id=conversation_id, parts=(Text(text=text),), **fields)
        message = await self.router.handle(command)
        assert isinstance(message, Message)
        return message

    # --- looking

    async def history(self, customer_id: str, scope: Scope = EVERYTHING) -> list[Message]:
        async def work(tx: Transaction) -> list[Message]:
            return await tx.messages.of_customer(customer_id, scope, 0, 0, 1000)

        return await self.store.view(work)

    async def inbox(self, scope: Scope) -> dict[str, Conversation]:
        async def work(tx: Transaction) -> list[Conversation]:
            return await tx.conversations.page(scope, states=list(State), queue_id="", assignee_id="", before=0, limit=1000)

        return {conversation.id: conversation for conversation in await self.store.view(work)}

    async def message(self, message_id: str) -> Message:
        async def work(tx: Transaction) -> Message | None:
            return await tx.messages.get(message_id)

        found = await self.store.view(work)
        assert found is not None
        return found

    async def look(self, work: Callable[[Transaction], Any]) -> Any:
        return await self.store.view(work)

    async def events(self, after: int = 0) -> list[Recorded]:
        return await self.store.read(WHOLE, after, 100_000)

    async def event_types(self, after: int = 0) -> list[str]:
        return [recorded.entry.type for recorded in await self.events(after)]


def data(recorded: Recorded) -> dict[str, Any]:
    """The event's JSON."""
    decoded: dict[str, Any] = msgspec.json.decode(recorded.entry.data)
    return decoded
