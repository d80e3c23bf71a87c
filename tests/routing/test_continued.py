"""When the visitor has gone the chat goes on by mail: what is sent where, and who is whose afterwards."""

from datetime import timedelta
from typing import Any
from urllib.parse import unquote

import pytest
from msgspec import structs

from connectors.content import Activity, Envelope, Text
from connectors.contract import Failure, Sent
from connectors.errors import FailureKind
from connectors.event import ChatStarted, ConsentChanged, MessageReceived, Sender
from connectors.identity import Evidence, Identity, mail_of_visitor, proves
from routing.command import Actor, FinishAttempt, MailTranscript, MailUnseen, Resolve, UnmergeCustomers, VisitorSeen
from routing.continued import PAUSE
from routing.errors import NotNow, Unknown
from storage.access import Scope
from storage.protocol import Transaction
from storage.record import Attempt, Conversation, KnownIdentity, Message, MessageKind, OutboxItem, Priority, Role, State
from tests.routing.world import GATEWAY, World, data
from tests.support.claims import claim

CLEO, EVE = "cleo@example.org", "eve@example.net"
SHOP = "https://shop.example.org"
AWAY = timedelta(seconds=120)


def _visitor(name: str) -> Identity:
    return Identity("visitor", "web", name)


def _typed(name: str, address: str) -> Identity:
    return mail_of_visitor(_visitor(name), address)


async def _types(world: World, name: str, address: str) -> None:
    sender = Sender(identity=_visitor(name), evidence=Evidence.SIGNED, aliases=((_typed(name, address), Evidence.CLAIMED),))
    await world.receive(ChatStarted(key=world.id(), sender=sender, thread=name))


async def _ask(world: World, chat: Conversation) -> int:
    command = MailUnseen(id=world.id(), actor=GATEWAY, conversation_id=chat.id, by="mail", after=AWAY, title="Shop chat", origins=(SHOP,))
    again = await world.router.handle(command)
    assert isinstance(again, int)
    return again


async def _items(world: World) -> list[OutboxItem]:
    """Mails that wait, claimed."""

    async def work(tx: Transaction) -> list[OutboxItem]:
        return await claim(tx, world.clock(), 50, frozenset({"web"}))

    return await world.store.transact(work)


async def _sent(world: World, item: OutboxItem, *, refused: bool = False) -> str:
    """The mail's Message-ID."""
    id_ = f"{item.message_id}@shop"
    outcome = Failure(kind=FailureKind.RECIPIENT, detail="no such user") if refused else Sent(id_)
    attempt = Attempt(message_id=item.message_id, number=item.attempts, started_at=world.clock(), outcome="sent")
    await world.router.handle(
        FinishAttempt(id=world.id(), actor=GATEWAY, message_id=item.message_id, attempt=attempt, outcomes=(outcome,), calls=1)
    )
    return id_


def _text(item: OutboxItem) -> str:
    return next(part.text for part in item.parts if isinstance(part, Text))


async def _mail(world: World, address: str, text: str, *references: str, **fields: Any) -> None:
    evidence = fields.pop("evidence", Evidence.SIGNED)
    sender = Sender(identity=Identity("mailto", "", address), evidence=evidence, name="Somebody")
    id_ = world.id()
    fields = {"proved": True, **fields}
    mail = MessageReceived(
        key=id_, message_id=id_, sender=sender, parts=(Envelope(subject="Re: chat"), Text(text=text)), references=references, **fields
    )
    await world.receive(mail, channel="mail")


async def _owner(world: World, identity: Identity) -> KnownIdentity | None:
    found: KnownIdentity | None = await world.look(lambda tx: tx.customers.find(identity))
    return found


async def _lines(world: World, conversation_id: str) -> list[Message]:
    lines: list[Message] = await world.look(lambda tx: tx.messages.of_conversation(conversation_id, 0, 0, 100))
    return lines


