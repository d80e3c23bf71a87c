"""Clients that begin and never finish: they are hung up on, and nobody else waits."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from time import monotonic

import pytest

from gateway import patience
from gateway.web import dispatch
from tests.support.gateway import BOT_SECRET, RunningGateway, gateway_config, running_gateway

#: Each costs two descriptors of this process, which plays both sides.
HALVES = 2000
#: Requests of somebody else meanwhile.
GOOD = 100
#: At one every 50 ms that is more than ten times what the hasty gateway allows.
DRIPS = 400
HALF = b"POST /webhooks/bot HTTP/1.1\r\nHost: x\r\nX-Telegram-Bot-Api-Secret-Token: "


@contextlib.asynccontextmanager
async def halves(gateway: RunningGateway, number: int, begin: bytes) -> AsyncIterator[list[asyncio.StreamReader]]:
    """So many connections, each with the beginning of a request on it."""
    streams = []
    try:
        for _ in range(number):
            reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
            writer.write(begin)
            streams.append((reader, writer))
        yield [reader for reader, _ in streams]
    finally:
        for _, writer in streams:
            writer.transport.abort()


async def ended(reader: asyncio.StreamReader) -> bytes:
    """Everything that came until the other side hung up."""
    try:
        return await reader.read()
    except ConnectionError:
        return b""


async def good_traffic(gateway: RunningGateway, first: int) -> None:
    """Webhooks one after the other."""
    for number in range(first, first + GOOD):
        person = {"id": 5, "is_bot": False, "first_name": "Cleo"}
        message = {"message_id": number, "from": person, "chat": {"id": 5, "type": "private"}, "date": 1_790_000_000, "text": f"m{number}"}
        headers = {"X-Telegram-Bot-Api-Secret-Token": BOT_SECRET}
        body = {"update_id": number, "message": message}
        async with gateway.http.post(f"{gateway.url}/webhooks/bot", json=body, headers=headers) as answer:
            assert answer.status == 200


@pytest.fixture
async def hasty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[RunningGateway]:
    """A gateway with little patience, so that the test need not have more."""
    monkeypatch.setattr(patience, "HEAD_SECONDS", 1.5)
    monkeypatch.setattr(dispatch, "BODY_SECONDS", 1.0)
    async with running_gateway(gateway_config(tmp_path)) as running:
        yield running


async def test_two_thousand_half_requests_are_hung_up_on_and_nobody_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with running_gateway(gateway_config(tmp_path)) as gateway:
        # On a machine that stands still for a while the first are hung up on before the last is there: then with more patience.
        for patient in (4.0, 8.0, 16.0, 32.0):
            monkeypatch.setattr(patience, "HEAD_SECONDS", patient)
            began = monotonic()
            async with halves(gateway, HALVES, HALF) as readers:
                await good_traffic(gateway, first=int(patient) * 1000)
                nobody_waited = monotonic() - began < patient
                assert not nobody_waited or not any(reader.at_eof() for reader in readers)
                async with asyncio.timeout(30 + patient):
                    rest = await asyncio.gather(*(ended(reader) for reader in readers))
            assert set(rest) == {b""}
            if nobody_waited:
                break
        assert nobody_waited
        await good_traffic(gateway, first=900_000)


@pytest.mark.parametrize(
    "begin",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"POS", id="half a method"),
        pytest.param(HALF, id="half a header"),
        pytest.param(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET /heal", id="half of the second"),
    ],
)
async def test_who_does_not_finish_the_head_is_hung_up_on(hasty: RunningGateway, begin: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", hasty.port)
    writer.write(begin)
    await asyncio.sleep(0)
    if begin.startswith(b"GET"):
        assert b"200 OK" in await reader.readuntil(b'"ok"')
        writer.write(b"thz")
    async with asyncio.timeout(60):
        await ended(reader)
    writer.close()


async def test_a_drip_does_not_prolong_the_time(hasty: RunningGateway) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", hasty.port)
    reading = asyncio.create_task(ended(reader))
    with contextlib.suppress(ConnectionError):
        for byte in HALF + b"x" * DRIPS:
            if reading.done():
                break
            writer.write(bytes([byte]))
            await asyncio.sleep(0.05)
        else:
            pytest.fail("a byte now and then was enough")
    await reading
    writer.close()


async def test_a_body_that_drips_is_refused(hasty: RunningGateway) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", hasty.port)
    writer.write(HALF + BOT_SECRET.encode() + b"\r\nContent-Length: 1000\r\n\r\n")
    answer = asyncio.create_task(reader.readuntil(b"\r\n\r\n"))
    for _ in range(DRIPS):
        if answer.done():
            break
        writer.write(b"{")
        await asyncio.sleep(0.05)
    else:
        pytest.fail("a byte now and then was enough")
    assert b" 408 " in await answer
    writer.transport.abort()


async def test_a_connection_between_two_requests_is_not_hurried(hasty: RunningGateway) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", hasty.port)
    for _ in range(2):
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"200 OK" in await reader.readuntil(b'"ok"')
        await asyncio.sleep(2.0)
        await reader.read(1000)
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    assert b"200 OK" in await reader.readuntil(b'"ok"')
    writer.close()
