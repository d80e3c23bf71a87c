"""The mail world against a whole gateway: a person writes, the shop answers, and things go wrong to order."""

import base64
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from config import ChannelConfig
from connectors.email.simulator import WORLD, World, create_simulator_app
from tests.support.cast import Cast, assemble
from tests.support.gateway import CHANNELS, gateway_config, running_gateway
from tests.support.mail import ADDRESS, AUTHSERV, BASE, WEBHOOK_SECRET, until
from tests.support.telegram import serving


@dataclass
class Town:
    cast: Cast
    world: World
    base: str
    session: aiohttp.ClientSession

    async def control(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        async with self.session.post(f"{self.base}/control/{path}", json=body) as answer:
            assert answer.status < 300, await answer.text()
            found: dict[str, Any] = await answer.json()
            return found

    async def says(self, person: str, **message: Any) -> dict[str, Any]:
        async with self.cast.sue.feed() as feed:
            await self.control(f"people/{person}/messages", message)
            frame = await feed.until(lambda one: one["type"] == "message.added" and one["data"]["message"]["kind"] == "inbound")
        data: dict[str, Any] = frame["data"]
        return data

    async def answers(self, seen: dict[str, Any], text: str, status: str = "sent") -> None:
        async with self.cast.sue.feed() as feed:
            posted = await self.cast.sue.post(f"/conversations/{seen['conversation']['id']}/messages", {"text": text})
            assert posted.status == 201, posted.raw
            await feed.until(lambda one: one["type"] == "message.status_changed" and one["data"]["message"]["status"] == status)

    def read_by(self, person: str) -> list[str]:
        return [line.text for line in self.world.phone.lines.values() if line.person == person and line.from_shop]


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[Town]:
    app: web.Application = create_simulator_app(address=ADDRESS, webhook="", secret=WEBHOOK_SECRET, authserv=AUTHSERV)
    async with serving(app) as base, aiohttp.ClientSession() as session:
        world = app[WORLD]
        smtp = {"host": "127.0.0.1", "port": world.smtp_port, "security": "none", "timeout": 5.0}
        channel = ChannelConfig(kind="email", title="Mail", settings={**BASE, "smtp": smtp})
        async with running_gateway(gateway_config(tmp_path, {"web": CHANNELS["web"], "mail": channel})) as gateway:
            world.webhook = f"{gateway.url}/webhooks/mail"
            yield Town(await assemble(gateway), world, base, session)


async def test_a_conversation_with_a_file(town: Town) -> None:
    cleo = (await town.control("people", {"name": "Cleo Bianchi"}))["id"]
    picture = base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"\0" * 32).decode()
    seen = await town.says(
        cleo, subject="Red shoes", text="Are they back?", files=[{"data": picture, "mime": "image/png", "name": "shoe.png"}]
    )
    assert [part["type"] for part in seen["message"]["parts"]] == ["envelope", "text", "media"]
    await town.answers(seen, "Yes, in 42.")
    await until(lambda: town.read_by(cleo) == ["Yes, in 42."])
    again = await town.says(cleo, text="I take them!")
    assert again["conversation"]["id"] == seen["conversation"]["id"]
    assert again["message"]["reply_to"]
    (line,) = (one for one in town.world.phone.lines.values() if one.from_shop)
    assert line.subject == "Re: Red shoes"


async def test_a_lost_network_holds_the_mail_back(town: Town) -> None:
    cleo = (await town.control("people", {"name": "Cleo"}))["id"]
    await town.control(f"people/{cleo}/network", {"online": False})
    await town.control(f"people/{cleo}/messages", {"text": "later"})
    async with town.cast.sue.feed() as feed:
        await town.control(f"people/{cleo}/network", {"online": True})
        await feed.until(lambda one: one["type"] == "message.added")


async def test_faults_and_their_consequences(town: Town) -> None:
    cleo = (await town.control("people", {"name": "Cleo"}))["id"]
    seen = await town.says(cleo, text="hi")
    await town.control("faults", {"kind": "500"})
    await town.answers(seen, "after a greylisting")
    await town.control("faults", {"kind": "later"})
    await town.answers(seen, "bounces later", status="failed")
    await town.control(f"people/{cleo}/block", {"blocked": True})
    await town.answers(seen, "to nobody", status="failed")
    assert town.read_by(cleo) == ["after a greylisting", "bounces later"]
