"""Letters to visitors: in their language, and never so many that a stranger's mailbox notices."""

import string
from datetime import timedelta

import pytest
from msgspec import structs

from connectors.content import Activity, Text
from connectors.event import ChatStarted, Sender
from connectors.identity import Evidence, Identity, mail_of_visitor
from routing.command import Actor, MailTranscript, MailUnseen, VisitorSeen
from routing.continued import LETTERS, UNMAILED, mailbox_name
from routing.errors import NotNow
from routing.letter_words import WORDS, words_for
from storage.access import Scope
from storage.protocol import Transaction
from storage.record import Conversation, OutboxItem, Role
from tests.routing.world import GATEWAY, World
from tests.support.claims import claim

EVE = "eve@example.net"


def _visitor(name: str) -> Identity:
    return Identity("visitor", "web", name)


async def _chat(world: World, agent: Actor, name: str, address: str = EVE, language: str = "") -> Conversation:
    """A visitor asks, types an address, and is answered."""
    chat = await world.writes(name, "BUY PILLS at evil.example")
    alias = (mail_of_visitor(_visitor(name), address), Evidence.CLAIMED)
    sender = Sender(identity=_visitor(name), evidence=Evidence.SIGNED, language=language, aliases=(alias,))
    await world.receive(ChatStarted(key=world.id(), sender=sender, thread=name))
    said = await world.reply(agent, chat.id, "Hello?")
    await world.router.handle(VisitorSeen(id=world.id(), actor=GATEWAY, channel="web", identity=_visitor(name), pos=said.pos))
    return chat


async def _letter(world: World, agent: Actor, chat: Conversation) -> None:
    await world.reply(agent, chat.id, "Are you there?")
    world.clock.forward(minutes=3)
    command = MailUnseen(id=world.id(), actor=GATEWAY, conversation_id=chat.id, by="mail", after=timedelta(minutes=2), title="Chat")
    assert await world.router.handle(command) == 0


async def _transcript(world: World, name: str, chat: Conversation) -> None:
    actor = Actor(agent_id="", name="", role=Role.BOT, scope=Scope(identity=str(_visitor(name))))
    await world.router.handle(MailTranscript(id=world.id(), actor=actor, conversation_id=chat.id, by="mail", title="Chat"))


async def _mails(world: World) -> list[OutboxItem]:
    async def work(tx: Transaction) -> list[OutboxItem]:
        return await claim(tx, world.clock(), 100, frozenset({"web"}))

    return await world.store.transact(work)


async def _agent(world: World) -> Actor:
    return await world.agent("ada", await world.default_queue(), capacity=100)


async def _unmailed(world: World, chat: Conversation) -> list[str]:
    lines = await world.look(lambda tx: tx.messages.of_conversation(chat.id, 0, 0, 100))
    return [part.subject for line in lines for part in line.parts if isinstance(part, Activity) and part.code == UNMAILED]


async def test_all_visitors_together_send_a_stranger_only_so_many(world: World) -> None:
    """Each types the address in another form; letters and transcripts count as one."""
    agent = await _agent(world)
    forms = ["eve@example.net", "Eve@Example.net", "eve+1@example.net", "e.ve@example.net"]
    chats = [await _chat(world, agent, f"mallory{number}", forms[number % 4]) for number in range(LETTERS + 3)]
    for number, chat in enumerate(chats):
        if number % 2 and number < LETTERS:
            await _transcript(world, f"mallory{number}", chat)
        else:
            await _letter(world, agent, chat)
    assert len(await _mails(world)) == LETTERS
    assert [len(await _unmailed(world, chat)) for chat in chats] == [0] * LETTERS + [1] * 3
    with pytest.raises(NotNow, match="tomorrow"):
        await _transcript(world, "mallory7", chats[7])
    # Who asks for nothing more is told once; another mailbox has a limit of its own, and the next day is another.
    await _letter(world, agent, chats[7])
    assert len(await _unmailed(world, chats[7])) == 1
    await _letter(world, agent, await _chat(world, agent, "cleo", "cleo@example.net"))
    assert len(await _mails(world)) == 1
    world.clock.forward(hours=25)
    await _letter(world, agent, chats[7])
    assert len(await _mails(world)) == 1


async def test_a_proved_address_gets_every_letter(world: World) -> None:
    agent = await _agent(world)
    chat = await _chat(world, agent, "cleo", "cleo@example.net")
    typed = await world.look(lambda tx: tx.customers.find(mail_of_visitor(_visitor("cleo"), "cleo@example.net")))
    proved = structs.replace(typed, identity=Identity("mailto", "", "cleo@example.net"), evidence=Evidence.SIGNED)
    await world.store.transact(lambda tx: tx.customers.put_identity(proved))
    for _ in range(LETTERS + 2):
        await _letter(world, agent, chat)
        world.clock.forward(minutes=15)
    assert len(await _unmailed(world, chat)) == 0
    assert await world.look(lambda tx: tx.tallies.total(mailbox_name("cleo@example.net"), world.clock(), 25)) == 0


@pytest.mark.parametrize(
    ("language", "subject", "words"),
    [
        ("", "Your chat with us: Chat", "answer with the one word STOP"),
        ("en-GB", "Your chat with us: Chat", "answer with the one word STOP"),
        ("fr", "Your chat with us: Chat", "answer with the one word STOP"),
        ("it", "La tua chat con noi: Chat", "rispondi con la sola parola STOP"),
        ("pl-PL", "Twoja rozmowa z nami: Chat", "odpowiedz jednym słowem STOP"),
    ],
)
async def test_letters_and_transcripts_speak_the_visitors_language(world: World, language: str, subject: str, words: str) -> None:
    agent = await _agent(world)
    chat = await _chat(world, agent, "cleo", language=language)
    await _letter(world, agent, chat)
    await _transcript(world, "cleo", chat)
    lines = await world.look(lambda tx: tx.conversations.latest("mail", mail_of_visitor(_visitor("cleo"), EVE)))
    mails = await world.look(lambda tx: tx.messages.of_conversation(lines.id, 0, 0, 10))
    assert len(mails) == 2
    for one in mails:
        assert one.parts[0].subject == subject
        text = next(part.text for part in one.parts if isinstance(part, Text))
        assert words in text
        assert "PILLS" not in text


def test_every_language_has_the_same_gaps() -> None:
    def gaps(language: str) -> dict[str, list[str]]:
        texts = structs.asdict(WORDS[language])
        return {name: sorted(field for _, field, _, _ in string.Formatter().parse(text) if field) for name, text in texts.items()}

    assert set(WORDS) == {"en", "it", "pl"}
    assert all(gaps(language) == gaps("en") for language in WORDS)
    assert words_for("IT_it") is WORDS["it"]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("a@x.example", "A@X.example", True),
        ("a+b@x.example", "a@x.example", True),
        ("a.b@x.example", "ab@x.example", True),
        ("a@x.example", "a@y.example", False),
        ("a@x.example", "b@x.example", False),
    ],
)
def test_forms_of_one_mailbox(one: str, other: str, same: bool) -> None:  # noqa: FBT001
    assert (mailbox_name(one) == mailbox_name(other)) is same
