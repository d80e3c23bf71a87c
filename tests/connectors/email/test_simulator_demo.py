"""The demo's e-mail: what is written on the phone is pushed out of a real mailbox, and what agents answer is on the phone."""

import asyncio
import dataclasses
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from connectors.email.client import EmailClient
from gateway.demo import occasion
from gateway.server import run_gateway
from gateway.services import Services
from tests.support.cast import assemble
from tests.support.gateway import RunningGateway, gateway_config
from tests.support.waiting import until


async def test_a_mail_there_and_back(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    stop, started = asyncio.Event(), asyncio.get_running_loop().create_future()

    async def ready(services: Services) -> None:
        started.set_result(services)

    demo = dataclasses.replace(occasion(lambda _: None), ready=ready)
    server = asyncio.create_task(run_gateway(gateway_config(tmp_path, {}), demo, stop))
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http:
        try:
            await asyncio.wait({server, started}, return_when=asyncio.FIRST_COMPLETED)
            services: Services = started.result()
            await _talk(RunningGateway(services, http), services)
        finally:
            stop.set()
            await server
    assert "email.imap_failed" not in caplog.text


async def _talk(gateway: RunningGateway, services: Services) -> None:
    cast, base = await assemble(gateway), f"{gateway.url}/sim/email/control"

    async def control(path: str, body: dict[str, Any]) -> dict[str, Any]:
        async with gateway.http.post(f"{base}/{path}", json=body) as answer:
            assert answer.status < 300, await answer.text()
            found: dict[str, Any] = await answer.json()
            return found

    async def read() -> list[str]:
        async with gateway.http.get(f"{base}/state") as answer:
            return [line["text"] for line in (await answer.json())["lines"] if line["from_shop"]]

    client = services.channels["email"].client
    assert isinstance(client, EmailClient)
    # By push alone: the next look would come minutes later.
    await until(lambda: bool(client.readers) and client.readers[0].state.listening.is_set() and client.readers[0].state.pushes)
    cleo = (await control("people", {"name": "Cleo"}))["id"]
    async with cast.sue.feed() as feed:
        await control(f"people/{cleo}/messages", {"text": "Do you ship to Elba?", "subject": "Elba"})
        frame = await feed.until(lambda one: one["type"] == "message.added")
    assert frame["data"]["message"]["parts"][-1]["text"] == "Do you ship to Elba?"
    posted = await cast.sue.post(f"/conversations/{frame['data']['conversation']['id']}/messages", {"text": "Within two days."})
    assert posted.status == 201, posted.raw

    async def arrived() -> bool:
        return await read() == ["Within two days."]

    await until(arrived)
    async with gateway.http.get(f"{base}/mailbox") as answer:
        folders = {one["name"]: one["mails"] for one in (await answer.json())["folders"]}
    assert (folders["INBOX"], folders["Sent"]) == (1, 1)
