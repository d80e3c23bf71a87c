"""A gateway with two WhatsApp numbers of a simulated Meta, and people on both sides."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from config import ChannelConfig
from connectors.abilities import Provisioner
from storage.protocol import WHOLE
from tests.support.cast import Cast, assemble
from tests.support.gateway import CHANNELS, gateway_config, running_gateway
from tests.support.graph import Bench, raw_settings, signed_headers, whatsapp_bench
from tests.support.waiting import DEADLINE

OTHER = "106540352242999"
Json = dict[str, Any]


@dataclass
class Town:
    """A gateway with its people, and WhatsApp with phones."""

    cast: Cast
    bench: Bench

    async def lines(self, conversation: Json) -> list[Json]:
        found: list[Json] = (await self.cast.sue.get(f"/conversations/{conversation['id']}/messages")).json["items"]
        return found

    async def post(self, body: bytes, headers: dict[str, str] | None = None) -> int:
        """A webhook, as Meta would post it."""
        headers = signed_headers(body) if headers is None else headers
        return (await self.cast.gateway.request("POST", "/webhooks/shop", data=body, headers=headers))[0]

    async def events(self, channel: str = "shop") -> list[Json]:
        """What the channel has brought into the stream."""
        recorded = await self.cast.gateway.services.store.read(WHOLE, 0, 100_000)
        return [json.loads(one.entry.data) for one in recorded if one.entry.channel == channel]

    async def reply(self, conversation: Json, **body: Any) -> Json:
        answer = await self.cast.ada.post(f"/conversations/{conversation['id']}/messages", body)
        assert answer.status == 201, answer.raw
        found: Json = answer.json
        return found

    async def until_line(self, conversation: Json, wanted: Any) -> Json:
        """The newest outbound line once it is as wanted."""
        async with asyncio.timeout(DEADLINE):
            while True:
                lines = [line for line in await self.lines(conversation) if line["kind"] == "outbound"]
                if lines and wanted(lines[-1]):
                    return lines[-1]
                await asyncio.sleep(0.02)


@asynccontextmanager
async def whatsapp_town(folder: Path) -> AsyncIterator[Town]:
    """Two numbers, their gateway on ``folder``, and people on both sides."""
    async with whatsapp_bench() as bench:
        number = ChannelConfig(kind="whatsapp", title="WhatsApp", settings=raw_settings(bench.root))
        second = ChannelConfig(kind="whatsapp", title="The other number", settings=raw_settings(bench.root, phone_number_id=OTHER))
        config = gateway_config(folder, {"web": CHANNELS["web"], "shop": number, "second": second})
        async with running_gateway(config) as gateway:
            client = gateway.services.channels["shop"].client
            assert isinstance(client, Provisioner)
            # Meta asks the challenge before it trusts the address.
            assert "come to our address" in await client.provision(f"{gateway.url}/webhooks/shop")
            yield Town(await assemble(gateway), bench)


async def begun(town: Town, text: str = "Ciao, siete aperti?", id_: str = "") -> tuple[str, Json]:
    """Somebody writes; who, and the conversation."""
    person = await town.bench.phones.person("Cleo Bianchi", id_)
    async with town.cast.ada.feed() as feed:
        await town.bench.phones.say(person, text)
        frame = await feed.until(lambda frame: frame["type"] == "message.added" and frame["data"]["message"]["kind"] == "inbound")
    assert frame["data"]["message"]["parts"] == [{"type": "text", "text": text}]
    conversation: Json = frame["data"]["conversation"]
    return person, conversation


async def from_shop(town: Town, person: str) -> list[Json]:
    return await town.bench.phones.lines(person, from_shop=True)