class Chat:
    """Cleo's question in the chat, an agent who answers, and nobody who sees it."""

    def __init__(self, world: World, agent: Actor, chat: Conversation) -> None:
        self.world, self.agent, self.chat = world, agent, chat

    async def answered(self, text: str) -> Message:
        return await self.world.reply(self.agent, self.chat.id, text)

    async def mailed(self, text: str = "It leaves today.") -> tuple[OutboxItem, str]:
        """An answer that went on by mail, and the mail's id."""
        await self.answered(text)
        self.world.clock.forward(seconds=121)
        assert await _ask(self.world, self.chat) == 0
        (item,) = await _items(self.world)
        return item, await _sent(self.world, item)


async def _chat(world: World, name: str = "cleo", address: str = CLEO, page: str = f"{SHOP}/cups?session=1") -> Chat:
    agent = await world.agent(f"ada-{name}", await world.default_queue())
    chat = await world.writes(name, "SECRET QUESTION: where is my order?", page=page)
    if address:
        await _types(world, name, address)
    return Chat(world, agent, chat)


# --- when, and to whom -------------------------------------------------------------------------------------------------


async def test_an_answer_that_nobody_saw_goes_by_mail_once(world: World) -> None:
    chat = await _chat(world)
    first = await chat.answered("It leaves today.")
    assert await _ask(world, chat.chat) == 120
    world.clock.forward(seconds=60)
    await chat.answered("By courier.")
    assert await _ask(world, chat.chat) == 60
    assert await _items(world) == []
    world.clock.forward(seconds=60)
    assert await _ask(world, chat.chat) == 0
    (item,) = await _items(world)
    assert (item.channel, unquote(item.thread), item.automatic, item.priority) == ("mail", f"mailto:{CLEO}", True, Priority.AGENT)
    assert item.author == chat.agent.name
    assert "It leaves today." in _text(item)
    assert "By courier." in _text(item)
    mail = await world.look(lambda tx: tx.conversations.latest("mail", _typed("cleo", CLEO)))
    assert (mail.state, mail.customer_id, mail.queue_id, mail.waiting_since) == (
        State.RESOLVED,
        first.customer_id,
        chat.chat.queue_id,
        None,
    )
    assert [part for line in await _lines(world, chat.chat.id) for part in line.parts if isinstance(part, Activity)][-1] == Activity(
        code="mailed", subject=CLEO
    )
    world.clock.forward(hours=1)
    assert await _ask(world, chat.chat) == 0
    assert await _items(world) == []


@pytest.mark.parametrize("back", ["shown", "wrote"])
async def test_nothing_is_mailed_to_a_visitor_who_is_back(world: World, back: str) -> None:
    chat = await _chat(world)
    message = await chat.answered("Here.")
    if back == "shown":
        seen = VisitorSeen(id=world.id(), actor=GATEWAY, channel="web", identity=_visitor("cleo"), pos=message.pos)
        await world.router.handle(seen)
    else:
        await world.writes("cleo", "thanks")
    world.clock.forward(seconds=121)
    assert await _ask(world, chat.chat) == 0
    assert await _items(world) == []


async def test_at_most_one_mail_in_a_quarter_of_an_hour(world: World) -> None:
    chat = await _chat(world)
    await chat.mailed("one")
    await chat.answered("two")
    world.clock.forward(seconds=121)
    assert await _ask(world, chat.chat) == PAUSE.total_seconds() - 121
    assert await _items(world) == []
    world.clock.forward(seconds=PAUSE.total_seconds() - 121)
    assert await _ask(world, chat.chat) == 0
    (item,) = await _items(world)
    assert "two" in _text(item)
    assert "one\n" not in _text(item)


async def test_without_an_address_answers_wait_in_the_chat(world: World) -> None:
    chat = await _chat(world, address="")
    await chat.answered("Here.")
    world.clock.forward(seconds=121)
    assert await _ask(world, chat.chat) == 0
    assert await _items(world) == []


