"""Web chat C5, with a scanner: nobody gets a file before it was looked at, and what was found in one nobody ever gets."""

import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from config.model import Media
from gateway.doctor import Level, examine
from storage.file import StoredFile, Verdict
from tests.gateway.web.test_public_files import link, uploaded
from tests.support.cast import Answer, Cast, assemble
from tests.support.clamd import EICAR, SIGNATURE, FakeClamd, fake_clamd
from tests.support.gateway import gateway_config, running_gateway
from tests.support.pictures import PNG, spelled
from tests.support.visitor import call, events, lines, upload
from tests.support.waiting import eventually

SAYS = {"type": "message", "id": "uuid-0001", "text": "Look at this"}
#: Pauses that nobody has to sit through.
BLINK = timedelta(milliseconds=20)


@pytest.fixture
async def scanner() -> AsyncIterator[FakeClamd]:
    async with fake_clamd() as daemon:
        yield daemon


@contextlib.asynccontextmanager
async def _cast(tmp_path: Path, scanner: str) -> AsyncIterator[Cast]:
    config = gateway_config(tmp_path)
    async with running_gateway(_with(config, scanner)) as gateway:
        yield await assemble(gateway)


def _with(config: Any, scanner: str) -> Any:
    return type(config)(data_dir=config.data_dir, server=config.server, channels=config.channels, media=Media(scanner=scanner))


@pytest.fixture
async def stage(tmp_path: Path, scanner: FakeClamd, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Cast]:
    for name in ("gateway.screen.FIRST_PAUSE", "gateway.screen.LONGEST_PAUSE", "gateway.screen.SOON"):
        monkeypatch.setattr(name, BLINK)
    for name in ("gateway.work.media.FIRST_WAIT", "gateway.work.media.LONGEST_WAIT"):
        monkeypatch.setattr(name, BLINK)
    async with _cast(tmp_path, scanner.url) as cast:
        yield cast


async def _media(cast: Cast) -> dict[str, Any]:
    """The file's part in Cleo's conversation, as agents see it."""
    line = (await lines(cast, cast.cleo, 1))[0]
    return dict(line["parts"][-1])


async def _sent(cast: Cast, data: bytes) -> dict[str, Any]:
    """Cleo uploads a file and sends it with a text; what her own window shows of it."""
    answer = await upload(cast.cleo, data)
    assert answer.status == 201, answer.raw
    async with events(cast.cleo) as stream:
        said = await call(cast.cleo, "POST", "frames", {**SAYS, "files": [answer.json["id"]]})
        assert said.json["items"][0]["type"] == "ack", said.raw
        return await stream.of("message")


async def _held(cast: Cast, data: bytes, verdict: Verdict, finding: str = "") -> str:
    """A file of Ada's as it lies in the database."""
    services = cast.gateway.services
    saved = await services.files.save(data)
    file = StoredFile(
        id=f"med_{saved.sha256[:12]}{verdict}",
        sha256=saved.sha256,
        mime=saved.mime,
        name="a.png",
        size=saved.size,
        created_at=services.clock(),
        uploader=cast.ada.id,
        verdict=verdict,
        finding=finding,
    )
    await services.store.transact(lambda tx: tx.files.put(file))
    return file.id


async def test_a_clean_upload_is_looked_at_and_had_at_once(stage: Cast, scanner: FakeClamd) -> None:
    shown = await _sent(stage, PNG)
    part = await _media(stage)
    assert scanner.streams == [PNG]
    assert (await stage.ada.get(f"/media/{part['stored']}")).raw == PNG
    assert (await stage.gateway.request("GET", shown["parts"][1]["url"]))[0] == 200
    assert len(scanner.commands) == 1


async def test_an_infected_upload_is_refused_and_nobody_gets_it(stage: Cast) -> None:
    async with stage.sue.feed() as feed, stage.ada.feed() as agents:
        answer = await upload(stage.cleo, spelled(EICAR))
        assert (answer.status, answer.code) == (422, "file_withheld")
        assert SIGNATURE in answer.json["detail"]
        told = await feed.of("file.withheld")
        assert (told["data"]["finding"], told["data"]["name"]) == (SIGNATURE, "cup.png")
        assert told["data"]["uploader"].endswith(stage.cleo.visitor_id)
        mine = await stage.ada.call("POST", "/media", EICAR, headers={"Content-Type": "text/plain"})
        assert (mine.status, mine.code) == (422, "file_withheld")
        await feed.of("file.withheld")
        await stage.conversation("after it")
        await agents.until(lambda frame: frame["type"] == "message.added")
        assert "file.withheld" not in {frame["type"] for frame in agents.seen}
    file = told["data"]["file_id"]
    said = await call(stage.cleo, "POST", "frames", {**SAYS, "files": [file]})
    assert b"file_withheld" in said.raw
    public = Answer(*await stage.gateway.request("GET", link(stage.gateway.services, file)))
    assert (public.status, public.code) == (410, "file_withheld")
    assert public.headers["Content-Type"] == "application/problem+json"


