"""How fast a channel may send: rates that all nodes share, pauses after a refusal, and how many calls at once on this node."""

import math
from typing import Final

from gateway.work.breaker import Breaker
from storage.bus import Bus

#: Bulk gets at most this much of a channel's rate: what agents write always finds a free turn.
BULK_SHARE: Final = 0.5
#: And of its slots: a slot is held while its item waits for a turn.
BULK_SLOTS: Final = 0.5
#: Items under way at once for one channel, so that a slow provider delays only itself.
PER_CHANNEL: Final = 8
#: A call waits at most so long for its turn; beyond that the item goes back to wait in the database.
LONGEST_TURN: Final = 5.0


def at_once(rate: float) -> int:
    """How many items to have under way for a channel with this rate (0: no limit): none that would wait too long for its turn."""
    return PER_CHANNEL if rate <= 0 else max(1, min(PER_CHANNEL, math.floor(rate * BULK_SHARE * LONGEST_TURN)))


class Turns:
    """Turns of one channel's calls, dealt by the bus to all nodes together; those of one ``bucket`` (a chat) have a rate of their own."""

    def __init__(self, bus: Bus, channel: str, *, rate: float, bucket_rate: float, bucket_burst: float = 1.0) -> None:
        self._bus = bus
        self._channel = channel
        self._rate = rate
        self._bucket_rate = bucket_rate
        self._bucket_burst = bucket_burst

    def ask(self, bucket: str, *, bulk: bool = False) -> "Turn":
        """A turn for one call."""
        limits = self._limits(bucket)
        if bulk and self._rate > 0:
            limits.insert(-1, (f"bulk:{self._channel}", self._rate * BULK_SHARE, 1.0))
        return Turn(self._bus, limits)

    async def block(self, bucket: str, seconds: float) -> None:
        """The provider asked to wait: the bucket if there is one, else the whole channel."""
        await self._bus.block(self._limits(bucket)[0][0], seconds)

    async def spend(self, bucket: str, messages: int) -> None:
        """A call went out that counts as so many messages: the turns of the others are used up, too."""
        for name, rate, _ in self._limits(bucket):
            if messages > 1 and rate > 0:
                await self._bus.block(name, messages / rate)

    def _limits(self, bucket: str) -> list[tuple[str, float, float]]:
        """Names, rates (calls per second, 0: no limit) and bursts, the narrower one first: who waits for a chat keeps nobody else back."""
        whole = (f"send:{self._channel}", self._rate, 1.0)
        return [(f"send:{self._channel}:{bucket}", self._bucket_rate, self._bucket_burst), whole] if bucket else [whole]


class Turn:
    """Waits for all its limits; what was taken of one is kept while another is waited for."""

    def __init__(self, bus: Bus, limits: list[tuple[str, float, float]]) -> None:
        self._bus = bus
        self._limits = limits
        self._taken = 0
        self._late = False

    async def take(self) -> float:
        """0: call now. Else the seconds after which to ask again."""
        while self._taken < len(self._limits):
            delay = await self._bus.take(*self._limits[self._taken])
            if delay > 0:
                self._late = self._taken > 0
                return delay
            self._taken += 1
        name, rate, burst = self._limits[0]
        if self._late and rate > 0 and burst <= 1:
            # The chat's turn was some time ago: its next one counts from now, or the two would come too close.
            await self._bus.block(name, 1 / rate)
        return 0.0


class Pace:
    """How many calls of one channel this node makes at once, and whether it may call at all. Times are seconds."""

    def __init__(self, turns: Turns, *, concurrency: int, breaker: Breaker | None = None) -> None:
        self.turns = turns
        self.breaker = breaker or Breaker()
        self._concurrency = concurrency
        self._paused_until = 0.0
        self._on_trial = False
        #: Items under way, and how many of them are bulk.
        self.under_way = 0
        self.bulk_under_way = 0
        #: The provider is being asked whether all is well again; it was.
        self._asking = False
        self._was_asked = False
        #: Does a probe that finds nothing wrong end the pause?
        self._probe_tells = True

    def free(self, now: float) -> int:
        """How many more items may be begun now."""
        if now < self._paused_until or self._asking:
            return 0
        limit = self.breaker.allows(now, 1 if self._on_trial else self._concurrency)
        return max(0, limit - self.under_way)

    def begun(self, *, bulk: bool) -> None:
        """An item is under way."""
        self.under_way += 1
        self.bulk_under_way += bulk

    def ended(self, *, bulk: bool) -> None:
        """It no longer is."""
        self.under_way -= 1
        self.bulk_under_way -= bulk

    def free_for_bulk(self, now: float) -> int:
        """How many of the free slots bulk may take; of a single slot all, when nobody else wants it."""
        share = max(1, math.floor(self._concurrency * BULK_SLOTS))
        return max(0, min(self.free(now), share - self.bulk_under_way))

    @property
    def probe_tells(self) -> bool:
        """May a probe that finds nothing wrong end the pause? Else only a reply that goes out."""
        return self._probe_tells

    @property
    def ailing(self) -> bool:
        """Paused, or not yet proved to work again."""
        return self._on_trial

    def ask_due(self, now: float) -> bool:
        """The pause is over, and the provider was not yet asked whether all is well again."""
        return self._on_trial and self._probe_tells and now >= self._paused_until and not self._was_asked

    def ask(self) -> None:
        """The provider is being asked: nothing is begun until :meth:`asked`."""
        self._asking = self._was_asked = True

    def asked(self) -> None:
        """It has answered, or not."""
        self._asking = False

    def pause(self, until: float, *, probe_tells: bool = True) -> None:
        """Stop until then; after it one item at a time goes on trial, until one succeeds. A longer pause stays as it is."""
        if until >= self._paused_until:
            self._paused_until = until
            self._probe_tells = probe_tells
        self._on_trial = True
        self._was_asked = False

    def recover(self) -> None:
        """A call succeeded."""
        self._paused_until = 0.0
        self._on_trial = False
