"""Until when a shopper may be answered, with what, and what everybody may read."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from msgspec import structs

from connectors.capabilities import Limits, Window
from connectors.content import Choice, Choices, Template, Text
from connectors.event import MessageReceived
from routing.command import Reply, Resolve
from routing.errors import Invalid, WindowClosed
from routing.rules import ChannelRules, Rules
from routing.window import OpenWindow, kinds_of, window_of
from storage.record import AuthorKind, Conversation, Message, OutboxItem, Priority, State
from tests.routing.world import GATEWAY, World

DAY = 86_400
SESSION = Window(name="session", seconds=DAY, sends=frozenset({"text", "media", "template"}))
BY_HAND = Window(name="human_agent", seconds=7 * DAY, sends=frozenset({"text"}), human_only=True)
TEMPLATES = Window(name="template", seconds=0, sends=frozenset({"template"}))
CHAT = ChannelRules(
    sends=frozenset({"text", "media", "template"}), windows=(SESSION, BY_HAND, TEMPLATES), public=True, limits=Limits(text=1000)
)
TEMPLATE = (Template(name="ready", language="en"),)


@pytest.fixture
def chat(world: World) -> World:
    return World(world.store, rules=Rules(channels={"web": CHAT, "mail": ChannelRules()}, reopen_within=timedelta(days=1)))


async def _item(world: World, message: Message) -> OutboxItem:
    item: OutboxItem = await world.look(lambda tx: tx.outbox.get(message.id))
    return item


async def _reply(world: World, conversation: Conversation, **fields: Any) -> Message:
    command = Reply(id=world.id(), actor=GATEWAY, conversation_id=conversation.id, **({"parts": (Text(text="ecco"),)} | fields))
    message = await world.router.handle(command)
    assert isinstance(message, Message)
    return message


@pytest.mark.parametrize(
    ("age", "automatic", "name", "closes_after"),
    [
        (0, False, "session", DAY),
        (DAY - 1, True, "session", DAY),
        (DAY, False, "human_agent", 7 * DAY),
        (DAY, True, "template", None),
        (7 * DAY, False, "template", None),
        (-5, False, "session", DAY),
    ],
)
async def test_the_most_generous_open_window_counts(
    chat: World,
    age: int,
    automatic: bool,  # noqa: FBT001
    name: str,
    closes_after: int | None,
) -> None:
    conversation = await chat.writes("cleo")
    since = conversation.last_private_at
    assert since is not None
    found = window_of(conversation, CHAT.windows, since + timedelta(seconds=age), automatic=automatic)
    assert found is not None
    assert (found.name, found.closes_at) == (name, None if closes_after is None else since + timedelta(seconds=closes_after))


async def test_without_windows_everything_goes_for_ever_and_with_all_closed_nothing(chat: World) -> None:
    conversation = await chat.writes("cleo")
    assert window_of(conversation, (), chat.clock()) is None
    late = chat.clock() + timedelta(days=8)
    closing = chat.clock() + timedelta(days=7)
    assert window_of(conversation, (SESSION, BY_HAND), late) == OpenWindow("", closing, frozenset())
    never = structs.replace(conversation, last_private_at=None)
    assert window_of(never, (SESSION,), late) == OpenWindow("", None, frozenset())


async def test_a_late_reply_is_refused_with_the_time_and_what_may_be_sent(chat: World) -> None:
    conversation = await chat.writes("cleo")
    chat.clock.forward(days=7)
    with pytest.raises(
        WindowClosed, match=r"ended on 2026-05-11 at 12:00 UTC; until they write, only this may be sent: template\."
    ) as refusal:
        await _reply(chat, conversation)
    assert (refusal.value.code, refusal.value.closed_at) == ("window_closed", chat.clock())
    assert refusal.value.sends == frozenset({"template"})
    sent = await _reply(chat, conversation, parts=TEMPLATE)
    assert (await _item(chat, sent)).window_from == conversation.last_private_at
    again = await chat.writes("cleo", "still there?")
    assert again.last_private_at == chat.clock()
    await _reply(chat, conversation)


async def test_a_machine_does_not_use_the_window_for_people(chat: World) -> None:
    conversation = await chat.writes("cleo")
    chat.clock.forward(days=2)
    await _reply(chat, conversation)
    with pytest.raises(WindowClosed, match="2026-05-05"):
        await _reply(chat, conversation, automatic=True)


async def test_the_window_counts_from_the_providers_time_and_never_back(chat: World) -> None:
    def at(**back: float) -> datetime:
        return chat.clock() - timedelta(**back)

    assert (await chat.writes("cleo", at=at(hours=3))).last_private_at == at(hours=3)
    assert (await chat.writes("cleo", at=at(hours=5))).last_private_at == at(hours=3)
    assert (await chat.writes("cleo", at=at(days=-9))).last_private_at == at(minutes=-5)  # no clock is believed that far


async def test_a_new_conversation_takes_the_window_over(chat: World) -> None:
    first = await chat.writes("cleo")
    await chat.router.handle(Resolve(id=chat.id(), actor=GATEWAY, conversation_id=first.id))
    chat.clock.forward(days=2)
    second = await chat.writes("cleo", public=True)
    assert second.id != first.id
    assert second.last_private_at == first.last_private_at


async def test_what_the_channel_lacks_goes_as_text_and_needs_a_window_for_text() -> None:
    question = (Choices(text="Which?", options=(Choice("a", "A"),)),)
    assert kinds_of(question, frozenset({"text"})) == frozenset({"text"})
    assert kinds_of(question, frozenset({"text", "choices"})) == frozenset({"choices"})
    assert kinds_of(question, frozenset({"template"})) == frozenset({"text"})


# --- comments ----------------------------------------------------------------------------------------------------------


def _comment(world: World, number: int = 1, **fields: Any) -> MessageReceived:
    return MessageReceived(
        key=f"c{number}",
        message_id=f"comment:{number}",
        sender=world.shopper("cleo"),
        parts=(Text(text="How much?"),),
        public=True,
        thread=f"thread of comment {number}",
        **fields,
    )


async def test_a_comment_is_work_but_opens_no_window_and_redirects_no_answer(chat: World) -> None:
    await chat.receive(_comment(chat))
    begun = await chat.conversation_of("cleo")
    assert (begun.state, begun.last_private_at, begun.thread) == (State.QUEUED, None, "thread of comment 1")
    (line,) = await chat.history(begun.customer_id)
    assert line.public
    with pytest.raises(WindowClosed, match="has not written in private yet"):
        await _reply(chat, begun)
    assert (await chat.writes("cleo", thread="private")).thread == "private"
    await chat.receive(_comment(chat, 2))
    now = await chat.conversation_of("cleo")
    assert (now.thread, now.last_private_at) == ("private", chat.clock())


async def test_a_comment_is_answered_below_it_or_by_the_private_reply_without_a_window(chat: World) -> None:
    await chat.receive(_comment(chat))
    conversation = await chat.conversation_of("cleo")
    (line,) = await chat.history(conversation.customer_id)
    chat.clock.forward(days=3)
    for public in (True, False):
        sent = await _reply(chat, conversation, public=public, reply_to=line.id)
        item = await _item(chat, sent)
        assert (sent.public, item.public, item.reply_to) == (public, public, "comment:1")


async def test_a_public_answer_needs_a_public_message_and_a_channel_that_has_them(chat: World) -> None:
    conversation = await chat.writes("cleo")
    (line,) = await chat.history(conversation.customer_id)
    for reply_to in ("", line.id):
        with pytest.raises(Invalid, match="below a public message") as refusal:
            await _reply(chat, conversation, public=True, reply_to=reply_to)
        assert refusal.value.field == "reply_to"
    mail = await chat.writes("cleo", channel="mail")
    with pytest.raises(Invalid, match="no public messages"):
        await _reply(chat, mail, public=True)


# --- machines ----------------------------------------------------------------------------------------------------------


async def test_what_a_machine_of_theirs_wrote_is_kept_and_asks_for_nothing(chat: World) -> None:
    ada = await chat.agent("ada", await chat.default_queue())
    begun = await chat.writes("cleo", "I am away until Monday", automatic=True)
    assert (begun.state, begun.waiting_since, begun.last_private_at, begun.assignee_id) == (State.RESOLVED, None, None, "")
    assert "routing.decided" not in await chat.event_types()
    (line,) = await chat.history(begun.customer_id)
    assert (line.automatic, begun.last_inbound_pos, begun.last_pos) == (True, 0, line.pos)
    live = await chat.writes("cleo", "now I am here")
    assert (live.id, live.state) == (begun.id, State.OPEN)
    await chat.reply(ada, live.id)
    await chat.router.handle(Resolve(id=chat.id(), actor=ada, conversation_id=live.id))
    before = await chat.conversation_of("cleo")
    chat.clock.forward(hours=1)
    after = await chat.writes("cleo", "I am away again", automatic=True)
    assert structs.replace(after, last_pos=before.last_pos, preview=before.preview) == before


async def test_what_a_machine_of_ours_writes_takes_nothing_over_and_answers_nobody(chat: World) -> None:
    conversation = await chat.writes("cleo")
    sent = await _reply(chat, conversation, automatic=True)
    now = await chat.conversation_of("cleo")
    assert (now.state, now.waiting_since, now.assignee_id) == (State.QUEUED, conversation.waiting_since, "")
    assert (sent.automatic, sent.author.kind, sent.author.name) == (True, AuthorKind.SYSTEM, "")
    item = await _item(chat, sent)
    assert (item.automatic, item.priority, item.author) == (True, Priority.BULK, "")


async def test_an_agents_reply_goes_first_under_their_name(chat: World) -> None:
    ada = await chat.agent("ada", await chat.default_queue())
    conversation = await chat.writes("cleo")
    item = await _item(chat, await chat.reply(ada, conversation.id))
    assert (item.automatic, item.priority, item.author) == (False, Priority.AGENT, "ada")
    many = await _item(chat, await chat.reply(ada, conversation.id, priority=Priority.BULK))
    assert (many.priority, many.automatic) == (Priority.BULK, False)