async def test_an_answer_older_than_its_life_is_not_mailed(world: World) -> None:
    chat = await _chat(world)
    await chat.answered("Here.")
    world.clock.forward(hours=25)
    assert await _ask(world, chat.chat) == 0
    assert await _items(world) == []


@pytest.mark.parametrize("scope", ["typed", "owner's"])
async def test_never_to_somebody_who_has_opted_out(world: World, scope: str) -> None:
    chat = await _chat(world)
    if scope == "typed":
        typed = await _owner(world, _typed("cleo", CLEO))
        assert typed is not None
        refusing = structs.replace(typed, opted_out=True)
        await world.store.transact(lambda tx: tx.customers.put_identity(refusing))
    else:
        sender = Sender(identity=Identity("mailto", "", CLEO), evidence=Evidence.SIGNED)
        await world.receive(ConsentChanged(key="c", sender=sender, opted_in=False), channel="mail")
    await chat.answered("Here.")
    world.clock.forward(seconds=121)
    assert await _ask(world, chat.chat) == 0
    assert await _items(world) == []


async def test_never_again_to_an_address_that_does_not_exist(world: World) -> None:
    chat = await _chat(world)
    await chat.answered("one")
    world.clock.forward(seconds=121)
    await _ask(world, chat.chat)
    (item,) = await _items(world)
    await _sent(world, item, refused=True)
    world.clock.forward(hours=1)
    await chat.answered("two")
    world.clock.forward(hours=1)
    assert await _ask(world, chat.chat) == 0
    assert await _items(world) == []


# --- what it says ------------------------------------------------------------------------------------------------------


async def test_a_typed_address_gets_nothing_that_a_stranger_could_have_chosen(world: World) -> None:
    item, _ = await (await _chat(world)).mailed()
    text = _text(item)
    assert "SECRET" not in text
    assert "session=1" not in text
    assert f"{SHOP}/cups" in text
    assert "STOP" in text


@pytest.mark.parametrize(
    "page", ["https://evil.example/cups", f"{SHOP}.evil.example/", f"{SHOP}@evil.example/", "https://[bad", "https://shop.example.org:1/"]
)
async def test_only_the_shops_own_pages_are_linked_to(world: World, page: str) -> None:
    item, _ = await (await _chat(world, page=page)).mailed()
    assert "evil" not in _text(item)
    assert f"chat: {SHOP}\n" in _text(item)


async def test_a_proved_address_gets_the_question_too(world: World) -> None:
    chat = await _chat(world)
    _, id_ = await chat.mailed()
    await _mail(world, CLEO, "thanks", id_)
    world.clock.forward(minutes=20)
    await world.writes("cleo", "and the other one?")
    item, _ = await chat.mailed("It is lost.")
    assert "You:\nand the other one?" in _text(item)
    assert "STOP" not in _text(item)
    assert item.conversation_id == (await world.look(lambda tx: tx.conversations.unresolved("mail", _typed("cleo", CLEO)))).id


async def test_a_letter_has_an_end(world: World) -> None:
    chat = await _chat(world)
    for number in range(25):
        await chat.answered(f"line {number}. " + "x" * 5000)
    item, _ = await chat.mailed("last")
    assert _text(item).count("\n\nada-cleo:\n") == 20
    assert "(6 more in the chat)" in _text(item)
    assert len(_text(item)) < 50_000


async def test_a_typed_address_is_only_an_address(world: World) -> None:
    item, _ = await (await _chat(world, address="a?bcc=eve%40evil.example&x@example.org")).mailed()
    assert "?" not in item.thread
    assert "&" not in item.thread


# --- who is whose ------------------------------------------------------------------------------------------------------


