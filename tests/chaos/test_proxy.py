"""The bad network does what it says, and nothing else."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from time import monotonic

import pytest

from tests.chaos.proxy import PG_COMMIT, ChaosProxy, Trap, Way, chaos_proxy, storming
from tests.support.waiting import until


@dataclass
class Echo:
    """A server that answers each line with the same line, and remembers what it got."""

    port: int = 0
    got: list[bytes] = field(default_factory=list)
    ends: list[str] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                self.got.append(line)
                writer.write(line)
                await writer.drain()
            self.ends.append("end")
        except ConnectionError:
            self.ends.append("reset")
        finally:
            writer.close()


@pytest.fixture
async def echo() -> AsyncIterator[Echo]:
    found = Echo()
    server = await asyncio.start_server(found.serve, "127.0.0.1", 0)
    found.port = server.sockets[0].getsockname()[1]
    yield found
    server.close()


@pytest.fixture
async def proxy(echo: Echo) -> AsyncIterator[ChaosProxy]:
    async with chaos_proxy(echo.port) as opened:
        yield opened


class Client:
    """A client of the echo."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def say(self, line: bytes) -> bytes:
        self.writer.write(line)
        async with asyncio.timeout(60):
            return await self.reader.readline()

    async def silent(self, seconds: float = 0.2) -> bool:
        """Nothing comes."""
        try:
            async with asyncio.timeout(seconds):
                await self.reader.read(1)
        except TimeoutError:
            return True
        return False


@contextlib.asynccontextmanager
async def client(proxy: ChaosProxy) -> AsyncIterator[Client]:
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    try:
        yield Client(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def test_a_fine_day_changes_nothing(proxy: ChaosProxy, echo: Echo) -> None:
    big = b"x" * 60_000 + b"\n"
    async with client(proxy) as one, client(proxy) as two:
        assert await one.say(b"a\n") == b"a\n"
        assert await two.say(big) == big
    await until(lambda: echo.ends == ["end", "end"])
    await until(lambda: not proxy.links)
    assert proxy.accepted == 2


async def test_delay_and_trickle_and_back(proxy: ChaosProxy) -> None:
    async with client(proxy) as one:
        proxy.suffer(delay=0.1)
        began = monotonic()
        assert await one.say(b"a\n") == b"a\n"
        assert monotonic() - began >= 0.2
        proxy.clear()
        proxy.suffer(rate=1000)
        began = monotonic()
        assert await one.say(b"x" * 199 + b"\n") == b"x" * 199 + b"\n"
        assert monotonic() - began >= 0.2
        proxy.clear()
        quickest = 1.0
        for _ in range(10):
            began = monotonic()
            assert await one.say(b"a\n") == b"a\n"
            quickest = min(quickest, monotonic() - began)
        assert quickest < 0.1


async def test_one_connection_may_have_its_own_weather(proxy: ChaosProxy) -> None:
    async with client(proxy) as one:
        assert await one.say(b"a\n") == b"a\n"
        (link,) = proxy.links
        async with client(proxy) as two:
            assert await two.say(b"a\n") == b"a\n"
            link.suffer(mute=frozenset({Way.DOWN}))
            one.writer.write(b"b\n")
            assert await two.say(b"b\n") == b"b\n"
            assert await one.silent()


@pytest.mark.parametrize(("way", "arrives"), [(Way.UP, False), (Way.DOWN, True)])
async def test_a_half_open_connection_is_silent_one_way_only(proxy: ChaosProxy, echo: Echo, way: Way, *, arrives: bool) -> None:
    async with client(proxy) as one:
        assert await one.say(b"a\n") == b"a\n"
        proxy.suffer(mute=frozenset({way}))
        one.writer.write(b"b\n")
        assert await one.silent()
        assert (b"b\n" in echo.got) == arrives


async def test_a_deaf_server_accepts_and_never_answers(proxy: ChaosProxy, echo: Echo) -> None:
    proxy.suffer(deaf=True)
    async with client(proxy) as one:
        one.writer.write(b"a\n")
        assert await one.silent()
    assert echo.got == []
    proxy.clear()
    async with client(proxy) as two:
        assert await two.say(b"b\n") == b"b\n"


async def test_a_reset_is_a_reset(proxy: ChaosProxy, echo: Echo) -> None:
    async with client(proxy) as one, client(proxy) as two:
        assert await one.say(b"a\n") == b"a\n"
        assert await two.say(b"a\n") == b"a\n"
        assert proxy.reset() == 2
        for each in (one, two):
            with pytest.raises(ConnectionResetError):
                await each.say(b"b\n")
    await until(lambda: echo.ends == ["reset", "reset"])


async def test_refused_connections_and_the_same_port_again(proxy: ChaosProxy) -> None:
    port = proxy.port
    async with client(proxy) as before:
        await proxy.refuse()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)
        assert await before.say(b"a\n") == b"a\n"
        await proxy.open()
        assert proxy.port == port
        async with client(proxy) as after:
            assert await after.say(b"b\n") == b"b\n"


