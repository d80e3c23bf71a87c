"""A connector by somebody else: short, installed as a package of its own, found, judged, and at work in a running gateway."""

import hashlib
import hmac
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from config import ChannelConfig
from connectors.registry import kinds, load_connector
from storage.protocol import WHOLE
from tests.support.cast import Cast, assemble
from tests.support.gateway import CHANNELS, gateway_config, running_gateway
from tests.support.serving import serving

ROOT = Path(__file__).parents[2]
PIGEON = Path(__file__).parent / "pigeon"
KEY = "canary-key-of-the-loft"
SECRET = "canary-webhook-secret"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package built and installed as any other, but offline and into a folder of its own."""
    target = tmp_path_factory.mktemp("installed")
    program = Path(sys.executable).with_name("uv")
    command = [
        str(program),
        "pip",
        "install",
        "--offline",
        "--no-deps",
        "--no-cache",
        "--python",
        sys.executable,
        "--target",
        str(target),
        str(PIGEON),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    return target


@pytest.fixture
def at_hand(installed: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(str(installed))
    before = sys.modules.pop("sportello_pigeon", None)
    yield installed
    sys.modules.pop("sportello_pigeon", None)
    if before is not None:
        sys.modules["sportello_pigeon"] = before


def test_it_has_fewer_than_a_hundred_lines() -> None:
    lines = [line.strip() for line in (PIGEON / "sportello_pigeon" / "__init__.py").read_text("utf-8").splitlines()]
    assert len([line for line in lines if line and not line.startswith("#")]) < 100
    assert max(map(len, lines)) <= 140
    assert [path.name for path in (PIGEON / "sportello_pigeon").glob("*.py")] == ["__init__.py"]


def test_it_is_found_by_its_entry_point(at_hand: Path) -> None:
    assert "pigeon" in kinds()
    found = load_connector("pigeon")
    file = sys.modules[found.parse.__module__].__file__
    assert file is not None
    assert Path(file).is_relative_to(at_hand)


def test_it_passes_the_kit(installed: Path) -> None:
    """By the command, in a process of its own, by its kind."""
    environment = {**os.environ, "PYTHONPATH": f"{installed}{os.pathsep}{ROOT}"}
    command = [sys.executable, "-m", "gateway", "connector", "test", "pigeon"]
    done = subprocess.run(command, env=environment, cwd=PIGEON, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "pigeon: 19 passed, 1 exempt"
    assert "C16  exempt" in done.stdout
    assert KEY not in done.stdout + done.stderr


@dataclass
class Loft:
    """Pigeon's API, as its README has it."""

    letters: list[dict[str, Any]] = field(default_factory=list)
    refuses: str = ""

    async def letter(self, request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != f"Bearer {KEY}":
            return web.json_response({"error": "key_refused", "words": "this key opens nothing"}, status=401)
        if self.refuses:
            return web.json_response({"error": self.refuses, "words": "in so many words"}, status=403)
        self.letters.append(await request.json())
        return web.json_response({"id": f"letter-{len(self.letters)}"}, status=201)

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/v1/letters", self.letter)
        return app


@dataclass(frozen=True)
class Town:
    """A gateway with its people, and a loft."""

    cast: Cast
    loft: Loft

    async def fly(self, **entry: Any) -> int:
        """A webhook, as Pigeon would send it."""
        body = json.dumps({"entries": [{"loft": "loft-1", "at": 1795262400, **entry}]}).encode()
        signature = "sha256=" + hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
        headers = {"X-Pigeon-Signature": signature, "Content-Type": "application/json"}
        return (await self.cast.gateway.request("POST", "/webhooks/loft", data=body, headers=headers))[0]


@pytest.fixture
async def town(at_hand: Path, tmp_path: Path) -> AsyncIterator[Town]:
    del at_hand
    loft = Loft()
    async with serving(loft.app()) as address:
        settings = {"loft": "loft-1", "key": KEY, "webhook_secret": SECRET, "api_base": address}
        pigeon = ChannelConfig(kind="pigeon", title="Pigeon", settings=settings)
        async with running_gateway(gateway_config(tmp_path, {"web": CHANNELS["web"], "loft": pigeon})) as gateway:
            yield Town(await assemble(gateway), loft)


async def test_there_and_back_through_a_running_gateway(town: Town) -> None:
    async with town.cast.ada.feed() as feed:
        assert await town.fly(id="e1", type="letter", who="loft-17", name="Cleo", text="Ciao, siete aperti?") == 200
        frame = await feed.until(lambda frame: frame["type"] == "message.added")
        assert frame["data"]["message"]["parts"] == [{"type": "text", "text": "Ciao, siete aperti?"}]
        conversation = frame["data"]["conversation"]["id"]
        await town.cast.ada.post(f"/conversations/{conversation}/messages", {"text": "Sì, fino alle 19."})
        await feed.until(lambda frame: frame["type"] == "message.status_changed" and frame["data"]["message"]["status"] == "sent")
        (letter,) = town.loft.letters
        assert (letter["to"], letter["text"]) == ("loft-17", "Sì, fino alle 19.")
        assert await town.fly(id="e2", type="opened", letter="letter-1") == 200
        await feed.until(lambda frame: frame["type"] == "message.status_changed" and frame["data"]["message"]["status"] == "read")
        town.loft.refuses = "loft_closed"
        await town.cast.ada.post(f"/conversations/{conversation}/messages", {"text": "Ancora?"})
        await feed.until(lambda frame: frame["type"] == "message.status_changed" and frame["data"]["message"]["status"] == "failed")


async def test_a_stranger_and_a_repetition_change_nothing(town: Town) -> None:
    for _ in range(3):
        assert await town.fly(id="e1", type="letter", who="loft-17", text="Ciao") == 200
    body = b'{"entries": [{"id": "e9", "type": "letter", "who": "loft-99", "text": "x"}]}'
    status, _, _ = await town.cast.gateway.request(
        "POST", "/webhooks/loft", data=body, headers={"X-Pigeon-Signature": "sha256=" + "0" * 64}
    )
    assert status == 403
    recorded = await town.cast.gateway.services.store.read(WHOLE, 0, 1000)
    assert len([one for one in recorded if one.entry.channel == "loft" and b"message.received" in one.entry.data]) == 1
    status, _, answer = await town.cast.gateway.request("GET", f"/webhooks/loft?token={SECRET}&challenge=115")
    assert (status, answer) == (200, b"115")
