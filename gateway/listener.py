"""The socket that a gateway listens on: alone, or on one port with other processes of the same parent."""

import contextlib
import socket
from typing import Final

from config import Config

BACKLOG: Final = 1024


class CannotListen(Exception):
    """The address cannot be listened on; the message says what to do."""


def bind(config: Config) -> socket.socket:
    """The listening socket: made before anything else, so that a port in use is found before the database is touched."""
    host, port = config.server.host, config.server.port
    try:
        return socket.create_server((host.strip("[]"), port), family=_family(host), backlog=BACKLOG)
    except OSError as error:
        raise _refused(config, error) from error


def share(config: Config) -> socket.socket:
    """A socket on a port that others share. It gets nothing before it listens: a process that is not ready keeps nobody waiting."""
    with contextlib.ExitStack() as stack:
        shared = stack.enter_context(socket.socket(_family(config.server.host), socket.SOCK_STREAM))
        try:
            shared.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            shared.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            shared.bind((config.server.host.strip("[]"), config.server.port))
        except OSError as error:
            raise _refused(config, error) from error
        stack.pop_all()
        return shared


def reserve(config: Config) -> socket.socket:
    """Takes the port for processes that will share it; it never listens itself. A port that another program listens on is refused."""
    bind(config).close()
    return share(config)


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _refused(config: Config, error: OSError) -> CannotListen:
    # Python adds the address to the system's words.
    reason = (error.strerror or "not possible").split(" (while", 1)[0].lower()
    return CannotListen(
        f"cannot listen on {config.server.host}:{config.server.port} ({reason}): "
        "choose another port by --port, or stop the program that uses it"
    )