async def test_who_answers_has_proved_the_address_and_is_the_visitor(world: World) -> None:
    chat = await _chat(world)
    item, id_ = await chat.mailed()
    await _mail(world, CLEO, "Thank you!", id_)
    owner = await _owner(world, Identity("mailto", "", CLEO))
    assert owner is not None
    assert (owner.customer_id, owner.evidence) == (chat.chat.customer_id, Evidence.SIGNED)
    mail = await world.look(lambda tx: tx.conversations.unresolved("mail", _typed("cleo", CLEO)))
    assert (mail.id, mail.customer_id) == (item.conversation_id, chat.chat.customer_id)
    assert mail.state in {State.QUEUED, State.OPEN}
    answer = [line for line in await world.history(chat.chat.customer_id) if line.kind is MessageKind.INBOUND][-1]
    assert answer.parts[-1] == Text(text="Thank you!")
    assert answer.author.id == chat.chat.customer_id
    codes = [part.code for line in await _lines(world, mail.id) for part in line.parts if isinstance(part, Activity)]
    assert "joined" not in codes
    # It is a merge on record: an agent can undo it.
    (moved,) = [data(one) for one in await world.events() if one.entry.type == "customer.merged"]
    await world.router.handle(UnmergeCustomers(id=world.id(), actor=GATEWAY, from_id=moved["from_id"], into_id=chat.chat.customer_id))
    owner = await _owner(world, Identity("mailto", "", CLEO))
    assert owner is not None
    assert owner.customer_id == moved["from_id"]


async def test_days_later_the_answer_still_joins(world: World) -> None:
    chat = await _chat(world)
    _, id_ = await chat.mailed()
    world.clock.forward(days=3)
    await _mail(world, CLEO, "Sorry, I was away", id_)
    mail = await world.look(lambda tx: tx.conversations.unresolved("mail", Identity("mailto", "", CLEO)))
    assert mail.customer_id == chat.chat.customer_id


@pytest.mark.parametrize("proved", [True, False], ids=["signed address", "DMARC"])
async def test_an_address_with_an_owner_joins_nobody(world: World, proved: bool) -> None:  # noqa: FBT001
    await _mail(world, EVE, "EVES SECRET", proved=False)
    before = await _owner(world, Identity("mailto", "", EVE))
    assert before is not None
    mallory = await _chat(world, "mallory", EVE)
    item, id_ = await mallory.mailed()
    assert "EVES" not in _text(item)
    assert "SECRET" not in _text(item)
    await _mail(world, EVE, "Who are you?", id_, proved=proved)
    after = await _owner(world, Identity("mailto", "", EVE))
    assert after is not None
    assert after.customer_id == before.customer_id != mallory.chat.customer_id
    lines = await _lines(world, item.conversation_id)
    assert [part.subject for line in lines for part in line.parts if isinstance(part, Activity) and part.code == "joined"] == [
        f"Somebody <{EVE}>"
    ]
    assert "EVES SECRET" not in repr(await world.history(mallory.chat.customer_id))
    # What the visitor's own window may show is the chat alone.
    shown = [line for line in await world.history(mallory.chat.customer_id) if line.channel == "web"]
    assert "Who are you?" not in repr(shown)


async def test_two_visitors_who_type_one_address_stay_two(world: World) -> None:
    one, two = await _chat(world, "one"), await _chat(world, "two")
    _, first = await one.mailed()
    _, second = await two.mailed()
    await _mail(world, CLEO, "to the first", first)
    await _mail(world, CLEO, "to the second", second)
    owner = await _owner(world, Identity("mailto", "", CLEO))
    assert owner is not None
    assert owner.customer_id == one.chat.customer_id
    assert one.chat.customer_id != two.chat.customer_id


