"""``channel check``, ``connect``, ``log`` and ``doctor``: what they print, and their exit status."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import aiohttp
import pytest

from config import ConfigError
from connectors.abilities import Component
from connectors.telegram.probe import MANY, RECENT, account_finding, webhook_findings
from connectors.telegram.settings import Settings
from connectors.telegram.simulator import create_simulator_app
from gateway.__main__ import build_app
from gateway.cli.channel_log import line
from gateway.cli.common import UserError
from gateway.work.probe import ProbeWorker
from storage.interaction import Interaction, InteractionKind
from tests.support.bird import Aviary
from tests.support.serving import serving
from tests.support.settings import settings_of
from tests.support.telegram import SECRET, TOKEN

ROOT = Path(__file__).parents[3]
OURS = "https://chat.example.org/webhooks/shop"
NOW = 1_795_000_000.0
FAILED = {"url": OURS, "last_error_date": NOW - 1, "last_error_message": "403"}


class Run(Protocol):
    """A command, in this process and this loop, where its provider is simulated; a process of its own costs seconds."""

    async def __call__(self, folder: Path, *arguments: str) -> tuple[int, str]:
        """Status, and all that was printed."""
        ...


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    async def run_here(folder: Path, *arguments: str) -> tuple[int, str]:
        monkeypatch.chdir(folder)
        capsys.readouterr()
        try:
            status = await build_app().run_async(arguments, result_action="return_value")
        except (ConfigError, UserError) as error:
            return 1, f"{capsys.readouterr().out}{error}"
        return status if isinstance(status, int) else 0, "".join(capsys.readouterr())

    return run_here


@pytest.fixture
async def telegram() -> AsyncIterator[str]:
    async with serving(create_simulator_app(token=TOKEN, rate_limits=False)) as root:
        yield root


def write_config(folder: Path, telegram: str, token: str = TOKEN, more: str = "") -> None:
    (folder / "sportello.toml").write_text(
        f"""
        data_dir = "{folder}/data"
        [server]
        public_url = "https://chat.example.org"
        [channels.shop]
        kind = "telegram"
        token = "{token}"
        secret_token = "{SECRET}"
        api_base = "{telegram}"
        [channels.web]
        kind = "webchat"
        origins = ["https://shop.example.org"]
        {more}
        """
    )


async def test_check_says_what_is_wrong_and_connect_mends_it(run: Run, tmp_path: Path, telegram: str) -> None:
    write_config(tmp_path, telegram)
    status, said = await run(tmp_path, "channel", "check", "shop")
    assert status == 1
    assert f"FAIL  webhook: Telegram has none instead of {OURS}" in said
    assert "sportello channel connect" in said
    status, said = await run(tmp_path, "channel", "connect", "shop")
    assert status == 0
    assert f"Webhook {OURS} set." in said
    assert f"ok    webhook: Telegram delivers to {OURS}" in said
    status, said = await run(tmp_path, "channel", "check")
    assert status == 0
    assert "shop (telegram):" in said
    assert "ok    inbound: pages of https://shop.example.org may show the chat" in said
    assert SECRET not in said
    assert TOKEN not in said


async def test_check_finds_a_wrong_token_and_a_provider_that_is_away(run: Run, tmp_path: Path, telegram: str) -> None:
    write_config(tmp_path, telegram, token="700000001:canary-another-token-altogether")
    status, said = await run(tmp_path, "channel", "check", "shop")
    assert (status, "FAIL  auth: Telegram does not accept" in said) == (1, True)
    assert "@BotFather" in said
    write_config(tmp_path, "http://127.0.0.1:9")
    status, said = await run(tmp_path, "channel", "check", "shop")
    assert (status, "FAIL  the probe failed: OSError" in said or "cannot be asked" in said) == (1, True)


async def test_offline_problems_come_first(run: Run, tmp_path: Path, telegram: str) -> None:
    write_config(tmp_path, telegram, more='colour = "red"')
    status, said = await run(tmp_path, "channel", "check")
    assert status == 1
    assert "channels.web.colour" in said
    assert "FAIL" not in said
    write_config(tmp_path, telegram)
    assert "there is no channel 'none'; configured: shop, web" in (await run(tmp_path, "channel", "check", "none"))[1]


async def test_the_log_beside_a_running_gateway(run: Run, town: Aviary, tmp_path: Path) -> None:
    _, conversation = await town.conversation("Siete aperti?")
    sent = await town.reply(conversation, "Sì.")
    await town.post(b"a riddle")
    await town.until_logged(InteractionKind.WEBHOOK, 2)
    await town.until_logged(InteractionKind.SEND)
    place = ("--data-dir", town.services.config.data_dir)
    status, said = await run(tmp_path, "channel", "log", "shop", *place)
    assert status == 0
    assert [text.split()[3] for text in said.splitlines()] == ["webhook", "send", "webhook"]
    assert "message.received" in said
    status, said = await run(tmp_path, "channel", "log", "shop", "--failed", *place)
    assert [text.split()[2:4] for text in said.splitlines()] == [["FAIL", "webhook"]]
    status, said = await run(tmp_path, "channel", "log", "shop", "--message", sent["id"], "--json", *place)
    (record,) = [json.loads(text) for text in said.splitlines()]
    assert (record["kind"], json.loads(record["request"]["body"])["text"]) == ("send", "Sì.")
    status, said = await run(tmp_path, "channel", "log", "none", *place)
    assert (status, said.strip()) == (0, "There is nothing in the log of none.")


async def test_following_shows_each_once(town: Aviary, tmp_path: Path) -> None:
    await town.post(b"first riddle")
    await town.until_logged(InteractionKind.WEBHOOK)
    arguments = ("channel", "log", "shop", "--follow", "--json", "--data-dir", town.services.config.data_dir)
    clean = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway", *arguments, cwd=tmp_path, env=clean, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        seen = []
        async with asyncio.timeout(30):
            seen.append(json.loads(await process.stdout.readline())["request"]["body"])
            for number in (2, 3):
                await town.post(b"riddle %d" % number)
                seen.append(json.loads(await process.stdout.readline())["request"]["body"])
        assert seen == ["first riddle", "riddle 2", "riddle 3"]
    finally:
        process.kill()
        await process.communicate()


async def test_the_doctor_knows_who_is_not_well(run: Run, town: Aviary, tmp_path: Path) -> None:
    town.services.journal.reported("shop", "token", ok=False, code="auth", detail="no longer valid")
    await town.judge()
    write_config(tmp_path, town.telegram)
    place = ("--data-dir", town.services.config.data_dir)
    _, said = await run(tmp_path, "doctor", *place)
    assert "FAIL  channel shop: auth is down since" in said
    assert "no longer valid" in said
    assert "sportello channel check shop" in said
    (tmp_path / "sportello.toml").write_text(
        (tmp_path / "sportello.toml").read_text().replace("[channels.web]", "enabled = false\n[channels.web]")
    )
    assert "channel shop: auth" not in (await run(tmp_path, "doctor", *place))[1]


async def test_a_probe_of_the_running_gateway_is_in_the_log_and_feeds_the_health(town: Aviary) -> None:
    worker = ProbeWorker(town.services)
    await worker.probe(town.services.channels["shop"])
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{town.telegram}/bot{TOKEN}/setWebhook", data={"url": "https://elsewhere.example"}),
    ):
        pass
    await worker.probe(town.services.channels["shop"])
    good, bad = await town.until_logged(InteractionKind.PROBE, 2)
    assert (good.ok, bad.ok) == (True, False)
    await town.judge()
    health = (await town.services.store.view(lambda tx: tx.channel_log.health()))["shop"]
    assert health[Component.WEBHOOK].state.value == "down"
    assert "another address" in health[Component.WEBHOOK].why
    assert health[Component.AUTH].state.value == "ok"


async def test_probes_are_rare_and_quicker_while_credentials_are_refused(town: Aviary) -> None:
    probes = asyncio.create_task(ProbeWorker(town.services, first_after=0, look=0.01).run())
    try:
        await town.until_logged(InteractionKind.PROBE)
        await asyncio.sleep(0.1)
        assert len(await town.entries(kind=InteractionKind.PROBE)) == 1
        assert len(await town.entries("web", InteractionKind.PROBE)) == 1
    finally:
        probes.cancel()
        await asyncio.gather(probes, return_exceptions=True)
    # another node takes over: it knows when the last one was
    probes = asyncio.create_task(ProbeWorker(town.services, first_after=0, look=0.01).run())
    await asyncio.sleep(0.1)
    probes.cancel()
    await asyncio.gather(probes, return_exceptions=True)
    assert len(await town.entries(kind=InteractionKind.PROBE)) == 1


# --- Telegram's own view -----------------------------------------------------------------------------------------------


def settings(mode: str = "webhook") -> Settings:
    return settings_of(Settings, {"token": TOKEN, "secret_token": SECRET, "mode": mode})


@pytest.mark.parametrize(
    ("mode", "info", "wanted"),
    [
        ("webhook", {"url": OURS, "pending_update_count": 0}, {"webhook": True, "inbound": True}),
        ("webhook", {"url": "", "pending_update_count": 0}, {"webhook": False}),
        ("webhook", {"url": "https://elsewhere.example/x"}, {"webhook": False}),
        ("webhook", {"url": OURS, "pending_update_count": MANY + 1}, {"webhook": True, "inbound": False}),
        ("webhook", {**FAILED, "pending_update_count": 1}, {"webhook": True, "inbound": False}),
        ("webhook", {**FAILED, "pending_update_count": 0}, {"webhook": True, "inbound": True}),
        ("webhook", {**FAILED, "pending_update_count": 1, "last_error_date": NOW - RECENT}, {"webhook": True, "inbound": True}),
        ("webhook", {"url": OURS, "pending_update_count": "many", "last_error_date": None}, {"webhook": True, "inbound": True}),
        ("webhook", None, {}),
        ("webhook", [], {}),
        ("poll", {"url": ""}, {"inbound": True}),
        ("poll", {"url": OURS}, {"inbound": False}),
    ],
)
def test_findings(mode: str, info: object, wanted: dict[str, bool]) -> None:
    found = webhook_findings(settings(mode), info, OURS, NOW)
    assert {one.component.value: one.ok for one in found} == wanted
    assert all(bool(one.remedy) is not one.ok for one in found)


def test_of_a_foreign_address_nothing_is_shown() -> None:
    """It may hold somebody's token."""
    (found,) = webhook_findings(settings(), {"url": "https://elsewhere.example/bot1:secret"}, OURS, NOW)
    assert "secret" not in found.detail


def test_a_refused_delivery_names_the_secret() -> None:
    info = {
        "url": OURS,
        "pending_update_count": 2,
        "last_error_date": NOW,
        "last_error_message": "Wrong response from the webhook: 403 Forbidden",
    }
    assert "secret" in webhook_findings(settings(), info, OURS, NOW)[1].remedy
    assert "public_url" in webhook_findings(settings(), {**info, "last_error_message": "Connection timed out"}, OURS, NOW)[1].remedy
    assert account_finding({"username": "x_bot"}, "").ok
    assert not account_finding(None, "Unauthorized").ok


def test_a_line_is_one_line() -> None:
    at = datetime(2026, 11, 3, tzinfo=UTC)
    made = Interaction(id="log_1", channel="x", at=at, kind=InteractionKind.SEND, ok=False, detail="a\nb\x1b[31m\u2028c", code="1")
    assert "\n" not in line(made)
    assert "\x1b" not in line(made)
