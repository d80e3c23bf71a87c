"""``serve``, ``demo``, ``migrate``: the gateway itself."""

import asyncio
import contextlib
import os
import tempfile
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from config import load_config
from gateway import demo as demonstration
from gateway.channels import plan_channels, secrets_in
from gateway.cli.common import STANDARD, Common, say
from gateway.crashpoint import CrashPoints
from gateway.log import configure
from gateway.server import Occasion, run_gateway
from gateway.wiring import database_url
from storage import migrate_store

Host = Annotated[str | None, Parameter(name="--host", help="Address to listen on.")]
Port = Annotated[int | None, Parameter(name=["--port", "-p"], help="Port to listen on; 0 takes a free one.")]


def register(app: App) -> None:
    """Add these commands."""
    app.command(serve)
    app.command(demo)
    app.command(migrate)


async def serve(*, host: Host = None, port: Port = None, common: Common = STANDARD) -> None:
    """Run the gateway until Ctrl+C or SIGTERM.

    Logs go to standard error. The database is brought up to date first.
    """
    flags = {"server.host": host, "server.port": None if port is None else str(port)}
    config = common.load({key: text for key, text in flags.items() if text is not None})
    secrets = [secret for plan in plan_channels(config) for secret in secrets_in(plan.settings)]
    configure(config.log.level, config.log.format, secrets=[*secrets, *secrets_in(config.server)])
    await run_gateway(config, Occasion(crash=CrashPoints.from_environment(os.environ)))


async def demo(
    *,
    port: Annotated[int, Parameter(name=["--port", "-p"], help="Port of 127.0.0.1 to listen on; 0 takes a free one.")] = 8080,
    data_dir: Annotated[Path, Parameter(help="Where the demo keeps its data.")] = Path(demonstration.DATA_DIR),
    fresh: Annotated[bool, Parameter(negative="", help="Begin with nothing, and keep nothing.")] = False,
    debug: Annotated[bool, Parameter(negative="", help="Show stack traces of errors.")] = False,
) -> None:
    """Try everything on this machine: a shop page with web chat, a phone, and the agents' inbox.

    Needs no configuration and no account anywhere; reads no configuration file.
    """
    configure("debug" if debug else "warning", "console")
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sportello-demo-"))) if fresh else data_dir
        config = load_config(None, {}, {"data_dir": str(folder), "server.port": str(port)})
        await run_gateway(config, demonstration.occasion(say))


async def migrate(*, common: Common = STANDARD) -> None:
    """Bring the database up to date without starting the gateway; ``serve`` does it too."""
    config = common.load()
    await asyncio.to_thread(Path(config.data_dir).mkdir, mode=0o700, parents=True, exist_ok=True)
    applied = await migrate_store(database_url(config))
    say(f"{database_url(config)}: applied {', '.join(applied)}." if applied else f"{database_url(config)} is up to date.")
