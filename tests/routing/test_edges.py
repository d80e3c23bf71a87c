"""What comes late, twice, or from the wrong side."""

from datetime import timedelta

import pytest
from msgspec import structs

from connectors.content import Media, MediaKind, Text
from connectors.contract import Failure
from connectors.errors import FailureKind
from connectors.event import MessageEchoed, MessageEdited, MessageReceived, Status, StatusReported
from routing.command import FinishAttempt, MediaStored, Reopen, Resolve, Snooze
from routing.errors import NotNow
from storage.file import MediaJob, StoredFile
from storage.record import Attempt, Message, State
from tests.routing.world import GATEWAY, World
from tests.support.claims import claim


def photo(ref: str) -> Media:
    return Media(kind=MediaKind.IMAGE, ref=ref)


async def jobs(world: World) -> dict[str, MediaJob]:
    found: list[MediaJob] = await world.look(lambda tx: tx.files.due_jobs(world.clock(), 10))
    return {job.ref: job for job in found}


async def fetched(world: World, job: MediaJob) -> None:
    file = StoredFile(id=job.id, sha256="0" * 64, mime="image/png", name="", size=7, created_at=world.clock())
    await world.router.handle(
        MediaStored(id=world.id(), actor=GATEWAY, job_id=job.id, message_id=job.message_id, part=job.part, ref=job.ref, file=file)
    )


async def line_of(world: World, name: str = "cleo") -> Message:
    (line,) = await world.history((await world.conversation_of(name)).customer_id)
    return line


async def test_a_file_that_was_replaced_meanwhile_is_not_shown_in_the_new_ones_place(world: World) -> None:
    cleo = world.shopper("cleo")
    await world.receive(MessageReceived(key="k", message_id="p", sender=cleo, parts=(photo("old"),)))
    former = (await jobs(world))["old"]
    await world.receive(MessageEdited(key="e", message_id="p", sender=cleo, parts=(photo("new"),)))
    await fetched(world, former)
    assert (await line_of(world)).parts == (photo("new"),)
    new = (await jobs(world))["new"]
    await fetched(world, new)
    (part,) = (await line_of(world)).parts
    assert isinstance(part, Media)
    assert part.stored == new.id
    assert await jobs(world) == {}


async def test_a_file_that_an_edit_moved_finds_its_new_place(world: World) -> None:
    """An edited caption of an album goes to the end, and the files behind it move up."""
    cleo = world.shopper("cleo")
    for number, parts in enumerate(((photo("one"), Text(text="A caption")), (photo("two"),))):
        await world.receive(MessageReceived(key=f"k{number}", message_id=f"p{number}", sender=cleo, parts=parts, group="g"))
    second = (await jobs(world))["two"]
    await world.receive(MessageEdited(key="e", message_id="p0", sender=cleo, parts=(photo("one"), Text(text="Another"))))
    await fetched(world, second)
    stored = {part.ref: part.stored for part in (await line_of(world)).parts if isinstance(part, Media)}
    assert stored == {"one": "", "two": second.id}


@pytest.mark.parametrize("away", ["resolved", "snoozed"])
async def test_a_late_piece_of_an_album_brings_its_conversation_back(world: World, away: str) -> None:
    """Joined to a line that nobody looks at any more, it would never be seen."""
    first = await world.writes("cleo", parts=(photo("one"),), group="g")
    ada = await world.agent("ada", await world.default_queue(), capacity=0)
    if away == "resolved":
        await world.router.handle(Resolve(id=world.id(), actor=ada, conversation_id=first.id))
    else:
        until = world.clock() + timedelta(hours=1)
        await world.router.handle(Snooze(id=world.id(), actor=ada, conversation_id=first.id, until=until))
    back = await world.writes("cleo", parts=(photo("two"),), group="g")
    assert (back.id, back.last_inbound_pos > first.last_inbound_pos) == (first.id, True)
    assert back.state in {State.OPEN, State.QUEUED}


