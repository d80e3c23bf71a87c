"""Asks providers for the names of people whose webhooks bring ids alone: reads the stream for new ones, aside from all other work.

The answer is an event of its own, once per person and for ever, by its key. Who may not be asked about is left alone for a day; what
cannot be had now is tried again a few times. A person without a name is no trouble: agents see the end of the id.
"""

import asyncio
import time
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

import structlog
from msgspec import Struct

from connectors.abilities import Profile, ProfileSource
from connectors.event import MessageReceived, ProfileReported, Sender, decode_event, encode_event, event_type
from connectors.identity import Identity, partition_of
from gateway.services import Channel, Services
from gateway.work.follower import Follower
from storage.errors import StorageError
from storage.interaction import InteractionKind
from storage.record import Entry, Recorded

#: The name of the duty, and of the setting that says how far the reading has come.
CONSUMER: Final = "profile"
EVERY_SECONDS: Final = 1.0
ASK_SECONDS: Final = 15.0
#: Pauses between tries of what may be told later.
BACK_OFF: Final = (timedelta(seconds=5), timedelta(minutes=1), timedelta(minutes=10))
#: So long a message may wait to be routed before its writer is forgotten here.
UNROUTED_FOR: Final = timedelta(minutes=10)
#: So long nobody asks again about a person whose name is not for us, and about so many at most.
REFUSED_FOR: Final = timedelta(days=1)
_MOST_REFUSED: Final = 10_000
#: People asked about in one look: one after the other, far below any provider's limit.
_AT_ONCE: Final = 20
_MESSAGE: Final = str(MessageReceived.__struct_config__.tag)


class _Person(Struct):
    """Somebody to ask about, because of what they did at ``pos``."""

    pos: int
    channel: str
    identity: Identity
    since: datetime
    due: datetime
    tries: int = 0


def naming(channels: Iterable[Channel]) -> dict[str, Channel]:
    """The enabled channels whose providers can be asked for names."""
    return {one.id: one for one in channels if one.enabled and isinstance(one.client, ProfileSource)}


def profile_key(identity: Identity) -> str:
    """Of the event: one person's name is asked for once."""
    return f"profile:{identity}"[:512]


class ProfileWorker:
    """One at a time, by its lease."""

    def __init__(self, services: Services, *, every: float = EVERY_SECONDS) -> None:
        self._services = services
        self._every = every
        self._channels = naming(services.channels.values())
        self._pending: dict[tuple[str, Identity], _Person] = {}
        self._refused: dict[tuple[str, Identity], datetime] = {}
        self._follower = Follower(services.store, CONSUMER)
        self._log = structlog.get_logger("profile")

    async def run(self) -> None:
        """Look until cancelled. Raises StorageError; then the supervisor starts it again."""
        self._pending.clear()
        self._follower.rewind()
        while True:
            await self.look()
            await asyncio.sleep(self._every)

    async def look(self) -> None:
        """Once. Raises StorageError."""
        async for recorded in self._follower.fresh():
            self._consider(recorded)
        now = self._services.clock()
        for person in [one for one in self._pending.values() if one.due <= now][:_AT_ONCE]:
            await self._handle(person)
        await self._follower.note(one.pos for one in self._pending.values())

    def _consider(self, recorded: Recorded) -> None:
        """Somebody who wrote in private and whose name nobody told; a comment is no consent to be asked about."""
        entry = recorded.entry
        if entry.channel not in self._channels or entry.type != _MESSAGE:
            return
        event = decode_event(entry.data)
        if isinstance(event, MessageReceived) and not event.public and not event.sender.name:
            who = (entry.channel, event.sender.identity)
            if self._refused.get(who, entry.at) <= entry.at:
                self._pending.setdefault(who, _Person(recorded.pos, *who, since=entry.at, due=entry.at))

    # --- asking ------------------------------------------------------------------------------------------------------------

    async def _handle(self, person: _Person) -> None:
        who = (person.channel, person.identity)
        known = await self._services.store.view(lambda tx: tx.customers.find(person.identity))
        if known is None and self._services.clock() - person.since < UNROUTED_FOR:
            return  # the router has not come so far
        key = profile_key(person.identity)
        if known is None or known.name or await self._services.store.view(lambda tx: tx.stream.by_key(person.channel, key)) is not None:
            del self._pending[who]
            return
        profile = await self._ask(person)
        if profile.name:
            await self._report(person, profile.name)
        elif profile.retry and person.tries < len(BACK_OFF):
            self._later(person, timedelta(seconds=profile.retry_after))
            return
        else:
            self._refuse(who)
        del self._pending[who]

    async def _ask(self, person: _Person) -> Profile:
        client = self._channels[person.channel].client
        assert isinstance(client, ProfileSource)
        began = time.perf_counter()
        try:
            async with asyncio.timeout(ASK_SECONDS):
                found = await client.profile(person.identity.value)
        except TimeoutError:
            found = Profile(problem="the provider did not answer in time", retry=True)
        except StorageError:
            raise
        except Exception as error:  # noqa: BLE001 - clients promise not to raise; one person's name must not keep the others'
            self._log.exception("a client failed to ask for a name", channel=person.channel)
            found = Profile(problem=f"the name could not be asked for: {type(error).__name__}")
        result = "named" if found.name else "later" if found.retry else "refused"
        # Not the name itself: it is nothing for a log.
        words = self._services.journal.hidden(person.channel, found.problem)
        seconds = time.perf_counter() - began
        self._services.journal.asked(person.channel, InteractionKind.PROFILE, result, seconds, ok=bool(found.name), detail=words)
        return found

    async def _report(self, person: _Person, name: str) -> None:
        event = ProfileReported(
            key=profile_key(person.identity), at=self._services.clock(), sender=Sender(identity=person.identity, name=name)
        )
        entry = Entry(
            type=event_type(event),
            data=encode_event(event),
            partition=partition_of(f"{person.channel}\x00{person.identity}"),
            at=self._services.clock(),
            channel=person.channel,
            key=event.key,
        )
        await self._services.store.append([entry])

    def _later(self, person: _Person, at_least: timedelta) -> None:
        person.due = self._services.clock() + max(at_least, BACK_OFF[person.tries])
        person.tries += 1

    def _refuse(self, who: tuple[str, Identity]) -> None:
        while len(self._refused) >= _MOST_REFUSED:
            del self._refused[next(iter(self._refused))]
        self._refused[who] = self._services.clock() + REFUSED_FOR
