"""A number or a word in answer to a question that went out as text."""

from typing import Any

import pytest

from connectors.capabilities import Limits
from connectors.content import AnyPart, Choice, Choices, Chosen, Html, Text
from routing.command import Reply
from routing.rules import ChannelRules, Rules
from storage.record import MessageKind
from tests.routing.world import GATEWAY, World

SMS = ChannelRules(sends=frozenset({"text", "media"}), limits=Limits(text=1600))
BUTTONS = ChannelRules(sends=frozenset({"text", "choices"}), limits=Limits(text=4096, choices=3, choice_label=20))
QUESTION = Choices(text="When?", options=(Choice("mo", "Monday"), Choice("tu", "Tuesday"), Choice("we", "Wednesday")))
LONG = Choices(text="When?", options=tuple(Choice(str(number), f"Day {number}") for number in range(12)))


async def _answered(world: World, channel: str, question: Choices, *parts: AnyPart, **fields: Any) -> tuple[AnyPart, ...]:
    world = World(world.store, rules=Rules(channels={"sms": SMS, "chat": BUTTONS}))
    conversation = await world.writes("cleo", channel=channel)
    await world.router.handle(Reply(id=world.id(), actor=GATEWAY, conversation_id=conversation.id, parts=(question,)))
    now = await world.writes("cleo", channel=channel, parts=parts, **fields)
    lines = await world.history(now.customer_id)
    return [line for line in lines if line.kind is MessageKind.INBOUND][-1].parts


@pytest.mark.parametrize(
    ("words", "id_"),
    [
        ("2", "tu"),
        (" 2) ", "tu"),
        ("(3.", "we"),
        ("monday", "mo"),
        (" WEDNESDAY", "we"),
        ("0", ""),
        ("4", ""),
        ("2 please", ""),
        ("Monday or Tuesday", ""),
    ],
)
async def test_a_number_or_a_label_is_a_choice(world: World, words: str, id_: str) -> None:
    expected: tuple[AnyPart, ...] = (Text(text=words),)
    if id_:
        label = next(option.label for option in QUESTION.options if option.id == id_)
        expected = (*expected, Chosen(id=id_, label=label))
    assert await _answered(world, "sms", QUESTION, Text(text=words)) == expected


async def test_where_there_are_buttons_a_number_is_a_number(world: World) -> None:
    assert await _answered(world, "chat", QUESTION, Text(text="2")) == (Text(text="2"),)


async def test_more_options_than_buttons_went_as_text(world: World) -> None:
    assert await _answered(world, "chat", LONG, Text(text="12")) == (Text(text="12"), Chosen(id="11", label="Day 11"))


@pytest.mark.parametrize(("words", "chosen"), [("red", ()), ("blue", (Chosen(id="c", label="Blue"),))])
async def test_a_label_that_two_options_have_means_neither(world: World, words: str, chosen: tuple[AnyPart, ...]) -> None:
    twice = Choices(text="Which?", options=(Choice("a", "Red"), Choice("b", "red"), Choice("c", "Blue")))
    assert await _answered(world, "sms", twice, Text(text=words)) == (Text(text=words), *chosen)


async def test_what_is_quoted_below_is_no_answer_and_the_choice_stands_behind_the_words(world: World) -> None:
    mail = Text(text="2\n\n> 1) Monday", fold=1)
    looks = Html(html="<p>2</p>")
    assert await _answered(world, "sms", QUESTION, mail, looks) == (mail, Chosen(id="tu", label="Tuesday"), looks)


async def test_a_machine_chooses_nothing(world: World) -> None:
    assert await _answered(world, "sms", QUESTION, Text(text="2"), automatic=True) == (Text(text="2"),)


async def test_only_the_newest_thing_that_we_said_is_answered(world: World) -> None:
    world = World(world.store, rules=Rules(channels={"sms": SMS}))
    conversation = await world.writes("cleo", channel="sms")
    for part in (QUESTION, Text(text="Or simply come by.")):
        await world.router.handle(Reply(id=world.id(), actor=GATEWAY, conversation_id=conversation.id, parts=(part,)))
    now = await world.writes("cleo", "2", channel="sms")
    assert (await world.history(now.customer_id))[-1].parts == (Text(text="2"),)
