"""One person, two queues: whoever sees one of the conversations does not see the other by way of the person."""

from typing import Any

from tests.support.cast import Cast, Colleague


def texts(items: list[dict[str, Any]]) -> list[str]:
    return [part["text"] for item in items for part in item["parts"] if part["type"] == "text"]


async def test_a_merged_customer_opens_no_foreign_conversation(cast: Cast) -> None:
    general = await cast.conversation("For General", cast.cleo)
    returns = await cast.conversation("For Returns", cast.dan)
    await cast.sue.post(f"/conversations/{returns['id']}/transfer", {"queue_id": cast.returns.id})
    async with cast.ben.feed() as frames:
        into, other = returns["customer_id"], general["customer_id"]
        assert (await cast.ben.post(f"/customers/{into}/merge", {"from_id": other})).status == 404
        assert (await cast.sue.post(f"/customers/{into}/merge", {"from_id": other})).status == 200
        for who, own, foreign in ((cast.ben, returns, general), (cast.ada, general, returns)):
            detail = (await who.get(f"/customers/{into}")).json
            assert [one["id"] for one in detail["conversations"]] == [own["id"]]
            history = (await who.get(f"/customers/{into}/history")).json["items"]
            assert {one["conversation_id"] for one in history} == {own["id"]}
            assert (await who.get(f"/conversations/{foreign['id']}/messages")).status == 404
            assert (await who.get(f"/conversations/{foreign['id']}/decisions")).status == 404
            assert foreign["id"] not in {one["id"] for one in (await who.get("/conversations")).json["items"]}
        assert set(texts((await cast.sue.get(f"/customers/{into}/history")).json["items"])) == {"For General", "For Returns"}
        # What is said afterwards stays apart, too: General's message comes first, and Ben never hears of it.
        await cast.cleo.say("Still for General")
        await cast.dan.say("Still for Returns")
        await frames.until(lambda frame: frame["type"] == "message.added" and texts([frame["data"]["message"]]) == ["Still for Returns"])
    heard = [frame["data"]["message"] for frame in frames.seen if frame["type"].startswith("message.")]
    assert "Still for General" not in texts(heard)
    assert {message["conversation_id"] for message in heard} == {returns["id"]}


async def test_numbers_are_of_ones_own_queues_only(cast: Cast) -> None:
    await cast.conversation("For General", cast.cleo)

    async def waiting(who: Colleague) -> int:
        return sum(item["waiting"] + item["open"] for item in (await who.get("/queues")).json["items"])

    assert [await waiting(who) for who in (cast.sue, cast.ada, cast.ben)] == [1, 1, 0]
