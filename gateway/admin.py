"""What the command line does to the database: directly, or inside the running gateway, through a socket that only its user may open.

SQLite has one writing process, so while ``serve`` runs the commands have to be carried out there.
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import msgspec
import structlog
from msgspec import Struct

from gateway.channel_cases import make_cases, refs_of
from gateway.credentials import Kind, end, issue_link, issue_token
from gateway.held import held_report, hold, release
from gateway.passwords import BadPassword, Passwords
from gateway.work.actor import GATEWAY, command_id
from routing.command import PutAgent, SetMember
from routing.errors import Refused
from routing.router import Router
from storage.errors import StorageError
from storage.interaction import Interaction, LogFilter
from storage.protocol import Store, Transaction
from storage.record import Agent, Role

SOCKET: Final = "admin.sock"
#: Linux takes 107 bytes, others 103.
_LONGEST_PATH: Final = 100
_LONGEST_LINE: Final = 1 << 20
_ANSWER_SECONDS: Final = 600.0


class AdminError(Exception):
    """The command cannot be carried out; the message is for the person at the terminal."""


class Order(Struct, frozen=True, forbid_unknown_fields=True):
    """One line on the socket."""

    name: str
    arguments: dict[str, Any] = {}


class Answer(Struct, frozen=True):
    """The line that comes back: one of the two."""

    result: Any = None
    error: str = ""


Reprocess = Callable[[str], Awaitable[Mapping[str, int]]]
ListNodes = Callable[[], Awaitable[Sequence[Any]]]
#: Path and ``with_key``.
BackUp = Callable[[Path, bool], Awaitable[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Admin:
    """Carries orders out."""

    store: Store
    router: Router
    clock: Callable[[], datetime]
    public_url: str
    #: Reparse the quarantined payloads of one channel, or of all ("").
    reprocess: Reprocess
    #: The processes that run now.
    nodes: ListNodes
    back_up: BackUp

    async def perform(self, order: Order) -> Any:
        """The result, as plain data. Raises AdminError."""
        action = _ACTIONS.get(order.name)
        if action is None:
            raise AdminError(f"the running gateway does not know {order.name!r}: it is of another version than this command; restart it")
        try:
            return await action(self, **order.arguments)
        except Refused as error:
            raise AdminError(str(error)) from error
        except StorageError as error:
            raise AdminError(str(error)) from error
        except BadPassword as error:
            raise AdminError(str(error)) from error
        except TypeError as error:
            raise AdminError("the running gateway does not understand this command: restart it") from error

    async def agent_add(self, name: str, email: str, role: str, capacity: int, queues: list[str], password: str) -> Any:
        """Make an agent, put them into queues, and give a log-in link."""
        kept = await Passwords().hash(password) if password else ""
        queue_ids = [await self._queue_id(queue) for queue in queues]
        command = PutAgent(id=self._id(), actor=GATEWAY, name=name, email=email, role=Role(role), capacity=capacity)
        agent = await self.router.handle(command)
        assert isinstance(agent, Agent)
        for queue_id in queue_ids:
            await self.router.handle(SetMember(id=self._id(), actor=GATEWAY, queue_id=queue_id, agent_id=agent.id, member=True))
        if kept:
            await self.store.transact(lambda tx: tx.agents.set_password_hash(agent.id, kept))
        return {"agent": agent, "link": await self._link(agent) if agent.role is not Role.BOT else ""}

    async def agent_list(self) -> Any:
        return await self.store.view(lambda tx: tx.agents.all())

    async def agent_link(self, email: str) -> Any:
        """A one-time log-in link."""
        agent = await self._agent(email)
        if agent.disabled:
            raise AdminError(f"{agent.email} is disabled")
        return {"agent": agent, "link": await self._link(agent)}

    async def agent_password(self, email: str, password: str) -> Any:
        """Set the password and end all sessions."""
        agent = await self._agent(email)
        kept = await Passwords().hash(password)

        async def work(tx: Transaction) -> None:
            await tx.agents.set_password_hash(agent.id, kept)
            for credential in await tx.agents.credentials(agent.id, Kind.SESSION):
                await end(tx, credential, self.clock())

        await self.store.transact(work)
        return {"agent": agent}

    async def token_add(self, email: str, label: str, days: int) -> Any:
        """A new API token; its secret is shown this once."""
        agent = await self._agent(email)
        life = timedelta(days=days)
        credential, text = await self.store.transact(lambda tx: issue_token(tx, agent.id, self.clock(), life, label))
        return {"id": credential.id, "expires_at": credential.expires_at, "token": text}

    async def token_list(self) -> Any:
        async def work(tx: Transaction) -> list[dict[str, Any]]:
            return [
                {"id": kept.id, "agent": agent.email, "label": kept.label, "expires_at": kept.expires_at, "used_at": kept.used_at}
                for agent in await tx.agents.all()
                for kept in await tx.agents.credentials(agent.id, Kind.TOKEN)
            ]

        return await self.store.view(work)

    async def token_remove(self, token_id: str) -> Any:
        """End a token at once, and the feeds that it opened."""

        async def work(tx: Transaction) -> bool:
            for agent in await tx.agents.all():
                for kept in await tx.agents.credentials(agent.id, Kind.TOKEN):
                    if kept.id == token_id:
                        await end(tx, kept, self.clock())
                        return True
            return False

        if not await self.store.transact(work):
            raise AdminError(f"there is no token {token_id}: see sportello token list")
        return {}

    async def backup(self, path: str, with_key: bool) -> Any:  # noqa: FBT001 - an order's arguments come by name
        return await self.back_up(Path(path), with_key)

    async def outbox_status(self) -> Any:
        """Is sending held, why, and what waits."""
        return await held_report(self.store, self.clock())

    async def outbox_hold(self, why: str) -> Any:
        await hold(self.store, why)
        return await self.outbox_status()

    async def outbox_release(self, drop_seconds: float | None) -> Any:
        """Send again; what was accepted more than ``drop_seconds`` ago becomes ``expired`` first."""
        now = self.clock()
        before = None if drop_seconds is None else now - timedelta(seconds=drop_seconds)
        dropped = await release(self.store, self.router, now, before)
        return {"dropped": dropped, "waiting": (await held_report(self.store, now)).waiting}

    async def node_list(self) -> Any:
        return await self.nodes()

    async def status(self) -> Any:
        """What is wrong with the database, line by line."""
        return await self.store.check()

    async def channel_health(self) -> Any:
        """How well each channel is, as it was last judged."""
        return await self.store.view(lambda tx: tx.channel_log.health())

    async def channel_log(self, channel: str, message: str, before: str, limit: int, failed: bool) -> Any:  # noqa: FBT001 - by name
        """The newest interactions, those before ``before``."""

        async def work(tx: Transaction) -> list[Interaction]:
            wanted = LogFilter(refs=await refs_of(tx, channel, message), ok=False if failed else None)
            return await tx.channel_log.page(channel, wanted, before, limit)

        return await self.store.view(work)

    async def channel_cases(self, channel: str, ids: list[str]) -> Any:
        """Of each id, a case for the conformance kit, or why there is none."""
        return await self.store.view(lambda tx: make_cases(tx, channel, ids))

    async def run_reprocess(self, channel: str) -> Any:
        return dict(await self.reprocess(channel))

    async def _agent(self, email: str) -> Agent:
        agent = await self.store.view(lambda tx: tx.agents.by_email(email.strip().lower()))
        if agent is None:
            raise AdminError(f"there is no agent {email}: see sportello agent list")
        return agent

    async def _queue_id(self, name: str) -> str:
        queues = await self.store.view(lambda tx: tx.queues.all())
        for queue in queues:
            if queue.name == name:
                return queue.id
        raise AdminError(f"there is no queue {name!r}; there are: {', '.join(sorted(queue.name for queue in queues))}")

    async def _link(self, agent: Agent) -> str:
        secret = await self.store.transact(lambda tx: issue_link(tx, agent.id, self.clock()))
        return f"{self.public_url}/inbox/#login={secret}"

    def _id(self) -> str:
        return command_id(self.clock())


_ACTIONS: Final[Mapping[str, Callable[..., Awaitable[Any]]]] = {
    "agent.add": Admin.agent_add,
    "agent.list": Admin.agent_list,
    "agent.link": Admin.agent_link,
    "agent.password": Admin.agent_password,
    "token.add": Admin.token_add,
    "token.list": Admin.token_list,
    "token.remove": Admin.token_remove,
    "node.list": Admin.node_list,
    "backup": Admin.backup,
    "outbox.status": Admin.outbox_status,
    "outbox.hold": Admin.outbox_hold,
    "outbox.release": Admin.outbox_release,
    "status": Admin.status,
    "channel.health": Admin.channel_health,
    "channel.log": Admin.channel_log,
    "channel.cases": Admin.channel_cases,
    "reprocess": Admin.run_reprocess,
}

_encode: Final = msgspec.json.Encoder().encode


@contextlib.asynccontextmanager
async def listen_for_orders(admin: Admin, data_dir: Path) -> AsyncIterator[None]:
    """Take orders at ``data_dir/admin.sock`` (0600)."""
    path = data_dir / SOCKET
    if len(os.fsencode(path.absolute())) > _LONGEST_PATH:
        structlog.get_logger("admin").warning("data_dir is too long for a socket: stop the gateway before using agent, token, reprocess")
        yield
        return

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            writer.write(_encode(await _answer(admin, await reader.readline())) + b"\n")
            await writer.drain()
        finally:
            writer.close()

    server = await asyncio.start_unix_server(answer, sock=_private_socket(path), limit=_LONGEST_LINE)
    try:
        async with server:
            yield
    finally:
        path.unlink(missing_ok=True)


def _private_socket(path: Path) -> socket.socket:
    """A socket at ``path`` that nobody else can ever have opened: the mask stands only while it is made."""
    path.unlink(missing_ok=True)
    made = socket.socket(socket.AF_UNIX)
    mask = os.umask(0o177)
    try:
        made.bind(str(path))
    finally:
        os.umask(mask)
    return made


async def _answer(admin: Admin, line: bytes) -> Answer:
    try:
        return Answer(result=await admin.perform(msgspec.json.decode(line, type=Order)))
    except AdminError as error:
        return Answer(error=str(error))
    except msgspec.MsgspecError:
        return Answer(error="the order cannot be read: the gateway and this command are of different versions")
    except Exception:  # noqa: BLE001 - a bug in a command must not take the gateway with it
        structlog.get_logger("admin").exception("an order failed")
        return Answer(error="the gateway failed to do this; its log says why")


async def send_order(data_dir: Path, order: Order, seconds: float = _ANSWER_SECONDS) -> Any:
    """Have the running gateway do it. Raises AdminError; ConnectionError or FileNotFoundError if none listens."""
    reader, writer = await asyncio.open_unix_connection(data_dir / SOCKET, limit=_LONGEST_LINE * 8)
    try:
        writer.write(_encode(order) + b"\n")
        async with asyncio.timeout(seconds):
            await writer.drain()
            answer = msgspec.json.decode(await reader.readline(), type=Answer)
    finally:
        writer.close()
    if answer.error:
        raise AdminError(answer.error)
    return answer.result
