"""How fast a channel may send: rates that all nodes share, pauses after a refusal, and how many calls at once on this node."""

from storage.bus import Bus


class Turns:
    """Turns of one channel's calls, dealt by the bus to all nodes together; those of one ``bucket`` (a chat) have a rate of their own."""

    def __init__(self, bus: Bus, channel: str, *, rate: float, bucket_rate: float) -> None:
        self._bus = bus
        self._channel = channel
        self._rate = rate
        self._bucket_rate = bucket_rate

    def ask(self, bucket: str) -> "Turn":
        """A turn for one call."""
        return Turn(self._bus, self._limits(bucket))

    async def block(self, bucket: str, seconds: float) -> None:
        """The provider asked to wait: the bucket if there is one, else the whole channel."""
        await self._bus.block(self._limits(bucket)[0][0], seconds)

    def _limits(self, bucket: str) -> list[tuple[str, float]]:
        """Names and rates (calls per second, 0: no limit), the narrower one first: who waits for a chat keeps nobody else back."""
        whole = (f"send:{self._channel}", self._rate)
        return [(f"send:{self._channel}:{bucket}", self._bucket_rate), whole] if bucket else [whole]


class Turn:
    """Waits for all its limits; what was taken of one is kept while another is waited for."""

    def __init__(self, bus: Bus, limits: list[tuple[str, float]]) -> None:
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
        name, rate = self._limits[0]
        if self._late and rate > 0:
            # The chat's turn was some time ago: its next one counts from now, or the two would come too close.
            await self._bus.block(name, 1 / rate)
        return 0.0


class Pace:
    """How many calls of one channel this node makes at once, and whether it may call at all. Times are seconds."""

    def __init__(self, turns: Turns, *, concurrency: int) -> None:
        self.turns = turns
        self._concurrency = concurrency
        self._paused_until = 0.0
        self._probing = False
        #: Items under way.
        self.under_way = 0

    def free(self, now: float) -> int:
        """How many more items may be begun now."""
        if now < self._paused_until:
            return 0
        limit = 1 if self._probing else self._concurrency
        return max(0, limit - self.under_way)

    @property
    def ailing(self) -> bool:
        """Paused, or not yet proved to work again."""
        return self._probing

    def pause(self, until: float) -> None:
        """Stop until then; after it one item at a time goes as a probe, until one succeeds."""
        self._paused_until = until
        self._probing = True

    def recover(self) -> None:
        """A call succeeded."""
        self._paused_until = 0.0
        self._probing = False
