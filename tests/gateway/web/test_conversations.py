"""Agents' work over the API, from a shopper's first word to the resolved conversation."""

from tests.support.cast import Cast, come_online


async def test_a_shoppers_message_is_answered_and_both_read_it(cast: Cast) -> None:
    conversation = await cast.conversation("Where is my parcel?")
    accepted = await cast.ada.post(f"/conversations/{conversation['id']}/accept")
    assert (accepted.status, accepted.json["conversation"]["assignee_id"]) == (200, cast.ada.id)

    async with cast.cleo.open() as window:
        written = await cast.ada.post(f"/conversations/{conversation['id']}/messages", {"text": "On its way <b>today</b>."})
        assert written.status == 201
        shown = await window.of("message")
    assert shown["parts"] == [{"type": "text", "text": "On its way <b>today</b>."}]
    assert (shown["mine"], shown["author"], shown["id"]) == (False, "Ada", written.json["message"]["id"])

    page = (await cast.ada.get(f"/conversations/{conversation['id']}/messages")).json
    kinds = [item["kind"] for item in page["items"]]
    assert kinds == ["inbound", "activity", "outbound"]
    assert page["more"] is False
    assert page["as_of_pos"] >= page["items"][-1]["pos"]


async def test_notes_and_system_lines_never_reach_the_shopper(cast: Cast) -> None:
    conversation = await cast.conversation()
    path = f"/conversations/{conversation['id']}"
    await cast.ada.post(f"{path}/accept")
    assert (await cast.ada.post(f"{path}/messages", {"text": "secret note", "note": True})).status == 201
    assert (await cast.ada.post(f"{path}/messages", {"text": "public"})).status == 201
    async with cast.cleo.open() as window:
        history = window.seen[-1]["items"]
    assert [item["parts"][0]["text"] for item in history] == ["Hello", "public"]
    assert "secret note" not in repr(window.seen)
    assert cast.ada.id not in repr(window.seen)


async def test_a_conversation_goes_through_all_its_states(cast: Cast) -> None:
    conversation = await cast.conversation()
    path = f"/conversations/{conversation['id']}"
    steps: list[tuple[str, object, str]] = [
        ("accept", None, "open"),
        ("assign", {"agent_id": None}, "queued"),
        ("assign", {"agent_id": cast.ada.id}, "open"),
        ("snooze", {"until": "2999-01-01T00:00:00Z"}, ""),
        ("resolve", {}, "resolved"),
        ("reopen", None, "queued"),
    ]
    for name, body, state in steps:
        answer = await cast.ada.post(f"{path}/{name}", body)
        if not state:
            assert (answer.status, answer.code) == (422, "bad_time")
            continue
        assert (answer.status, answer.json["conversation"]["state"]) == (200, state), name
    assert (await cast.ada.post(f"{path}/reopen")).status == 409
    moved = await cast.ada.post(f"{path}/transfer", {"queue_id": cast.returns.id})
    assert moved.status == 200
    assert (await cast.ben.get(path)).json["conversation"]["queue_id"] == cast.returns.id
    assert (await cast.ada.get(path)).status == 404


async def test_the_list_is_newest_first_and_goes_on_by_cursor(cast: Cast) -> None:
    for number in range(5):
        await cast.conversation(f"Message {number}", type(cast.cleo)(cast.gateway))
    first = (await cast.ada.get("/conversations?limit=3")).json
    second = (await cast.ada.get(f"/conversations?limit=3&after={first['next']}")).json
    assert [item["preview"] for item in first["items"] + second["items"]] == [f"Message {number}" for number in (4, 3, 2, 1, 0)]
    assert second["next"] is None
    assert (await cast.ada.get(f"/conversations?limit=3&assignee=me&after={first['next']}")).code == "bad_cursor"
    assert (await cast.ben.get(f"/conversations?limit=3&after={first['next']}")).code == "bad_cursor"
    assert (await cast.ben.get("/conversations")).json["items"] == []


async def test_a_reply_to_something_old_is_stale(cast: Cast) -> None:
    conversation = await cast.conversation()
    path = f"/conversations/{conversation['id']}"
    seen = conversation["last_pos"]
    await cast.conversation("And one more thing")
    stale = await cast.ada.post(f"{path}/messages", {"text": "x", "if_last_pos": seen})
    assert (stale.status, stale.code) == (409, "stale")
    assert [item["kind"] for item in (await cast.ada.get(f"{path}/messages")).json["items"]] == ["inbound", "inbound"]


async def test_the_router_explains_its_choice(cast: Cast) -> None:
    await come_online(cast.ada)
    conversation = await cast.conversation()
    decisions = (await cast.ada.get(f"/conversations/{conversation['id']}/routing")).json["items"]
    assert decisions
    assert decisions[0]["agent_id"] == cast.ada.id
    assert any(candidate["name"] == "Ada" for candidate in decisions[0]["candidates"])
