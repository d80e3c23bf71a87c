"""The durable half of the reconciliation: what the stream says, also after a restart, and what does not add up."""

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from connectors.event import Status
from gateway.reprocess import reprocess
from gateway.web.reconcile import look
from storage.protocol import Transaction
from tests.gateway.bad_input.rows import HOOK, SIGNED, update
from tests.support.cast import Cast
from tests.support.post import Letter, Office, office
from tests.support.waiting import eventually


async def test_what_came_in_is_in_the_history_or_says_why_not(cast: Cast) -> None:
    for number in range(1, 4):
        await cast.gateway.request("POST", HOOK, data=update(number, text=f"line {number}"), headers=SIGNED)
    await cast.gateway.request("POST", HOOK, data=b"unreadable", headers=SIGNED)

    async def answer() -> Any:
        return (await cast.amy.get("/reconcile")).json

    found = await eventually(answer, lambda one: bool(one["stream"]) and one["stream"][0]["lines"] == 3)
    assert (found["balanced"], found["differences"], found["next_after"]) == (True, [], None)
    (bot,) = found["stream"]
    assert bot["events"] == {"message.received": 3, "payload.quarantined": 1}
    assert (bot["lines"], bot["joined"], bot["waiting"], bot["failed"], bot["quarantined"], bot["reprocessed"]) == (3, 0, 0, 0, 1, 0)
    first = (await cast.amy.get("/reconcile?after=0&limit=2")).json
    assert (first["after"], first["to"], first["next_after"]) == (0, 2, 2)
    seen = 0
    page: dict[str, Any] = {"next_after": 0}
    while page["next_after"] is not None:
        page = (await cast.amy.get(f"/reconcile?after={page['next_after']}&limit=2")).json
        seen += sum(one["lines"] for one in page["stream"])
    assert seen == 3
    assert (await cast.amy.get("/reconcile?limit=5001")).status in (400, 422)
    assert (await cast.sue.get("/reconcile")).status == 403


async def window(open_: Office) -> Any:
    return await open_.services.store.view(lambda tx: look(tx, 0, 5000))


async def test_it_survives_a_restart_and_follows_replies(tmp_path: Path) -> None:
    async with office(tmp_path) as open_:
        await open_.take(Letter(id="a", sender="ada", text="hello"))
        await open_.reply("ada", "an answer")
        await open_.take(Letter(id="b", sender="ben", text="hello"))
    async with office(tmp_path) as open_:
        found = await window(open_)
        assert found.differences == []
        assert found.of("post").messages["lines"] == 2
        assert found.of("post").replies == {"queued": 1}
        # Taken and not yet routed.
        await _take_without_routing(open_)
        found = await window(open_)
        assert (found.differences, found.of("post").messages["waiting"]) == ([], 1)


async def _take_without_routing(open_: Office) -> None:
    settle = open_.settle

    async def nothing() -> None:
        return None

    open_.settle = nothing  # type: ignore[method-assign]
    await open_.take(Letter(id="c", sender="cleo", text="hello"))
    open_.settle = settle  # type: ignore[method-assign]


async def test_what_the_router_passed_over_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with office(tmp_path) as open_:
        await open_.take(Letter(id="a", sender="ada", text="hello"))
        with monkeypatch.context() as patch:
            patch.setattr("routing.inbound.decide", _crash)
            await open_.take(Letter(id="b", sender="ben", text="bad luck"))
        await open_.take(Letter(id="c", sender="cleo", text="hello"))
        found = await window(open_)
        assert found.differences == []
        assert (found.of("post").messages["lines"], found.of("post").messages["failed"]) == (2, 1)


def _crash(*_: object) -> Any:
    raise RuntimeError("a bug")


async def test_what_is_lost_is_found(tmp_path: Path) -> None:
    """As a bug in the database, or a hand in it, might do."""
    async with office(tmp_path) as open_:
        await open_.take(Letter(id="a", sender="ada", text="hello"))
        await open_.take(Letter(id="b", sender="ben", text="hello"))
        message, other = await open_.reply("ada", "one"), await open_.reply("ben", "two")

        async def damage(tx: Any) -> None:
            tx.sql.run("DELETE FROM message WHERE kind = 'inbound' AND id IN (SELECT id FROM message ORDER BY pos LIMIT 1)")
            tx.sql.run("DELETE FROM provider_message WHERE provider_id = 'a'")
            tx.sql.run("DELETE FROM outbox WHERE message_id = ?", (message.id,))

        await open_.services.store.transact(damage)

        async def end_unseen(tx: Transaction) -> None:
            item = await tx.outbox.get(other.id)
            assert item is not None
            await tx.outbox.update(replace(item, status=Status.EXPIRED))

        await open_.services.store.transact(end_unseen)
        differences = (await window(open_)).differences
        text = "\n".join(differences)
        assert len(differences) == 3
        assert "a message was received and routed, and is in no history" in text
        assert f"the accepted reply {message.id} is not in the outbox" in text
        assert f"the reply {other.id} has ended (expired), and its agents do not see it" in text


async def test_what_was_read_again_is_counted_so(tmp_path: Path) -> None:
    async with office(tmp_path) as open_:
        await open_.take(Letter(id="x" * 600, sender="ada", text="its key is too long"))
        found = await window(open_)
        assert found.of("post").quarantined == 1
        (waiting,) = await open_.services.store.view(lambda tx: tx.stream.quarantined(0, 9))
        await open_.services.store.transact(lambda tx: tx.stream.mark_reprocessed(waiting.pos))
        assert (await window(open_)).of("post").quarantined == 0
        assert await reprocess(open_.services) == {"recovered": 0, "remaining": 0, "events": 0}
