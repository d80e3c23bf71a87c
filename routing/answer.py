"""A question that went out as numbered text is answered by a number or a word: which option did they mean? Pure."""

import re
from typing import Final

from connectors.capabilities import Capabilities
from connectors.compose import compose
from connectors.content import AnyPart, Choice, Choices, Chosen, Text
from connectors.errors import Inexpressible
from connectors.event import MessageReceived
from routing.rules import ChannelRules
from storage.record import Message

_NUMBER: Final = re.compile(r"\s*\(?([0-9]{1,2})\s*[.):]?\s*")
#: Longer than any label that somebody would type.
_LONGEST: Final = 100


def may_answer(event: MessageReceived, rules: ChannelRules) -> bool:
    """Is it worth a look at what was asked? A word is, only where no question has buttons."""
    words = _own_words(event.parts)
    if rules.limits is None or not words or event.public or event.automatic:
        return False
    return _NUMBER.fullmatch(words) is not None or ("choices" not in rules.sends and len(words) <= _LONGEST)


def with_choice(parts: tuple[AnyPart, ...], asked: Message | None, rules: ChannelRules) -> tuple[AnyPart, ...]:
    """``parts`` with the option that was meant behind the words, which stay."""
    question = next((part for part in reversed(asked.parts) if isinstance(part, Choices)), None) if asked else None
    if question is None or not _went_as_text(question, rules):
        return parts
    option = _meant(_own_words(parts), question)
    if option is None:
        return parts
    place = next(index for index, part in enumerate(parts, 1) if isinstance(part, Text))
    return (*parts[:place], Chosen(id=option.id, label=option.label), *parts[place:])


def _own_words(parts: tuple[AnyPart, ...]) -> str:
    """The one text, without what it quotes; empty if there is not exactly one, or a choice already."""
    texts = [part for part in parts if isinstance(part, Text)]
    if len(texts) != 1 or any(isinstance(part, Chosen) for part in parts):
        return ""
    return (texts[0].text[: texts[0].fold] if texts[0].fold else texts[0].text).strip()


def _went_as_text(question: Choices, rules: ChannelRules) -> bool:
    if rules.limits is None:
        return False
    able = Capabilities(limits=rules.limits, sends=rules.sends, receives=frozenset())
    try:
        return any(note.code == "choices_as_text" for note in compose((question,), able).notes)
    except Inexpressible:
        return False


def _meant(words: str, question: Choices) -> Choice | None:
    number = _NUMBER.fullmatch(words)
    if number is not None and 1 <= int(number[1]) <= len(question.options):
        return question.options[int(number[1]) - 1]
    named = [option for option in question.options if option.label.strip().casefold() == words.casefold()]
    return named[0] if len(named) == 1 else None
