"""A visitor asks for what was said in their chat, by mail. Pure.

It holds what this visitor wrote and was shown, and nothing else of their customer's. To an address that was only typed it goes once an
hour, not before an agent has answered, and without what the visitor wrote: otherwise anybody could have the shop mail anything to anybody.
"""

from datetime import datetime, timedelta
from typing import Final

from connectors.event import Status
from routing.command import MailTranscript
from routing.continued import Absence, Post, posted, says, willing
from routing.delivery import RANK
from routing.effect import Effect
from routing.errors import NotNow, Unknown
from routing.letter import compose_transcript
from routing.rules import Rules
from storage.record import AuthorKind, Message, MessageKind

PAUSE: Final = timedelta(hours=1)
#: The code of the chat's line that says so.
SENT: Final = "transcript"


def decide(command: MailTranscript, absence: Absence | None, rules: Rules, now: datetime) -> list[Effect]:
    """The mail. Raises Refused with what is missing."""
    if absence is None:
        raise Unknown("not_found", "There is no such chat.")
    address = absence.address
    if address is None:
        raise NotNow("no_address", "Give an e-mail address first.")
    if not willing(address):
        raise NotNow("not_wanted", "No mail of ours can go to this address.")
    if address.crowded:
        raise NotNow("too_often", "Too many mails have gone to this address today. Please try again tomorrow.")
    last = next((line for line in reversed(absence.lines) if says(line, SENT)), None)
    if last is not None and now - last.received_at < PAUSE:
        raise NotNow("too_often", "A transcript was sent within the last hour. Please try again later.")
    lines = _shown(absence)
    answered = any(line.kind is MessageKind.OUTBOUND and line.author.kind is AuthorKind.AGENT for line in lines)
    if not lines or not (answered or address.proved):
        raise NotNow("nothing_said", "There is nothing to send yet: nobody has answered.")
    letter = compose_transcript(command.title, lines, proved=address.proved, language=absence.language)
    cause = last or absence.lines[0]
    return posted(Post(by=command.by, letter=letter, cause=cause, code=SENT), absence, address, rules, now)


def _shown(absence: Absence) -> tuple[Message, ...]:
    """What the visitor wrote, and what their window has shown."""
    return tuple(
        line
        for line in absence.lines
        if not line.deleted
        and (
            line.kind is MessageKind.INBOUND
            or (line.kind is MessageKind.OUTBOUND and line.status is not None and RANK[line.status] >= RANK[Status.DELIVERED])
        )
    )
