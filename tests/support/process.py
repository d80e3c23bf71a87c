"""The gateway as its operators run it: a process of its own, which can be killed and started again."""

import asyncio
import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import aiohttp

from config import Config, load_config
from gateway.credentials import TOKEN_DAYS, issue_token
from gateway.wiring import open_gateway
from gateway.work.actor import GATEWAY, command_id
from routing.command import PutAgent, SetMember, SetPresence
from storage.record import Agent, Presence, Role
from tests.support.ports import free_port
from tests.support.telegram import SECRET, TOKEN

ROOT = Path(__file__).parents[2]
READY_SECONDS = 90.0

__all__ = ["SECRET", "TOKEN", "GatewayProcess", "free_port", "seed_agent", "write_config"]


def write_config(folder: Path, port: int, api_base: str, extra: str = "") -> Path:
    """A configuration with one Telegram bot, called ``shop``, at a simulator."""
    path = folder / "sportello.toml"
    path.write_text(
        f"""
data_dir = "{folder}/data"

[server]
port = {port}

[log]
level = "warning"
format = "json"

[channels.shop]
kind = "telegram"
token = "{TOKEN}"
secret_token = "{SECRET}"
api_base = "{api_base}"
{extra}
""",
        encoding="utf-8",
    )
    return path


async def seed_agent(config: Config, name: str = "Ada", role: Role = Role.ADMIN) -> str:
    """An agent in the default queue, on line, with room for everybody; returns an API token."""
    async with open_gateway(config, workers=False) as services:
        now = services.clock()
        router = services.router
        made = await router.handle(
            PutAgent(id=command_id(now), actor=GATEWAY, name=name, email=f"{name.lower()}@shop.example", role=role, capacity=1000)
        )
        assert isinstance(made, Agent)
        queue = await services.store.view(lambda tx: tx.queues.default())
        await router.handle(SetMember(id=command_id(now), actor=GATEWAY, queue_id=queue.id, agent_id=made.id, member=True))
        await router.handle(SetPresence(id=command_id(now), actor=GATEWAY, agent_id=made.id, presence=Presence.ONLINE))
        _, token = await services.store.transact(lambda tx: issue_token(tx, made.id, now, timedelta(days=TOKEN_DAYS)))
        return token


@dataclass
class GatewayProcess:
    """``sportello serve``. ``environment`` is added to this process's own."""

    config: Path
    port: int
    environment: Mapping[str, str] = field(default_factory=dict)
    #: What Python runs.
    program: tuple[str, ...] = ("-m", "gateway")
    process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def load(self) -> Config:
        return load_config(self.config, {}, {})

    async def start(self) -> None:
        """Start, and wait until it is ready."""
        log = (self.config.parent / "gateway.log").open("ab")
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, *self.program, "serve", "--config", str(self.config),
            cwd=ROOT, env={**os.environ, **self.environment}, stdout=log, stderr=log,
        )  # fmt: skip
        log.close()
        async with asyncio.timeout(READY_SECONDS), aiohttp.ClientSession() as session:
            while True:
                assert self.process.returncode is None, self.said()
                try:
                    async with session.get(f"{self.url}/readyz") as answer:
                        if answer.status == 200:
                            return
                except aiohttp.ClientError:
                    pass
                await asyncio.sleep(0.02)

    async def kill(self) -> None:
        """As the kernel does it when memory runs out: no chance to say good-bye."""
        assert self.process is not None
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGKILL)
        await self.process.wait()

    async def stop(self) -> int:
        """In good order; returns the exit status."""
        assert self.process is not None
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
        return await asyncio.wait_for(self.process.wait(), 60)

    async def dead(self, seconds: float = 60.0) -> None:
        """Wait until it has died by itself."""
        assert self.process is not None
        await asyncio.wait_for(self.process.wait(), seconds)

    def said(self) -> str:
        """Its log so far."""
        return (self.config.parent / "gateway.log").read_text(encoding="utf-8", errors="replace")[-4000:]
