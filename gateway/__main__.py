"""``sportello``: see ``sportello --help``."""

import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

from cyclopts import App

from config import ConfigError
from gateway.admin import AdminError
from gateway.cli import backup, channels, connectors, inspect, nodes, outbox, people, run
from gateway.cli.common import FAILED, UserError, complain
from gateway.keys import BadKey
from gateway.listener import CannotListen
from gateway.server import DiskLost
from storage.errors import StorageError

_HELP = """Sportello: every message of a shop's customers in one stream, one history, one inbox.

Begin with: sportello demo
"""
#: What a person can do something about; anything else is our bug, and shows where it is.
_EXPECTED = (ConfigError, AdminError, UserError, CannotListen, DiskLost, BadKey, StorageError)


def build_app() -> App:
    """The command line as cyclopts sees it."""
    app = App(name="sportello", help=_HELP, version=_version())
    for group in (run, inspect, people, channels, connectors, nodes, outbox, backup):
        group.register(app)
    return app


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and exit: 0 done, 1 not possible, 2 not understood. Errors are lines; ``--debug`` shows the trace."""
    tokens = list(sys.argv[1:] if arguments is None else arguments)
    try:
        status = build_app()(tokens, result_action="return_value")
    except _EXPECTED as error:
        if "--debug" in tokens:
            raise
        for line in str(error).splitlines():
            complain(f"sportello: {line}")
        sys.exit(FAILED)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        if "--debug" in tokens:
            raise
        complain(f"sportello: this should not have happened: {type(error).__name__}: {error}. Add --debug for the stack trace.")
        sys.exit(FAILED)
    sys.exit(status if isinstance(status, int) else 0)


def _version() -> str:
    try:
        return version("sportello")
    except PackageNotFoundError:
        return "not installed"


if __name__ == "__main__":
    main()
