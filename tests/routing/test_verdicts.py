"""What a scanner says of a file, and when: on both engines."""

import msgspec

from connectors.content import Media, MediaKind, Text
from connectors.event import MessageReceived
from routing.command import MediaStored
from storage.access import SUPERVISORS_ONLY
from storage.file import MediaJob, StoredFile, Verdict
from storage.protocol import WHOLE
from storage.record import Entry
from tests.routing.world import GATEWAY, World


async def jobs(world: World) -> list[MediaJob]:
    found: list[MediaJob] = await world.look(lambda tx: tx.files.due_jobs(world.clock(), 10))
    return found


async def part_of(world: World) -> Media:
    (line,) = await world.history((await world.conversation_of("cleo")).customer_id)
    part = line.parts[-1]
    assert isinstance(part, Media)
    return part


async def told(world: World) -> list[Entry]:
    found = await world.look(lambda tx: tx.stream.read(WHOLE, 0, 1000))
    return [recorded.entry for recorded in found if recorded.entry.type == "file.withheld"]


def upload(world: World, verdict: Verdict) -> StoredFile:
    return StoredFile(
        id="med_up",
        sha256="0" * 64,
        mime="image/png",
        name="a.png",
        size=7,
        created_at=world.clock(),
        uploader="visitor:web:1",
        verdict=verdict,
        finding="Bad" if verdict is Verdict.WITHHELD else "",
    )


async def looked(world: World, job: MediaJob, file: StoredFile) -> None:
    await world.router.handle(
        MediaStored(id=world.id(), actor=GATEWAY, job_id=job.id, message_id=job.message_id, part=job.part, ref=job.ref, file=file)
    )


async def sent(world: World, verdict: Verdict) -> None:
    file = upload(world, verdict)
    await world.store.transact(lambda tx: tx.files.put(file))
    parts = (Text(text="Look"), Media(kind=MediaKind.IMAGE, ref=file.id, stored=file.id))
    await world.receive(MessageReceived(key="k", message_id="p", sender=world.shopper("cleo"), parts=parts))


async def test_an_upload_that_waits_joins_its_message_later(world: World) -> None:
    await sent(world, Verdict.WAITING)
    part = await part_of(world)
    assert (part.stored, part.checking) == ("", True)
    (job,) = await jobs(world)
    assert (job.channel, job.ref, job.part) == ("", "med_up", 1)
    # As long as nobody can look, the job stays: it is what remembers the file.
    await looked(world, job, upload(world, Verdict.WAITING))
    assert await jobs(world) == [job]
    # The scanner was given the row as it stood before the message; whose it is by now must not be lost.
    await looked(world, job, upload(world, Verdict.CLEAN))
    assert await jobs(world) == []
    part = await part_of(world)
    assert (part.stored, part.checking, part.problem) == ("med_up", False, "")
    kept = await world.look(lambda tx: tx.files.get("med_up"))
    assert kept is not None
    assert (kept.conversation_id, kept.verdict) == ((await world.conversation_of("cleo")).id, Verdict.CLEAN)
    assert await told(world) == []


async def test_what_is_withheld_is_told_once_and_to_supervisors(world: World) -> None:
    await sent(world, Verdict.WAITING)
    (job,) = await jobs(world)
    for _ in range(2):
        await looked(world, job, upload(world, Verdict.WITHHELD))
    part = await part_of(world)
    assert (part.stored, part.checking, part.withheld, part.problem) == ("", False, "Bad", "a file was withheld: Bad")
    (entry,) = await told(world)
    assert (entry.queues, entry.identity) == ((SUPERVISORS_ONLY,), "")
    conversation = await world.conversation_of("cleo")
    assert msgspec.json.decode(entry.data) == {
        "file_id": "med_up",
        "name": "a.png",
        "size": 7,
        "conversation_id": conversation.id,
        "uploader": "visitor:web:1",
        "finding": "Bad",
    }


async def test_an_upload_that_was_withheld_before_its_message_came_is_not_in_it(world: World) -> None:
    await sent(world, Verdict.WITHHELD)
    part = await part_of(world)
    assert (part.stored, part.withheld) == ("", "Bad")
    assert await jobs(world) == []