@pytest.mark.parametrize("deliver", [True, False])
async def test_a_trap_at_a_pattern_on_the_way_up(proxy: ChaosProxy, echo: Echo, *, deliver: bool) -> None:
    """The server has heard it or not; the client never learns which."""
    trap = proxy.lay(Trap(Way.UP, pattern=PG_COMMIT, deliver=deliver))
    async with client(proxy) as one:
        assert await one.say(b"work\n") == b"work\n"
        one.writer.write(b"COM")  # the pattern may come in pieces
        await until(lambda: next(iter(proxy.links))._passed[Way.UP] == 8)
        with pytest.raises(ConnectionResetError):
            await one.say(b"MIT\x00\n")
    await asyncio.wait_for(trap.sprung.wait(), 60)
    await until(lambda: len(echo.ends) == 1)
    # What came before the fatal piece is a line without an end; what matters is that the rest came through or not.
    assert (PG_COMMIT in echo.got) == deliver
    async with client(proxy) as two:
        assert await two.say(PG_COMMIT + b"\n") == PG_COMMIT + b"\n"  # it has sprung once, and that was all


async def test_a_trap_on_the_way_down_lets_the_work_be_done(proxy: ChaosProxy, echo: Echo) -> None:
    trap = proxy.lay(Trap(Way.DOWN, pattern=PG_COMMIT))
    async with client(proxy) as one:
        with pytest.raises(ConnectionResetError):
            await one.say(b"C COMMIT\x00Z and more\n")
    assert echo.got == [b"C COMMIT\x00Z and more\n"]
    assert trap.sprung.is_set()


async def test_a_trap_at_the_nth_byte(proxy: ChaosProxy, echo: Echo) -> None:
    proxy.lay(Trap(Way.UP, at=4, deliver=True, times=2))
    for _ in range(2):
        async with client(proxy) as one:
            with pytest.raises(ConnectionResetError):
                await one.say(b"12\n45\n")
    await until(lambda: len(echo.ends) == 2)
    assert echo.got == [b"12\n", b"4", b"12\n", b"4"]
    with pytest.raises(ValueError, match="a pattern or"):
        Trap(Way.UP)


async def test_no_server_behind_it_is_a_reset() -> None:
    async with chaos_proxy(1) as nowhere, client(nowhere) as one:
        with pytest.raises(ConnectionResetError):
            await one.say(b"a\n")


async def test_resets_again_and_again(proxy: ChaosProxy) -> None:
    cut = 0
    async with storming(proxy, lambda: 0.01):
        for _ in range(5):
            with contextlib.suppress(OSError):
                async with client(proxy) as one:
                    while await one.say(b"a\n"):
                        pass
            cut += 1
    assert cut == 5
    async with client(proxy) as one:
        assert await one.say(b"a\n") == b"a\n"
