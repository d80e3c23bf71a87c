"""What all commands share: where the configuration is, how they speak, and how they reach the database."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
from cyclopts import Parameter

from config import Config, load_config
from config.load import FILE_VARIABLE
from gateway.admin import Admin, AdminError, Order, send_order
from gateway.channels import plan_channels
from gateway.log import configure
from gateway.server import admin_of
from gateway.wiring import open_gateway
from storage.errors import Unavailable

#: Exit status of a command that was understood and could not be done.
FAILED: Final = 1


class UserError(Exception):
    """The command cannot do what was asked; the message is one clear line."""


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class Common:
    """Options of every command."""

    config: Annotated[
        Path | None, Parameter(name=["--config", "-c"], help=f"Configuration file; else {FILE_VARIABLE}, else ./sportello.toml.")
    ] = None
    data_dir: Annotated[Path | None, Parameter(name="--data-dir", help="Folder for the database, files and keys.")] = None
    debug: Annotated[bool, Parameter(name="--debug", negative="", help="Show stack traces of errors.")] = False

    def load(self, flags: Mapping[str, str] | None = None) -> Config:
        """The configuration; ``flags`` are further dotted keys. Raises ConfigError."""
        said = dict(flags or {})
        if self.data_dir is not None:
            said["data_dir"] = str(self.data_dir)
        return load_config(self.config, os.environ, said)


#: The options when none are given.
STANDARD: Final = Common()


def say(text: str) -> None:
    """One piece of output."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def complain(text: str) -> None:
    """One line of error."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def show_table(head: list[str], rows: list[list[str]]) -> None:
    """Columns as wide as they need; control characters made visible."""
    clean = [[msgspec.json.encode(cell).decode()[1:-1] if not cell.isprintable() else cell for cell in row] for row in [head, *rows]]
    widths = [max(len(row[index]) for row in clean) for index in range(len(head))]
    for row in clean:
        say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


async def perform(config: Config, name: str, /, **arguments: Any) -> Any:
    """Carry out an order: in the gateway that runs on this data, or else directly. Raises AdminError, storage errors."""
    order = Order(name, arguments)
    try:
        return await send_order(Path(config.data_dir), order)
    except (FileNotFoundError, ConnectionError, OSError) as error:
        if isinstance(error, TimeoutError):
            raise AdminError("the running gateway did not answer in time") from error
    configure("error", "auto")
    try:
        async with open_gateway(config, workers=False) as services:
            admin: Admin = admin_of(services)
            # The same road as over the socket, so that both give the same shapes.
            return msgspec.to_builtins(await admin.perform(order))
    except Unavailable as error:
        raise AdminError(f"{error}. If that is a gateway that is just starting, try again in a moment") from error


def check_channels(config: Config) -> None:
    """Raises ConfigError if a channel's settings are wrong."""
    plan_channels(config)


def read_password(*, from_stdin: bool, prompt: Any) -> str:
    """From standard input, or asked twice on the terminal; never from the command line, which everybody can see."""
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        raise UserError("there is no terminal to ask for the password: give it on standard input, with --password-stdin")
    first: str = prompt("New password: ")
    if prompt("Once more: ") != first:
        raise UserError("the two passwords differ; nothing was changed")
    return first
