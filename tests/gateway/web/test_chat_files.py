"""Web chat C5: files, both ways. What a file is say its bytes; who may have it says its conversation."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from config.model import Media
from connectors.identity import Identity
from gateway.web.chat import chat_channels
from gateway.web.visitor_view import FileLinks
from tests.support.cast import Answer, Cast, assemble
from tests.support.gateway import SHOP, gateway_config, running_gateway
from tests.support.pictures import PNG, picture
from tests.support.visitor import call, events, lines, upload

HTML = b"<!doctype html><script>alert(1)</script>"


async def _get(cast: Cast, url: str, **headers: str) -> Answer:
    """As an image in a page asks: no token, no Origin."""
    return Answer(*await cast.gateway.request("GET", url, headers=headers))


async def _answered(cast: Cast, data: bytes = PNG, mime: str = "image") -> tuple[dict[str, Any], str]:
    """Cleo writes, Ada answers with a file: the message as Cleo sees it, and the conversation's id."""
    conversation = await cast.conversation()
    path = f"/conversations/{conversation['id']}"
    await cast.ada.post(f"{path}/accept")
    file = (await cast.ada.call("POST", "/media", data, headers={"X-File-Name": "size%20chart", "Content-Type": "image/png"})).json
    async with events(cast.cleo) as stream:
        sent = await cast.ada.post(f"{path}/messages", {"parts": [{"type": "media", "kind": mime, "ref": file["id"]}]})
        assert sent.status == 201, sent.raw
        return await stream.of("message"), conversation["id"]


async def test_a_visitors_picture_reaches_the_agents(cast: Cast) -> None:
    """C5: upload, then a message that names it; type by its bytes, name without folders."""
    answer = await upload(cast.cleo, PNG, "..%2F%2e%2e%2Ffoto%20%C3%A8.html")
    assert answer.status == 201
    assert {**answer.json, "id": ""} == {"id": "", "mime": "image/png", "size": len(PNG), "name": "foto è.html"}
    frame = {"type": "message", "id": "uuid-0001", "text": "This one", "files": [answer.json["id"]]}
    async with events(cast.cleo) as stream:
        assert (await call(cast.cleo, "POST", "frames", frame)).json["items"][0]["type"] == "ack"
        shown = await stream.of("message")
    # Sent again after its file was taken: still one message.
    assert (await call(cast.cleo, "POST", "frames", frame)).json["items"][0]["type"] == "ack"
    (line,) = await lines(cast, cast.cleo, 1)
    assert [part["type"] for part in line["parts"]] == ["text", "media"]
    assert line["parts"][1]["kind"] == "image"
    seen = await cast.ada.get(f"/media/{line['parts'][1]['stored']}")
    assert (seen.status, seen.raw, seen.headers["Content-Type"]) == (200, PNG, "image/png")
    assert (await cast.ben.get(f"/media/{line['parts'][1]['stored']}")).status == 404
    own = await _get(cast, shown["parts"][1]["url"])
    assert (own.status, own.raw) == (200, PNG)


async def test_an_agents_file_reaches_the_visitor_by_a_signed_link(cast: Cast) -> None:
    """C5: served with nosniff and a sandbox, also to the shop's page, whose site is another one."""
    shown, _ = await _answered(cast)
    (part,) = shown["parts"]
    assert {**part, "url": ""} == {"type": "media", "kind": "image", "mime": "image/png", "name": "size chart", "size": len(PNG), "url": ""}
    answer = await _get(cast, part["url"])
    assert (answer.status, answer.raw, answer.headers["Content-Type"]) == (200, PNG, "image/png")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
    assert answer.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    assert answer.headers["Content-Disposition"].startswith("inline")
    assert cast.cleo.visitor_id not in part["url"]


async def test_what_is_no_picture_is_a_download(cast: Cast) -> None:
    """C5: whatever it claims to be."""
    shown, _ = await _answered(cast, HTML, "file")
    answer = await _get(cast, shown["parts"][0]["url"])
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/octet-stream")
    assert answer.headers["Content-Disposition"].startswith("attachment")


async def test_every_other_link_is_the_same_404(cast: Cast) -> None:
    """C5: only by a link of ours, for this file, in time, of this visitor."""
    shown, conversation = await _answered(cast)
    await cast.dan.say("I am somebody else")
    (dans,) = await lines(cast, cast.dan, 1)
    path, _, query = shown["parts"][0]["url"].partition("?")
    until, sig = (pair.partition("=")[2] for pair in query.split("&"))
    services = cast.gateway.services
    file_id = path.rpartition("/")[2]
    owner = (await cast.sue.get(f"/conversations/{conversation}")).json["conversation"]["identity"]["value"]
    assert owner == cast.cleo.visitor_id
    note = (await cast.ada.call("POST", "/media", picture(size=(5, 4)), headers={"X-File-Name": "note"})).json["id"]
    parts = [{"type": "media", "kind": "image", "ref": note}]
    assert (await cast.ada.post(f"/conversations/{conversation}/messages", {"parts": parts, "note": True})).status == 201
    loose = (await upload(cast.cleo)).json["id"]
    wrong = [
        path,
        f"{path}?until={until}",
        f"{path}?until={until}&sig={sig[:-1]}A" if not sig.endswith("A") else f"{path}?until={until}&sig={sig[:-1]}B",
        f"{path}?until={int(until) + 300}&sig={sig}",
        f"{path}?until={until}&sig={sig}&more=1",
        f"{path}?until=x&sig={sig}",
        f"{path}?until={until}&sig=%C3%A9",
        f"{path.replace(file_id, note)}?{query}",
        f"{path.replace(file_id, loose)}?{query}",
        f"{path.replace(file_id, 'med_nothing')}?{query}",
        f"{path.replace('/web/', '/web2/')}?{query}",
        f"{path.replace('/web/', '/nobody/')}?{query}",
    ]
    answers = {(answer.status, answer.code) for answer in [await _get(cast, url) for url in wrong]}
    assert answers == {(404, "not_found")}
    assert dans["conversation_id"] != conversation
    assert (await _get(cast, f"{path}?{query}")).status == 200
    # No frame tells of the note's file.
    async with events(cast.cleo) as stream:
        assert note not in repr(stream.seen)
    assert services.config.media.max_bytes in [frame.get("max_file") for frame in stream.seen]


