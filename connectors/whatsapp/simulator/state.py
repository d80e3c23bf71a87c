"""The business, its people, and how much may be sent to whom."""

import hashlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from connectors.meta.simulator import GraphRefusal
from connectors.simulator.phone import Phone
from connectors.whatsapp.limits import RATE
from connectors.whatsapp.people import is_user_id

Json = dict[str, Any]

SESSION_SECONDS: Final = 86_400.0
#: One message in 6 seconds to one person, of which so many may be borrowed.
PAIR_SECONDS: Final = 6.0
PAIR_BURST: Final = 45


@dataclass(slots=True, kw_only=True)
class Business:
    """One account with one number."""

    waba_id: str
    phone_number_id: str
    display_phone_number: str = "15550783881"
    name: str = "Demo Shop"
    quality: str = "GREEN"
    name_status: str = "APPROVED"
    #: Answered as ``health_status``.
    health: Json = field(default_factory=lambda: {"can_send_message": "AVAILABLE", "entities": []})
    templates: list[Json] = field(default_factory=list)


class World:
    """What the simulator knows. ``clock`` may be moved forward, so that 24 hours pass in no time."""

    def __init__(self, phone: Phone, business: Business, *, now: Callable[[], float], limits: bool) -> None:
        self.phone = phone
        self.business = business
        self.ahead = 0.0
        self._real_now = now
        self._limits = limits
        self._numbers = 0
        #: Debt of each pair in messages, and when it was last looked at.
        self._debts: dict[str, tuple[float, float]] = {}
        self._recent: deque[float] = deque()
        #: When each person last wrote.
        self.wrote: dict[str, float] = {}
        #: Typing and read marks that we were asked to show.
        self.courtesies: list[Json] = []

    def now(self) -> float:
        """Seconds since 1970, by the simulated clock."""
        return self._real_now() + self.ahead

    def new_message_id(self) -> str:
        """Like Meta's: base64 behind ``wamid.``, unlike any other."""
        self._numbers += 1
        return f"wamid.{hashlib.sha256(f'{self.business.phone_number_id}:{self._real_now()}:{self._numbers}'.encode()).hexdigest()[:40]}"

    def user_id(self, person: str) -> str:
        """The business-scoped user id of a phone; a person without a phone is named by it already."""
        if is_user_id(person):
            return person
        return f"US.{int.from_bytes(hashlib.sha256(f'{self.business.waba_id}:{person}'.encode()).digest()[:8])}"

    def person_of(self, address: str) -> str:
        """The person behind a phone or a user id; empty if there is none."""
        if address in self.phone.people:
            return address
        return next((person for person in self.phone.people if self.user_id(person) == address), "")

    def session_open(self, person: str) -> bool:
        """Did they write within the last 24 hours?"""
        last = self.wrote.get(person)
        return last is not None and self.now() - last < SESSION_SECONDS

    def count(self, address: str) -> None:
        """One more message to this address. Raises what Meta answers if that is too many."""
        if not self._limits:
            return
        now = self.now()
        while self._recent and self._recent[0] <= now - 1:
            self._recent.popleft()
        if len(self._recent) >= RATE:
            raise too_many()
        debt, since = self._debts.get(address, (0.0, now))
        debt = max(0.0, debt - (now - since) / PAIR_SECONDS)
        if debt > PAIR_BURST - 1:
            details = "Message failed to send because there were too many messages sent from this phone number to the same phone number."
            raise GraphRefusal(131056, "Pair rate limit hit", details=details)
        self._debts[address] = (debt + 1, now)
        self._recent.append(now)


def too_many() -> GraphRefusal:
    """More than the number may send."""
    return GraphRefusal(130429, "Rate limit hit", status=429, details="Cloud API message throughput has been reached.")