@pytest.mark.parametrize("text", ["STOP", "stop.", '\n \n"Stop!"\n\n-- \nSent from my phone'])
async def test_stop_means_that_it_was_somebody_else(world: World, text: str) -> None:
    chat = await _chat(world, "mallory", EVE)
    item, id_ = await chat.mailed()
    await _mail(world, EVE, text, id_)
    owner, typed = await _owner(world, Identity("mailto", "", EVE)), await _owner(world, _typed("mallory", EVE))
    assert owner is not None
    assert typed is not None
    assert (owner.opted_out, typed.opted_out) == (True, True)
    assert owner.customer_id != chat.chat.customer_id == typed.customer_id
    mail = await world.look(lambda tx: tx.conversations.latest("mail", _typed("mallory", EVE)))
    assert (mail.id, mail.state, mail.waiting_since) == (item.conversation_id, State.RESOLVED, None)
    assert [line.kind for line in await _lines(world, mail.id)].count(MessageKind.INBOUND) == 1
    world.clock.forward(hours=1)
    await chat.answered("more")
    world.clock.forward(hours=1)
    assert await _ask(world, chat.chat) == 0
    # Nor does the next one who types it reach her.
    other = await _chat(world, "trudy", EVE)
    await other.answered("Here.")
    world.clock.forward(seconds=121)
    assert await _ask(world, other.chat) == 0
    assert await _items(world) == []


async def test_stop_of_a_customer_of_ours_stops_the_chats_mails_only(world: World) -> None:
    await _mail(world, EVE, "My order?", proved=False)
    chat = await _chat(world, "mallory", EVE)
    _, id_ = await chat.mailed()
    await _mail(world, EVE, "STOP", id_)
    owner, typed = await _owner(world, Identity("mailto", "", EVE)), await _owner(world, _typed("mallory", EVE))
    assert owner is not None
    assert typed is not None
    assert (owner.opted_out, typed.opted_out) == (False, True)


async def test_what_a_machine_answers_joins_nobody(world: World) -> None:
    chat = await _chat(world)
    item, id_ = await chat.mailed()
    await _mail(world, CLEO, "I am on holiday", id_, automatic=True)
    assert await _owner(world, Identity("mailto", "", CLEO)) is None
    assert "I am on holiday" in repr(await _lines(world, item.conversation_id))
    await _mail(world, CLEO, "I am back", id_)
    owner = await _owner(world, Identity("mailto", "", CLEO))
    assert owner is not None
    assert owner.customer_id == chat.chat.customer_id


@pytest.mark.parametrize(
    ("sender", "evidence"),
    [(EVE, Evidence.SIGNED), (CLEO, Evidence.CLAIMED)],
    ids=["another address", "no proof"],
)
async def test_no_other_answer_joins(world: World, sender: str, evidence: Evidence) -> None:
    chat = await _chat(world)
    _, id_ = await chat.mailed()
    await _mail(world, sender, "I am Cleo", id_, proved=False, evidence=evidence)
    owner = await _owner(world, Identity("mailto", "", sender))
    assert owner is not None
    assert owner.customer_id != chat.chat.customer_id


async def test_our_servers_word_for_the_sender_is_proof_enough(world: World) -> None:
    """DMARC and the id of a mail that went to nobody else: without the signed address, too."""
    chat = await _chat(world)
    _, id_ = await chat.mailed()
    await _mail(world, CLEO, "me", id_, proved=False, evidence=Evidence.PROVIDER)
    owner = await _owner(world, Identity("mailto", "", CLEO))
    assert owner is not None
    assert owner.customer_id == chat.chat.customer_id


async def test_a_resolved_chat_is_mailed_too(world: World) -> None:
    chat = await _chat(world)
    await chat.answered("Done.")
    await world.router.handle(Resolve(id=world.id(), actor=GATEWAY, conversation_id=chat.chat.id))
    world.clock.forward(seconds=121)
    assert await _ask(world, chat.chat) == 0
    assert len(await _items(world)) == 1


def test_what_proves_a_typed_address() -> None:
    typed = _typed("cleo", "Cleo@Example.org")
    assert proves(Identity("mailto", "", CLEO), typed)
    assert not proves(Identity("mailto", "support@shop.example/unverified", CLEO), typed)
    assert not proves(Identity("mailto", "", EVE), typed)
    assert not proves(Identity("mailto", "", CLEO), Identity("mailto", "support@shop.example/unverified", CLEO))