async def test_a_link_ends_within_ten_minutes_and_a_fresh_one_is_given_on_request(cast: Cast) -> None:
    """C5: short-lived links; ``refresh`` says the message again, to its own visitor only."""
    shown, _ = await _answered(cast)
    url = shown["parts"][0]["url"]
    until = int(url.partition("until=")[2].partition("&")[0])
    now = cast.gateway.services.clock()
    assert 0 < until - now.timestamp() <= 600
    again = (await call(cast.cleo, "POST", "frames", {"type": "refresh", "message": shown["id"]})).json["items"]
    assert [(item["type"], item["id"], item["parts"][0]["type"]) for item in again] == [("changed", shown["id"], "media")]
    assert (await _get(cast, again[0]["parts"][0]["url"])).status == 200
    denied = (await call(cast.dan, "POST", "frames", {"type": "refresh", "message": shown["id"]})).json["items"]
    assert [(item["type"], item["code"]) for item in denied] == [("error", "not_found")]


async def test_a_link_is_good_for_five_to_ten_minutes_for_one_file_of_one_visitor(stage: Cast) -> None:
    """C5: bound to visitor, file and time; its window is shared, so that a browser's cache knows it again."""
    links = FileLinks(chat_channels(stage.gateway.services)["web"])
    cleo, dan = Identity("visitor", "web", "cleo"), Identity("visitor", "web", "dan")
    for second in (0, 299):
        now = datetime(2026, 11, 1, tzinfo=UTC) + timedelta(seconds=second)
        path, _, query = links.make(cleo, "med_1", now).partition("?")
        assert path == "/chat/v1/web/files/med_1"
        until, sig = (pair.partition("=")[2] for pair in query.split("&"))
        assert links.genuine(cleo, "med_1", until, sig, now + timedelta(seconds=300))
        assert not links.genuine(cleo, "med_1", until, sig, now + timedelta(seconds=601))
        assert not links.genuine(dan, "med_1", until, sig, now)
        assert not links.genuine(cleo, "med_2", until, sig, now)
    assert links.make(cleo, "med_1", now) == links.make(cleo, "med_1", now - timedelta(seconds=200))


async def test_only_ones_own_uploads_can_be_sent(cast: Cast) -> None:
    """C5: somebody else's upload, an agent's, and one of another channel are all unknown."""
    theirs = (await upload(cast.dan)).json["id"]
    agents = (await cast.ada.call("POST", "/media", PNG, headers={"X-File-Name": "x"})).json["id"]
    for file_id in (theirs, agents, "med_nothing"):
        frame = {"type": "message", "id": "uuid-0001", "files": [file_id]}
        (error,) = (await call(cast.cleo, "POST", "frames", frame)).json["items"]
        assert (error["type"], error["code"], error["id"]) == ("error", "unknown_file", "uuid-0001")
    many = {"type": "message", "id": "uuid-0001", "files": ["med_1"] * 11}
    assert (await call(cast.cleo, "POST", "frames", many)).json["items"][0]["code"] == "bad_frame"
    assert (await cast.ada.get(f"/media/{theirs}")).status == 404


async def test_limits_of_size_and_number(tmp_path: Path) -> None:
    """C5: size capped, empty refused, so many in a minute."""
    config = replace(gateway_config(tmp_path), media=Media(max_bytes=2048))
    async with running_gateway(config) as gateway:
        cast = await assemble(gateway)
        assert (await upload(cast.cleo, b"")).code == "empty"
        answer = await upload(cast.cleo, b"x" * 2049)
        assert (answer.status, answer.code, answer.headers["Access-Control-Allow-Origin"]) == (413, "too_large", SHOP)
        assert (await upload(cast.cleo, b"x" * 2048)).status == 201
        codes = [(await upload(cast.cleo)).status for _ in range(12)]
        assert (codes[0], codes[-1]) == (201, 429)
        assert (await upload(cast.dan)).status == 201


async def test_a_compressed_upload_is_refused(stage: Cast) -> None:
    """C5: it could unfold without limit."""
    assert (await call(stage.dan, "POST", "files", PNG, Content_Encoding="gzip")).status == 415


async def test_history_comes_with_links_that_work(cast: Cast) -> None:
    """C5: every delivery brings links that work now."""
    await _answered(cast)
    async with events(cast.cleo) as stream:
        urls = [part["url"] for item in stream.seen[-1]["items"] for part in item["parts"] if part["type"] == "media"]
    assert [(await _get(cast, url)).status for url in urls] == [200]
