"""One connection to one server. The driver's types, exceptions and habits end in this file.

The driver opens the connection, logs in and takes replies apart. Its client classes are not used: they retry, pool and reconnect by
themselves, so that nobody could say how long a call takes. Here a call has one deadline, and a connection that failed once is done.
"""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

from redis.asyncio.connection import Connection, SSLConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as DriverConnectionError
from redis.exceptions import RedisError, ResponseError

from storage.errors import StorageError
from storage.redis_bus.address import Address, Host, Login
from storage.redis_bus.patience import Patience

#: What a server can answer. RESP2, on any server: strings are bytes.
Reply = bytes | int | None | list[Any]

_MOST_TEXT: Final = 200


class Away(StorageError):
    """A server cannot be used now; says why, without credentials."""


class Refused(Exception):
    """A server answered a command with an error: a value among the replies, and raised where there is but one."""


def pack(*command: bytes) -> bytes:
    """A command as it goes over the wire; several times as fast as the driver's own."""
    return b"*%d\r\n" % len(command) + b"".join([b"$%d\r\n%b\r\n" % (len(part), part) for part in command])


class Wire:
    """Used by one task at a time, but for :meth:`send`."""

    def __init__(self, host: Host, address: Address, login: Login) -> None:
        self.host = host
        self._secret = login.password.reveal()
        common: dict[str, Any] = {
            "host": host.name,
            "port": host.port,
            "db": address.database,
            "username": login.user or None,
            "password": self._secret or None,
            "protocol": 2,
            # All deadlines are ours.
            "socket_timeout": None,
            "socket_connect_timeout": None,
            "retry": Retry(NoBackoff(), 0),
            "socket_keepalive": True,
        }
        try:
            self._connection: Any = (
                SSLConnection(**common, ssl_ca_certs=address.ca or None, ssl_certfile=address.cert or None, ssl_keyfile=address.key or None)
                if address.tls
                else Connection(**common)
            )
        except Exception as error:  # whatever the driver says of files it cannot read
            raise Away(self.explain(error)) from error

    async def open(self) -> None:
        """Connect and log in. Raises Away."""
        try:
            await self._connection.connect()
        except Exception as error:  # the driver passes on what sockets, TLS and its own parser raise
            await self.close()
            raise Away(self.explain(error)) from error
        except BaseException:
            await self.close()
            raise

    async def send(self, packed: bytes) -> None:
        """Raises Away."""
        if not self._connection.is_connected:  # else the driver would connect anew, and the order of replies were lost
            raise Away(f"{self.host}: the connection is closed")
        try:
            await self._connection.send_packed_command(packed, check_health=False)
        except Exception as error:
            raise Away(self.explain(error)) from error

    async def receive(self) -> Reply | Refused:
        """The next reply. Raises Away."""
        if not self._connection.is_connected:
            raise Away(f"{self.host}: the connection is closed")
        try:
            reply: Reply = await self._connection.read_response(disable_decoding=True)
        except ResponseError as error:
            return Refused(self.explain(error))
        except Exception as error:
            raise Away(self.explain(error)) from error
        return reply

    async def exchange(self, commands: Sequence[bytes]) -> list[Reply | Refused]:
        """Send packed commands together; their replies, in order. Raises Away."""
        await self.send(b"".join(commands))
        return [await self.receive() for _ in commands]

    async def ask(self, *command: bytes) -> Reply:
        """One command. Raises Away, also for an error as the answer."""
        (reply,) = await self.exchange([pack(*command)])
        if isinstance(reply, Refused):
            raise Away(str(reply))
        return reply

    async def close(self) -> None:
        """At once, whatever is on its way."""
        with suppress(Exception):  # it is gone either way
            await self._connection.disconnect(nowait=True)

    def explain(self, error: Exception) -> str:
        """For people: one printable line which names the server and has no password, even where the server quotes one."""
        text = "no answer in time" if isinstance(error, TimeoutError) else str(error) or type(error).__name__
        if isinstance(error, RedisError) and type(error) not in {ResponseError, DriverConnectionError}:
            # The driver takes the word away by which operators know it: OOM, READONLY, MOVED …
            text = f"{type(error).__name__}: {text}"
        if self._secret:
            text = text.replace(self._secret, "***")
        text = "".join(letter if letter.isprintable() else " " for letter in text)
        return f"{self.host}: {text[:_MOST_TEXT]}"


async def open_wire(host: Host, address: Address, login: Login) -> Wire:
    """Connected and logged in within the time-out. Raises Away."""
    wire = Wire(host, address, login)
    try:
        async with Patience(address.timeout):
            await wire.open()
    except TimeoutError as error:
        raise Away(wire.explain(error)) from error
    return wire
