"""What a channel's log holds can be replayed against the connector, by the conformance kit's own reader."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import msgspec

from connectors.contract import Call
from connectors.event import encode_event
from gateway.kit.case import Answer, AnyCase, Inbound
from gateway.kit.sample import Sample
from storage.interaction import InteractionKind
from tests.support.bird import Aviary, aviary
from tests.support.telegram import SECRET

ROOT = Path(__file__).parents[3]


async def exported(town: Aviary, folder: Path, *more: str) -> tuple[dict[str, Any], str]:
    """The cases by their names, and what the command said."""
    arguments = ("channel", "log", "shop", "--as-cases", str(folder), "--data-dir", town.services.config.data_dir, *more)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway", *arguments, cwd=folder.parent, env={"PYTHONPATH": str(ROOT)}, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    assert process.returncode == 0
    return _read(folder), out.decode()


def _read(folder: Path) -> dict[str, Any]:
    return {path.name: json.loads(path.read_text("utf-8")) for path in sorted(folder.glob("*.case.json"))}


async def test_a_log_becomes_cases_that_the_connector_passes(town: Aviary, tmp_path: Path) -> None:
    user, conversation = await town.conversation("Siete aperti?")
    await town.reply(conversation, "Sì.")
    await town.post(b"a riddle")
    await town.phone.post(f"users/{user}/deactivate")
    await town.reply(conversation, "hello?", "failed")
    await town.until_logged(InteractionKind.WEBHOOK, 2)
    await town.until_logged(InteractionKind.SEND, 2)
    cases, said = await exported(town, tmp_path / "cases")
    assert said.startswith("4 cases written")
    channel = town.services.channels["shop"]
    sample = Sample(settings={}, to="1", to_another="2")
    kinds = []
    for data in cases.values():
        case = msgspec.convert(data, AnyCase)
        kinds.append(type(case).__name__)
        match case:
            case Inbound(events=None):
                assert case.bad
            case Inbound():
                request = case.request.request(sample, tmp_path)
                events = [json.loads(encode_event(event)) for event in channel.connector.parse(request, channel.settings)]
                assert events == case.events
            case Answer():
                call = case.its_call()
                assert isinstance(call, Call)
                assert channel.connector.read_reply(call, case.reply.reply(tmp_path), channel.settings) == case.expected()
            case _:
                raise AssertionError(case)
    assert sorted(kinds) == ["Answer", "Answer", "Inbound", "Inbound"]


async def test_what_is_not_whole_is_left_out_and_said(town: Aviary, tmp_path: Path) -> None:
    await town.post(b"x" * 10_000)
    await town.post(b"my secret is " + SECRET.encode())
    await town.post(b"{}", {"X-Telegram-Bot-Api-Secret-Token": "wrong"})
    await town.until_logged(InteractionKind.WEBHOOK, 3)
    cases, said = await exported(town, tmp_path / "cases")
    assert cases == {}
    assert "1 left out: its body was trimmed" in said
    assert "1 left out: something in its body was redacted" in said
    assert "1 left out: it was refused" in said


async def test_without_bodies_there_are_no_cases(tmp_path: Path) -> None:
    async with aviary(tmp_path, bodies=False) as town:
        await town.post(b"a riddle")
        await town.until_logged(InteractionKind.WEBHOOK)
        cases, said = await exported(town, tmp_path / "cases")
        assert cases == {}
        assert "not kept" in said
