"""``serve``, ``demo``, ``migrate``: the gateway itself."""

import asyncio
import contextlib
import os
import tempfile
from pathlib import Path
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

import structlog
from cyclopts import App, Parameter

from config import Config, load_config
from gateway import demo as demonstration
from gateway.channels import plan_channels, secrets_in
from gateway.cli.common import FAILED, STANDARD, Common, UserError, say
from gateway.crashpoint import CrashPoints
from gateway.log import configure
from gateway.loop import run
from gateway.processes import own_command, run_processes, seat_from
from gateway.server import Occasion, run_gateway
from gateway.wiring import database_url, without_password
from storage import migrate_store

Host = Annotated[str | None, Parameter(name="--host", help="Address to listen on.")]
Port = Annotated[int | None, Parameter(name=["--port", "-p"], help="Port to listen on; 0 takes a free one.")]
Roles = Annotated[
    tuple[Literal["edge", "router", "sender", "all"], ...],
    Parameter(
        name="--role", negative="", help="What this node does; may be repeated: the web server, giving work to agents, sending replies."
    ),
]
Processes = Annotated[int | None, Parameter(name="--processes", help="How many processes to run on this machine; needs PostgreSQL.")]
ROLES: Final = ("edge", "router", "sender")


def register(app: App) -> None:
    """Add these commands."""
    app.command(serve)
    app.command(demo)
    app.command(migrate)


def serve(
    *,
    host: Host = None,
    port: Port = None,
    role: Roles = (),
    processes: Processes = None,
    node: Annotated[str | None, Parameter(name="--node", help="Name of this node in lists and logs.")] = None,
    common: Common = STANDARD,
) -> int:
    """Run the gateway until Ctrl+C or SIGTERM.

    Logs go to standard error. The database is brought up to date first.
    """
    flags = {
        "server.host": host,
        "server.port": None if port is None else str(port),
        "node.roles": ",".join(ROLES if "all" in role else role) or None,
        "node.processes": None if processes is None else str(processes),
        "node.id": node,
    }
    config = common.load({key: text for key, text in flags.items() if text is not None})
    seat = seat_from(os.environ)
    secrets = [secret for plan in plan_channels(config) for secret in secrets_in(plan.settings)]
    secrets += [secret for section in (config.server, config.storage, config.bus) for secret in secrets_in(section)]
    configure(config.log.level, config.log.format, secrets=secrets)
    if seat is None and config.node.processes > 1:
        check_processes(config)
        return 0 if run(run_processes(config, own_command(), os.environ)) else FAILED
    if seat is not None:
        structlog.contextvars.bind_contextvars(slot=seat.slot)
        config = seat.settle(config)
    run(run_gateway(config, Occasion(crash=CrashPoints.from_environment(os.environ), seat=seat)))
    return 0


def check_processes(config: Config) -> None:
    """Raises UserError if the database is for one process."""
    if urlsplit(database_url(config)).scheme == "sqlite":
        number = config.node.processes
        raise UserError(f"{number} processes cannot share SQLite: set storage.url to a PostgreSQL, or node.processes (--processes) to 1")


def demo(
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
        run(run_gateway(config, demonstration.occasion(say)))


async def migrate(*, common: Common = STANDARD) -> None:
    """Bring the database up to date without starting the gateway; ``serve`` does it too."""
    config = common.load()
    await asyncio.to_thread(Path(config.data_dir).mkdir, mode=0o700, parents=True, exist_ok=True)
    applied = await migrate_store(database_url(config))
    name = without_password(database_url(config))
    say(f"{name}: applied {', '.join(applied)}." if applied else f"{name} is up to date.")