async def test_our_own_answer_from_elsewhere_opens_no_new_work(world: World) -> None:
    """The shop's owner answers on their phone what was resolved here: nobody waits for anything."""
    conversation = await world.writes("cleo")
    ada = await world.agent("ada", await world.default_queue())
    await world.router.handle(Resolve(id=world.id(), actor=ada, conversation_id=conversation.id))
    echo = MessageEchoed(key="x", message_id="out", sender=world.shopper("cleo"), parts=(Text(text="And thank you!"),))
    await world.receive(echo)
    now = await world.conversation_of("cleo")
    assert (now.id, now.state, now.waiting_since) == (conversation.id, State.RESOLVED, None)
    assert now.preview == "And thank you!"


async def test_a_conversation_that_we_began_elsewhere_is_work_when_the_shopper_answers(world: World) -> None:
    await world.agent("ada", await world.default_queue())
    await world.receive(MessageEchoed(key="x", message_id="out", sender=world.shopper("cleo"), parts=(Text(text="Your shirt is here"),)))
    begun = await world.conversation_of("cleo")
    assert (begun.state, begun.waiting_since, begun.assignee_id) == (State.RESOLVED, None, "")
    now = await world.writes("cleo", "I come at six")
    assert (now.id, now.state) == (begun.id, State.OPEN)


async def test_a_status_counts_on_its_own_channel_only(world: World) -> None:
    ada = await world.agent("ada", await world.default_queue())
    message = await world.reply(ada, (await world.writes("cleo")).id, pieces=1)
    await world.receive(StatusReported(key="s", message_id="x", status=Status.READ, ours=message.id), channel="other")
    assert (await world.message(message.id)).status is Status.QUEUED
    await world.receive(StatusReported(key="s", message_id="x", status=Status.READ, ours=message.id))
    assert (await world.message(message.id)).status is Status.READ


async def test_an_older_conversation_cannot_be_reopened_beside_a_newer_one(world: World) -> None:
    first = await world.writes("cleo")
    ada = await world.agent("ada", await world.default_queue())
    await world.router.handle(Resolve(id=world.id(), actor=ada, conversation_id=first.id))
    world.clock.forward(hours=25)
    second = await world.writes("cleo", "me again")
    with pytest.raises(NotNow, match=f"in conversation {second.number}"):
        await world.router.handle(Reopen(id=world.id(), actor=ada, conversation_id=first.id))


async def test_one_poisoned_event_among_many_is_the_only_one_lost(world: World) -> None:
    """And what is on record says which one it was."""
    texts = [f"m{number}" for number in range(20)]
    good = [
        MessageReceived(key=f"k{number}", message_id=f"p{number}", sender=world.shopper("cleo"), parts=(Text(text=text),))
        for number, text in enumerate(texts)
    ]
    await world.store.append(
        [structs.replace(world.entry(one, "web"), data=b"{}" if one.key == "k13" else world.entry(one, "web").data) for one in good]
    )
    await world.settle()
    lines = await world.history((await world.conversation_of("cleo")).customer_id)
    assert [line.parts for line in lines] == [(Text(text=text),) for text in texts if text != "m13"]
    (failed,) = [one for one in await world.events() if one.entry.type == "routing.failed"]
    assert b'"pos":14' in failed.entry.data


async def test_an_attempt_that_ends_twice_counts_once(world: World) -> None:
    ada = await world.agent("ada", await world.default_queue())
    message = await world.reply(ada, (await world.writes("cleo")).id)
    await world.store.transact(lambda tx: claim(tx, world.clock()))
    for _ in range(2):
        await world.router.handle(
            FinishAttempt(
                id=world.id(),
                actor=GATEWAY,
                message_id=message.id,
                attempt=Attempt(message_id=message.id, number=1, started_at=world.clock()),
                outcomes=(Failure(kind=FailureKind.UNKNOWN),),
                calls=1,
            )
        )
    item = await world.look(lambda tx: tx.outbox.get(message.id))
    assert item.unknowns == 1
