"""People whose webhooks bring ids alone get their names: once, aside from the work, and without harm where the provider does not tell."""

import asyncio
import dataclasses
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from connectors.abilities import Profile
from connectors.content import Text
from connectors.contract import Request
from connectors.event import MessageReceived, Sender
from connectors.identity import Identity
from gateway.intake import take_in
from gateway.services import Services
from gateway.work.profile import BACK_OFF, REFUSED_FOR, UNROUTED_FOR, ProfileWorker, naming
from gateway.work.roster import duties_of
from storage.interaction import InteractionKind
from tests.support import post
from tests.support.post import Letter, Office, Provider, Settings, office, request
from tests.support.waiting import DEADLINE

ADA = Identity("post", "", "ada")


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 11, 22, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **amount: float) -> None:
        self.now += timedelta(**amount)


class Register(Provider):
    """A provider that knows names; ``told``: what it says first, before it tells the name."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []
        self.told: deque[Profile | Exception] = deque()

    async def profile(self, value: str) -> Profile:
        self.asked.append(value)
        answer = self.told.popleft() if self.told else Profile(name=f"{value.title()} Bianchi")
        if isinstance(answer, Exception):
            raise answer
        return answer


def nameless(request_: Request, settings: Settings) -> list[MessageReceived]:
    """A webhook with an id and no name; one that begins with an exclamation mark is a comment."""
    (event,) = post.parse(request_, settings)
    assert isinstance(event, MessageReceived)
    public = event.parts[0] == Text(text="!")
    sender = Sender(identity=event.sender.identity, name="Named" if event.sender.name == "named" else "")
    return [msgspec.structs.replace(event, sender=sender, public=public, at=request_.received_at)]


@dataclasses.dataclass
class Town:
    office: Office
    register: Register
    clock: Clock
    worker: ProfileWorker

    async def writes(self, name: str, text: str = "ciao", *, routed: bool = True) -> None:
        letter = Letter(id=f"{name}{self.clock.now.timestamp()}{text}", sender=name, text=text)
        body = msgspec.structs.replace(request(letter), received_at=self.clock.now)
        await take_in(self.office.services, self.office.services.channels["post"], body)
        if routed:
            await self.office.settle()

    async def name(self, identity: Identity = ADA) -> str:
        """As agents see it: the customer's."""
        known = await self.office.services.store.view(lambda tx: tx.customers.find(identity))
        assert known is not None
        customer = await self.office.services.store.view(lambda tx: tx.customers.get(known.customer_id))
        assert customer is not None
        assert customer.name in ("", known.name)
        return customer.name

    async def look(self) -> None:
        await self.worker.look()
        await self.office.settle()


@asynccontextmanager
async def town(folder: Path) -> AsyncIterator[Town]:
    clock, register = Clock(), Register()
    async with office(folder, clock=clock) as opened:
        plain = opened.services.channels["post"]
        channel = dataclasses.replace(plain, connector=dataclasses.replace(plain.connector, parse=nameless), client=register)
        assert naming([plain, channel]) == {"post": channel}
        assert naming([dataclasses.replace(channel, enabled=False)]) == {}
        assert duties_of([channel], mirrored=False)["profile", 0] == "sender"
        assert ("profile", 0) not in duties_of([plain], mirrored=False)
        services = dataclasses.replace(opened.services, channels={"post": channel, "other": opened.services.channels["other"]})
        worker = ProfileWorker(services)
        await worker.look()
        yield Town(Office(services, {"post": register}), register, clock, worker)


async def test_somebody_new_is_asked_about_once_and_has_a_name(tmp_path: Path) -> None:
    async with town(tmp_path) as here:
        await here.writes("ada")
        assert await here.name() == ""
        await here.look()
        assert await here.name() == "Ada Bianchi"
        for _ in range(3):
            here.clock.forward(minutes=1)
            await here.writes("ada", "again")
            await here.look()
        assert here.register.asked == ["ada"]
        again = ProfileWorker(here.office.services)
        await again.look()
        assert here.register.asked == ["ada"], "a restart reads again and asks nobody twice"
        (entry,) = await here.office.logged(InteractionKind.PROFILE)
        assert (entry.ok, entry.result) == (True, "named")
        assert "Bianchi" not in repr(entry), "names are nothing for a log"


async def test_a_comment_or_a_name_in_the_webhook_is_not_asked_about(tmp_path: Path) -> None:
    async with town(tmp_path) as here:
        await here.writes("ada", "!")
        await here.writes("named")
        await here.look()
        assert here.register.asked == []
        assert await here.name(Identity("post", "", "named")) == "Named"


