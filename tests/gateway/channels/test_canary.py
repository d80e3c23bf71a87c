"""No secret of a channel or of the server is in anything that a gateway writes, whatever goes wrong on the way."""

import base64
from pathlib import Path

import pytest

from connectors.abilities import Finding
from connectors.contract import Call, Failure, Reply, Request
from connectors.errors import FailureKind
from gateway.work.probe import ProbeWorker, probe
from storage.interaction import InteractionKind
from tests.support import pictures
from tests.support.bird import CANARIES, SERVER_KEY, Aviary, aviary
from tests.support.canary import Hit, forms, search_bytes, search_folders, search_store, search_text
from tests.support.telegram import SECRET, TOKEN

PNG = base64.b64encode(pictures.PNG).decode()


async def all_kinds(town: Aviary) -> None:
    """Every interaction there is, well and ill."""
    user, conversation = await town.conversation()
    await town.reply(conversation, "Sì.")
    async with town.cast.sue.feed() as feed:
        await town.phone.say(user, photo=PNG)
        await feed.of("message.changed")
    for fault in ("500", "garbage", "reset_after"):
        _, other = await town.conversation(f"about {fault}")
        await town.phone.post("faults", kind=fault, count=1)
        async with town.cast.sue.feed() as feed:
            await town.cast.sue.post(f"/conversations/{other['id']}/messages", {"text": fault})
            await feed.until(lambda frame: frame["type"] == "message.status_changed" and frame["data"]["message"]["status"] != "sending")
    await town.phone.post(f"users/{user}/deactivate")
    await town.reply(conversation, "hello?", "failed")
    assert await town.post(b"{}", {"X-Telegram-Bot-Api-Secret-Token": "wrong"}) == 403
    assert await town.post(b"{broken") == 200
    await town.cast.conversation("from the web")
    await ProbeWorker(town.services).probe(town.services.channels["shop"])
    await ProbeWorker(town.services).probe(town.services.channels["web"])
    # what providers are known to repeat in their answers
    _tell_secrets(town)
    await town.judge()


def _tell_secrets(town: Aviary) -> None:
    """As if a provider quoted our credentials in everything that it says, in every form."""
    journal, services = town.services.journal, town.services
    for channel, names in {"shop": ("token", "secret_token"), "web": ("secret", "identity_secret")}.items():
        for name in (*names, "secret_key"):
            for form in forms(CANARIES[name]).values():
                said = f"you sent {form}, which is wrong"
                reply = Reply(status=401, body=said.encode(), headers={"X-Echo": said, "Authorization": said})
                call = Call(method="POST", url=f"https://x.example/?echo={form}", json={"echo": form}, headers={"X-A": form})
                journal.called(channel, "msg_1", call, reply, Failure(kind=FailureKind.INVALID, code=form, detail=said), 0.1)
                request = Request(
                    method="POST",
                    url=f"{services.config.public_url}/webhooks/{channel}?a={form}",
                    headers={"x-a": form},
                    body=said.encode(),
                    received_at=services.clock(),
                )
                journal.arrived(channel, request, "refused")
                journal.reported(channel, "receiver", ok=False, detail=said)


async def test_no_secret_is_in_anything_that_was_written(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    async with aviary(tmp_path) as town:
        await all_kinds(town)
        entries = await town.entries()
        assert {InteractionKind.WEBHOOK, InteractionKind.SEND, InteractionKind.MEDIA, InteractionKind.PROBE} <= {
            one.kind for one in entries
        }
        assert {one.ok for one in entries} == {True, False}
        hits = await search_store(town.services.store, ("shop", "web"), CANARIES)
        hits += await _answers(town)
        # The data folder holds the key's own file, if it was made; here it was given.
        hits += search_folders([tmp_path], CANARIES)
    hits += search_folders([tmp_path], CANARIES)
    hits += search_text("".join(capfd.readouterr()), CANARIES, "standard output and error")
    assert hits == []


async def _answers(town: Aviary) -> list[Hit]:
    hits = []
    paths = [
        "/channels",
        "/channels/shop/log?limit=200",
        "/channels/web/log?limit=200",
        "/quarantine",
        "/reconcile",
        "/conversations",
        "/nodes",
    ]
    for path in paths:
        answer = await town.cast.amy.get(path)
        assert answer.status == 200, path
        hits += search_bytes(answer.raw, CANARIES, path)
    for path in ("/metrics", "/readyz", "/api/openapi.json"):
        hits += search_bytes((await town.cast.gateway.request("GET", path))[2], CANARIES, path)
    return hits


async def test_the_search_sees_what_is_there(tmp_path: Path) -> None:
    """A search that finds nothing anywhere would find nothing here."""
    for number, form in enumerate(forms(SERVER_KEY).values()):
        (tmp_path / f"file{number}").write_bytes(b"\0" * ((1 << 20) - len(form) // 2) + form.encode() + b"\0")
    found = search_folders([tmp_path], CANARIES)
    assert {hit.form for hit in found} >= set(forms(SERVER_KEY))
    assert {hit.canary for hit in found} == {"secret_key"}


async def test_a_probe_that_breaks_shows_nothing() -> None:
    """Its words are a class name: an exception's text may hold the address that was asked, with its token."""

    class Breaks:
        async def probe(self, webhook_url: str) -> list[Finding]:
            raise ValueError(f"{webhook_url} {TOKEN} {SECRET}")

        async def send(self, call: Call) -> Reply:
            raise NotImplementedError

        async def close(self) -> None: ...

    findings, error = await probe(Breaks(), "https://x.example")
    assert (list(findings), error) == ([], "the probe failed: ValueError")