# --- transcripts -------------------------------------------------------------------------------------------------------


def _visitors(name: str) -> Actor:
    return Actor(agent_id="", name="", role=Role.BOT, scope=Scope(identity=str(_visitor(name))))


async def _wants(world: World, chat: Conversation, name: str = "cleo") -> OutboxItem:
    await world.router.handle(MailTranscript(id=world.id(), actor=_visitors(name), conversation_id=chat.id, by="mail", title="Shop chat"))
    (item,) = await _items(world)
    return item


async def _seen(world: World, message: Message) -> None:
    await world.router.handle(VisitorSeen(id=world.id(), actor=GATEWAY, channel="web", identity=_visitor("cleo"), pos=message.pos))


async def test_a_transcript_holds_what_was_written_and_shown(world: World) -> None:
    chat = await _chat(world)
    await _seen(world, await chat.answered("It leaves today."))
    await chat.answered("NOT YET SHOWN")
    text = _text(await _wants(world, chat.chat))
    assert "You:\n[left out, because" in text
    assert "SECRET" not in text, "whoever reads at a typed address gets nothing that a stranger wrote"
    assert "It leaves today." in text
    assert "NOT YET SHOWN" not in text
    assert "STOP" in text


async def test_a_transcript_is_of_this_chat_alone(world: World) -> None:
    """Proved or not: of the customer's other conversations the chat's window shows nothing, and neither does its transcript."""
    chat = await _chat(world)
    _, id_ = await chat.mailed()
    await _mail(world, CLEO, "MAILED SECRET", id_)
    text = _text(await _wants(world, chat.chat))
    assert "MAILED SECRET" not in text
    assert "You:\nSECRET QUESTION" in text
    assert "STOP" not in text


async def test_no_stranger_has_the_shop_write_to_anybody(world: World) -> None:
    """Without an answer of an agent's that was shown, nothing goes to an address that was only typed."""
    chat = await _chat(world)
    with pytest.raises(NotNow, match="nobody has answered"):
        await _wants(world, chat.chat)
    message = await chat.answered("Here.")
    with pytest.raises(NotNow, match="nobody has answered"):
        await _wants(world, chat.chat)
    await _seen(world, message)
    assert "Here." in _text(await _wants(world, chat.chat))


async def test_one_transcript_an_hour(world: World) -> None:
    chat = await _chat(world)
    await _seen(world, await chat.answered("Here."))
    await _sent(world, await _wants(world, chat.chat))
    world.clock.forward(minutes=59)
    with pytest.raises(NotNow, match="within the last hour"):
        await _wants(world, chat.chat)
    world.clock.forward(minutes=1)
    await _wants(world, chat.chat)


async def test_no_transcript_without_an_address_nor_of_anothers_chat(world: World) -> None:
    chat = await _chat(world, address="")
    await _seen(world, await chat.answered("Here."))
    with pytest.raises(NotNow, match="Give an e-mail address first"):
        await _wants(world, chat.chat)
    await _chat(world, "mallory", EVE)
    with pytest.raises(Unknown):
        await _wants(world, chat.chat, "mallory")


async def test_no_transcript_to_whoever_said_stop(world: World) -> None:
    chat = await _chat(world)
    _, id_ = await chat.mailed()
    await _mail(world, CLEO, "STOP", id_)
    with pytest.raises(NotNow, match="can go to this address"):
        await _wants(world, chat.chat)


async def test_a_long_transcript_keeps_its_end(world: World) -> None:
    chat = await _chat(world)
    for number in range(40):
        message = await chat.answered(f"line {number}. " + "x" * 3000)
    await _seen(world, message)
    text = _text(await _wants(world, chat.chat))
    assert "line 39." in text
    assert "line 5." not in text
    assert "left out" in text
    assert len(text) < 52_000