@pytest.mark.parametrize("refusal", [Profile(problem="User consent is required"), RuntimeError("a bug in a client")])
async def test_a_refusal_is_kept_for_a_day_and_stops_nothing(tmp_path: Path, refusal: Profile | Exception) -> None:
    async with town(tmp_path) as here:
        here.register.told.append(refusal)
        await here.writes("ada")
        await here.writes("bob")
        await here.look()
        assert (await here.name(), await here.name(Identity("post", "", "bob"))) == ("", "Bob Bianchi")
        for _ in range(2):
            here.clock.forward(hours=1)
            await here.writes("ada")
            await here.look()
        assert here.register.asked == ["ada", "bob"]
        here.clock.forward(seconds=REFUSED_FOR.total_seconds())
        await here.writes("ada", "the next day")
        await here.look()
        assert await here.name() == "Ada Bianchi"


async def test_what_cannot_be_had_now_is_tried_again_and_given_up_in_the_end(tmp_path: Path) -> None:
    async with town(tmp_path) as here:
        here.register.told += [Profile(problem="busy", retry=True, retry_after=60.0), Profile(problem="busy", retry=True)]
        await here.writes("ada")
        await here.look()
        here.clock.forward(seconds=59)
        await here.look()
        assert len(here.register.asked) == 1, "not before the provider wants it"
        here.clock.forward(seconds=1)
        await here.look()
        here.clock.now += BACK_OFF[1]
        await here.look()
        assert (len(here.register.asked), await here.name()) == (3, "Ada Bianchi")
        here.register.told += [Profile(problem="busy", retry=True)] * 10
        await here.writes("bob")
        for pause in (timedelta(0), *BACK_OFF, timedelta(hours=1)):
            here.clock.now += pause
            await here.look()
        assert here.register.asked[3:] == ["bob"] * (len(BACK_OFF) + 1)


async def test_who_is_not_routed_yet_waits_and_is_forgotten_in_the_end(tmp_path: Path) -> None:
    async with town(tmp_path) as here:
        await here.writes("ada", routed=False)
        await here.worker.look()
        assert here.register.asked == []
        await here.look()
        await here.look()
        assert await here.name() == "Ada Bianchi"
        await here.writes("bob", routed=False)
        here.clock.now += UNROUTED_FOR
        await here.worker.look()
        await here.look()
        assert here.register.asked == ["ada"]


async def test_a_name_that_is_known_and_not_routed_yet_is_not_asked_for_again(tmp_path: Path) -> None:
    async with town(tmp_path) as here:
        await here.writes("ada")
        await here.worker.look()
        await here.writes("ada", "again", routed=False)
        await here.worker.look()
        assert here.register.asked == ["ada"]


async def test_a_crash_before_the_answer_asks_again_after_the_restart(tmp_path: Path) -> None:
    """Where the reading stands is noted up to the first person who is still to be asked about."""
    async with town(tmp_path) as here:
        here.register.told.append(Profile(problem="busy", retry=True))
        await here.writes("ada")
        await here.look()
        again = ProfileWorker(here.office.services)
        await again.look()
        await here.office.settle()
        assert (here.register.asked, await here.name()) == (["ada", "ada"], "Ada Bianchi")


async def test_a_name_that_an_agent_gave_stays(tmp_path: Path) -> None:
    async with town(tmp_path) as here:
        await here.writes("ada")
        await _rename(here.office.services, "Signora Ada")
        await here.look()
        known = await here.office.services.store.view(lambda tx: tx.customers.find(ADA))
        assert known is not None
        customer = await here.office.services.store.view(lambda tx: tx.customers.get(known.customer_id))
        assert customer is not None
        assert (known.name, customer.name) == ("Ada Bianchi", "Signora Ada")


async def _rename(services: Services, name: str) -> None:
    known = await services.store.view(lambda tx: tx.customers.find(ADA))
    assert known is not None
    customer = await services.store.view(lambda tx: tx.customers.get(known.customer_id))
    assert customer is not None
    await services.store.transact(lambda tx: tx.customers.put(msgspec.structs.replace(customer, name=name)))


async def test_the_worker_runs_by_itself(tmp_path: Path) -> None:
    async with town(tmp_path) as here:
        worker = ProfileWorker(here.office.services, every=0.01)
        async with post.running(worker.run):
            await here.writes("ada")
            async with asyncio.timeout(DEADLINE):
                while not here.register.asked:
                    await asyncio.sleep(0.01)
                    here.clock.forward(seconds=1)
        await here.office.settle()
        assert await here.name() == "Ada Bianchi"