async def test_while_the_scanner_is_away_the_words_get_through_and_the_file_follows(stage: Cast, scanner: FakeClamd) -> None:
    await scanner.stop()
    shown = await _sent(stage, PNG)
    assert shown["parts"][0]["text"] == "Look at this"
    assert shown["parts"][1]["checking"] is True
    assert "url" not in shown["parts"][1]
    part = await _media(stage)
    assert (part["checking"], "stored" in part) == (True, False)
    for path in (f"/media/{part['ref']}",):
        answer = await stage.ada.get(path)
        assert (answer.status, answer.code, answer.headers["Retry-After"]) == (409, "file_unchecked", "5")
    public = Answer(*await stage.gateway.request("GET", link(stage.gateway.services, part["ref"])))
    assert public.code == "file_unchecked"
    async with events(stage.cleo) as stream:
        await scanner.start()
        changed = await stream.until(lambda frame: frame["type"] == "changed" and bool(frame["parts"][1].get("url")))
    assert "checking" not in changed["parts"][1]
    assert (await stage.gateway.request("GET", changed["parts"][1]["url"]))[2] == PNG
    part = await _media(stage)
    assert (await stage.ada.get(f"/media/{part['stored']}")).raw == PNG


async def test_what_turns_out_to_be_infected_leaves_its_message_in_the_history(stage: Cast, scanner: FakeClamd) -> None:
    await scanner.stop()
    await _sent(stage, spelled(EICAR))
    await scanner.start()
    part = await eventually(lambda: _media(stage), lambda part: "withheld" in part)
    assert (part["withheld"], part["problem"]) == (SIGNATURE, f"a file was withheld: {SIGNATURE}")
    assert not {"stored", "checking"} & part.keys()
    answer = await stage.ada.get(f"/media/{part['ref']}")
    assert (answer.status, answer.code) == (410, "file_withheld")
    async with events(stage.cleo) as stream:
        (history,) = (frame for frame in stream.seen if frame["type"] == "history")
    assert history["items"][0]["parts"][1]["withheld"] is True
    # Sent once more it is not even taken.
    said = await call(stage.cleo, "POST", "frames", {**SAYS, "id": "uuid-0002", "files": [part["ref"]]})
    assert b"file_withheld" in said.raw


async def test_an_agent_sends_no_file_before_it_was_looked_at(stage: Cast, scanner: FakeClamd) -> None:
    conversation = await stage.conversation()
    path = f"/conversations/{conversation['id']}"
    await stage.ada.post(f"{path}/accept")
    await scanner.stop()
    answer = await stage.ada.call("POST", "/media", PNG, headers={"Content-Type": "image/png"})
    assert (answer.status, answer.json["checking"]) == (201, True)
    file = {"parts": [{"type": "media", "kind": "image", "ref": answer.json["id"]}]}
    refused = await stage.ada.post(f"{path}/messages", file)
    assert (refused.status, refused.code) == (409, "file_unchecked")
    assert (await stage.ada.get(f"/media/{answer.json['id']}")).code == "file_unchecked"
    assert (await stage.ada.post(f"{path}/messages", {"parts": [{"type": "text", "text": "One moment"}]})).status == 201
    await scanner.start()

    async def send() -> int:
        return (await stage.ada.post(f"{path}/messages", file)).status

    await eventually(send, lambda status: status == 201)
    infected = await _held(stage, EICAR, Verdict.WITHHELD, SIGNATURE)
    refused = await stage.ada.post(f"{path}/messages", {"parts": [{"type": "media", "kind": "file", "ref": infected}]})
    assert (refused.status, refused.code) == (422, "file_withheld")


@pytest.mark.parametrize(("data", "status"), [(PNG, 200), (spelled(EICAR), 410)])
async def test_a_file_older_than_the_scanner_is_looked_at_when_it_is_wanted(
    stage: Cast, scanner: FakeClamd, data: bytes, status: int
) -> None:
    await scanner.stop()
    file = await _held(stage, data, Verdict.NONE)
    ways = [f"/api/v1/media/{file}", link(stage.gateway.services, file)]
    for way in ways:
        assert (await stage.gateway.request("GET", way, headers=stage.ada.cookie_header))[0] == 409
    await scanner.start()

    async def statuses() -> set[int]:
        return {(await stage.gateway.request("GET", way, headers=stage.ada.cookie_header))[0] for way in ways}

    await eventually(statuses, lambda found: 409 not in found)
    assert await statuses() == {status}
    assert len(scanner.streams) == 1


async def test_without_a_scanner_nothing_is_different_but_what_was_withheld_stays_so(tmp_path: Path) -> None:
    async with _cast(tmp_path, "") as cast:
        assert (await cast.ada.get(f"/media/{await uploaded(cast, spelled(EICAR), 'a')}")).status == 200
        assert (await cast.ada.get(f"/media/{await _held(cast, PNG, Verdict.WAITING)}")).status == 200
        assert (await cast.ada.get(f"/media/{await _held(cast, EICAR, Verdict.WITHHELD, SIGNATURE)}")).status == 410


async def test_the_doctor_asks_the_scanner(tmp_path: Path, scanner: FakeClamd) -> None:
    async def told(url: str) -> tuple[Level, str]:
        config = _with(gateway_config(tmp_path), url)
        (found,) = [one for one in await examine(lambda: config, {}) if one.subject == "scanner"]
        return found.level, found.text

    level, text = await told("")
    assert (level, "media.scanner" in text) == (Level.OK, True)
    scanner.version = "ClamAV 1.4.3/27800/Sun Nov 22 09:26:05 2125"
    assert await told(scanner.url) == (Level.OK, "ClamAV 1.4.3, signatures of 2125-11-22")
    scanner.version = "ClamAV 1.4.3/27800/Sun Nov 22 09:26:05 2020"
    assert (await told(scanner.url))[0] is Level.WARN
    scanner.version = "ClamAV 1.4.3"
    assert (await told(scanner.url))[0] is Level.WARN
    await scanner.stop()
    assert (await told(scanner.url))[0] is Level.FAIL
