"""What people do on their phones, as Twilio tells it."""

import random
from typing import Any

from connectors.simulator import Line, Person
from connectors.simulator.control import Refused
from connectors.twilio.simulator.place import WHATSAPP, Place
from connectors.twilio.simulator.posting import Posting


class People:
    """The provider's part of the control interface."""

    def __init__(self, place: Place, posting: Posting, *, by_whatsapp: bool) -> None:
        self._place = place
        self._posting = posting
        self._by_whatsapp = by_whatsapp
        self._random = random.Random(7)  # noqa: S311  numbers of nobody

    def new_id(self, name: str) -> str:  # noqa: ARG002  the protocol's shape
        """A number that nobody has."""
        number = f"+3935100{self._random.randrange(10**5):05d}"
        return WHATSAPP + number if self._by_whatsapp else number

    def new_line_id(self) -> str:
        return self._place.next_sid("SM")

    async def wrote(self, person: Person, line: Line) -> None:
        self._posting.wrote(person, line)

    async def pressed(self, person: Person, line: Line, option: dict[str, Any]) -> None:
        """A button of a template: its words come as a message, and which it was beside them."""
        said = Line(id=self.new_line_id(), person=person.id, from_shop=False, at=self._place.now(), text=option["label"], reply_to=line.id)
        self._place.phone.add_line(said)
        self._posting.wrote(person, said, {"ButtonText": option["label"], "ButtonPayload": option["id"], "MessageType": "button"})

    async def delivered(self, person: Person, lines: list[Line]) -> None:  # noqa: ARG002
        self._report(lines, "delivered")

    async def read(self, person: Person, lines: list[Line]) -> None:
        if not person.id.startswith(WHATSAPP):
            return  # nobody tells that an SMS was read
        self._report(lines, "read")

    async def blocked(self, person: Person) -> None:
        """Nobody is told; it shows at the next sending."""

    async def edited(self, person: Person, line: Line) -> None:  # noqa: ARG002
        raise Refused("Twilio tells nobody that a message was changed")

    async def deleted(self, person: Person, line: Line) -> None:  # noqa: ARG002
        raise Refused("Twilio tells nobody that a message was taken back")

    async def reacted(self, person: Person, line: Line, emoji: str) -> None:  # noqa: ARG002
        raise Refused("Twilio tells nobody of reactions")

    def _report(self, lines: list[Line], status: str) -> None:
        for line in lines:
            message = self._place.messages.get(line.id)
            if message is not None:
                self._posting.report(message, status)
