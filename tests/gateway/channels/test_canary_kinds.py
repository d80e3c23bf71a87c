"""No credential of any kind of channel is in anything that a gateway writes, whatever its provider does, says and repeats."""

import asyncio
import contextlib
import dataclasses
import io
import logging
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import asyncpg
import pytest
import structlog
from msgspec.structs import replace
from redis.asyncio import Redis

from config import Config, Secret
from config.model import Bus, Spool, Storage
from connectors.content import Text
from connectors.contract import Call, Client, Outbound, Reply
from connectors.email.inbound import SECRET_HEADER
from gateway.channels import plan_channels, secrets_in
from gateway.log import configure
from gateway.services import Channel
from gateway.work import doubt
from gateway.work.health import HealthWorker
from gateway.work.missed import MissedWorker, is_finder
from gateway.work.probe import ProbeWorker
from storage.interaction import InteractionKind, LogFilter
from storage.protocol import Transaction
from storage.record import Attempt
from tests.support import pictures
from tests.support.canary import Hit, search_bytes, search_folders, search_store, search_text
from tests.support.flock import ADDRESS, KINDS, Flock, canary, flock
from tests.support.mail import mail
from tests.support.postgres import PostgresServer, driver_url, own_server
from tests.support.redis import running_server
from tests.support.waiting import eventually

#: A code of each place where an error can stand: refused at once, and told later by a status.
CODES = {
    "sms": (21211, 30005),
    "whatsapp_twilio": (21211, 63003),
    "whatsapp": (131009, 131026),
    "messenger": (551, 551),
    "instagram": (551, 551),
    "email": (554, 0),
    "telegram": (0, 0),
}
#: What need not happen here.
RARE = {InteractionKind.ACCOUNT, InteractionKind.BREAKER, InteractionKind.TOKEN, InteractionKind.RECEIVER}
#: Whatever came of it.
ENDED = ("sent", "delivered", "read", "failed", "retry", "unknown")


class Quoting:
    """A client whose mail server quotes our credentials; all else is as it was."""

    def __init__(self, inner: Client, words: str, status: int) -> None:
        self._inner = inner
        self._reply = Reply(status=status, body=words.encode(), headers={"x-phase": words[:500]})

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def send(self, call: Call) -> Reply:
        del call
        return self._reply

    async def close(self) -> None:
        await self._inner.close()


@contextlib.contextmanager
def quoting(town: Flock, kind: str, what: str) -> Iterator[None]:
    """Inside, the provider repeats our credentials: ``plain`` with an error of the message, ``auth`` with refused credentials."""
    provider, channels = town.providers[kind], town.gateway.services.channels
    assert isinstance(channels, dict)
    before: Channel = channels[kind]
    provider.quoting = what
    if kind == "email":
        channels[kind] = dataclasses.replace(before, client=Quoting(before.client, provider.words(), 535 if what == "auth" else 554))
    try:
        yield
    finally:
        provider.quoting, channels[kind] = "", before


async def ask_everything(town: Flock, kind: str, conversation: Mapping[str, Any]) -> None:
    """All that a gateway ever asks a provider, beside sending."""
    services = town.gateway.services
    channel = services.channels[kind]
    path = f"/conversations/{conversation['id']}"
    newest = max(line["pos"] for line in await town.lines(conversation))
    assert (await town.cast.sue.post(f"{path}/read", {"pos": newest})).status == 200
    assert (await town.cast.sue.post(f"{path}/typing")).status == 204
    await ProbeWorker(services).probe(channel)
    await town.cast.sue.get(f"/channels/{kind}/templates?refresh=true")
    if is_finder(channel):
        for _ in range(2):
            await MissedWorker(services, channel).look()
    outbound = Outbound(id="msg_lost", to=conversation["thread"], parts=(Text(text="lost"),), at=services.clock())
    call = channel.connector.render(outbound, channel.settings)[0]
    await doubt._ask(services, channel, call, Attempt(message_id="msg_lost", number=1, started_at=services.clock()))


async def picture(town: Flock, kind: str, person: str, conversation: Mapping[str, Any], *, comes: bool) -> None:
    """A photo of the shopper's is copied, or given up."""
    before = len(await town.lines(conversation))
    await town.say(kind, person, "like this" if kind == "email" else "", photo=True)

    def settled(lines: list[dict[str, Any]]) -> bool:
        files = [part for line in lines[before:] for part in line["parts"] if part["type"] == "media"]
        return bool(files) and (all("stored" in part for part in files) or not comes)

    await eventually(lambda: town.lines(conversation), settled)


async def both_ways(town: Flock, kind: str) -> None:
    """Texts, files, ticks, and every kind of trouble on the way out."""
    person, conversation = await town.conversation(kind, 1, f"Ciao {kind}")
    await town.reply(conversation, ("sent", "delivered", "read"), text="Sì.")
    await picture(town, kind, person, conversation, comes=True)
    headers = {"Content-Type": "image/png", "X-File-Name": "ours.png"}
    stored = (await town.cast.sue.call("POST", "/media", pictures.picture(size=(5, 4)), headers=headers)).json["id"]
    await town.reply(conversation, ENDED, parts=[{"type": "media", "kind": "image", "ref": stored}])
    await ask_everything(town, kind, conversation)
    refused, later = CODES[kind]
    faults = [("error", refused), ("later", later), ("500", 0), ("throttled", 0), ("garbage", 0), ("reset_after", 0)]
    if kind == "telegram":
        faults = faults[3:]  # its simulator has fewer, and five in a row would stop it
    for number, (fault, code) in enumerate(faults, 2):
        _, other = await town.conversation(kind, number, f"{kind} {fault}")
        await town.fault(kind, fault, **({"code": code} if code else {}))
        await town.reply(other, ENDED, text=fault)


async def quoted(town: Flock, kind: str) -> None:
    """The provider repeats what it knows of us in all that it says."""
    person, conversation = await town.conversation(kind, 11, f"{kind} is quoted")
    _, refused = await town.conversation(kind, 12, f"{kind} is refused")
    with quoting(town, kind, "plain"):
        line = await town.reply(conversation, ("failed", "retry"), text="quote me")
        assert line["problem"]
        await ask_everything(town, kind, conversation)
        await picture(town, kind, person, conversation, comes=False)
    with quoting(town, kind, "auth"):
        # Whichever reply was the first to be refused.
        await town.reply(refused, ("failed", "retry", "queued"), text="who are you?")
        await eventually(lambda: paused(town, kind))
        await ask_everything(town, kind, refused)
    assert kind == "email" or town.providers[kind].quoted > 3


async def paused(town: Flock, kind: str) -> bool:
    return town.gateway.services.metrics.value("sportello_channel_paused", channel=kind) == 1


async def strangers(town: Flock) -> None:
    """Webhooks without a right signature, which hold a credential wherever there is room; and handshakes."""
    for id_ in town.gateway.services.channels:
        mine = [value for name, value in town.canaries.items() if name.startswith(f"{id_}.")]
        for value in mine:
            path = f"/webhooks/{id_}?hub.mode=subscribe&hub.challenge=1&hub.verify_token={quote(value, safe='')}&x={quote(value)}"
            visible = value.encode("ascii", "replace").decode()
            headers = {"X-Odd": visible, "Authorization": visible, "Content-Type": "application/json"}
            assert (await town.gateway.request("GET", path, headers=headers))[0] in {200, 403, 404}
            status, _, _ = await town.gateway.request("POST", path, data=f'{{"a": "{value}"}}'.encode(), headers=headers)
            assert status in {403, 404}, (id_, status)


async def by_the_other_address(town: Flock) -> None:
    """A mail server that wants no password from us."""
    headers = {SECRET_HEADER: canary("email", "hook"), "Content-Type": "message/rfc822"}
    raw = mail("by hand", sender="Ada <ada@example.org>", proved=False).replace(b"support@shop.example", ADDRESS.encode())
    assert (await town.gateway.request("POST", "/webhooks/post", data=raw, headers=headers))[0] == 200
    await town.reply(await town.begun("post", "by hand"), ("failed", "retry"), text="hello")
    await ProbeWorker(town.gateway.services).probe(town.gateway.services.channels["post"])


async def all_of_it(town: Flock) -> None:
    await asyncio.gather(*(both_ways(town, kind) for kind in KINDS))
    await strangers(town)
    await by_the_other_address(town)
    await town.cast.conversation("from the web")
    await asyncio.gather(*(quoted(town, kind) for kind in KINDS))


async def everything_written(town: Flock) -> list[Hit]:
    """Hits in the store and in what the API answers."""
    services = town.gateway.services
    await services.journal.write()
    await HealthWorker(services).look()
    hits = await search_store(services.store, list(services.channels), town.canaries)
    paths = ["/channels", "/quarantine", "/reconcile", "/conversations?limit=200", "/nodes", "/queues", "/agents"]
    paths += [f"/channels/{id_}/log?limit=200" for id_ in services.channels]
    paths += [f"/conversations/{one['id']}/messages" for one in (await town.cast.sue.get("/conversations?limit=200")).json["items"]]
    for path in paths:
        answer = await town.cast.amy.get(path)
        assert answer.status == 200, (path, answer.raw)
        hits += search_bytes(answer.raw, town.canaries, path)
    for path in ("/metrics", "/readyz", "/api/openapi.json"):
        hits += search_bytes((await town.gateway.request("GET", path))[2], town.canaries, path)
    return hits


def summary(hits: Sequence[Hit]) -> dict[str, list[str]]:
    """Place -> which canaries in which forms."""
    found: dict[str, list[str]] = {}
    for hit in sorted(set(hits)):
        found.setdefault(hit.place, []).append(f"{hit.canary} {hit.form}")
    return found


async def kinds_logged(town: Flock) -> set[InteractionKind]:
    async def look(tx: Transaction) -> set[InteractionKind]:
        pages = [await tx.channel_log.page(id_, LogFilter(kind=kind), "", 1) for id_ in KINDS for kind in InteractionKind]
        return {one.kind for page in pages for one in page}

    return await town.gateway.services.store.view(look)


@contextlib.contextmanager
def logging_as_served(town: Flock) -> Iterator[io.StringIO]:
    """Logs as ``sportello serve`` writes them."""
    stream, root = io.StringIO(), logging.getLogger()
    before = root.handlers[:], root.level
    config = town.gateway.services.config
    secrets = [secret for plan in plan_channels(config) for secret in secrets_in(plan.settings)]
    secrets += [secret for section in (config.server, config.storage, config.bus) for secret in secrets_in(section)]
    configure("debug", "json", secrets=secrets, stream=stream)
    try:
        yield stream
    except BaseException:
        print(stream.getvalue())  # noqa: T201  what went on before it
        raise
    finally:
        structlog.reset_defaults()
        root.handlers[:], root.level = before


async def test_no_credential_of_any_kind_is_written(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    async with flock(tmp_path) as town:
        with logging_as_served(town) as log:
            await all_of_it(town)
            hits = await everything_written(town)
        hits += search_text(log.getvalue(), town.canaries, "the log")
        assert log.getvalue().count("********") > 50
        assert set(InteractionKind) - await kinds_logged(town) <= RARE
        hits += search_folders([tmp_path], town.canaries)
    hits += search_folders([tmp_path], town.canaries)
    hits += search_text("".join(capfd.readouterr()), town.canaries, "standard output and error")
    assert summary(hits) == {}


# --- several machines ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def mortal() -> Iterator[PostgresServer]:
    """A server of our own: it is killed."""
    yield from own_server()


@contextlib.asynccontextmanager
async def elsewhere(server: PostgresServer, folder: Path) -> AsyncIterator[tuple[Flock, str, str]]:
    """The same over PostgreSQL and Valkey; and their addresses."""
    database = await server.create()
    async with running_server(folder / "valkey") as bus:

        def adapt(config: Config) -> Config:
            return replace(config, storage=Storage(url=Secret(database)), bus=Bus(url=Secret(bus.url)), spool=Spool(min_free_percent=0))

        async with flock(folder, adapt) as town:
            yield town, database, bus.url


async def search_postgres(url: str, canaries: Mapping[str, str]) -> list[Hit]:
    """All hits in all rows of all tables."""
    connection = await asyncpg.connect(driver_url(url))
    try:
        hits: list[Hit] = []
        tables = await connection.fetch("SELECT relname FROM pg_stat_user_tables")
        for (table,) in tables:
            for (row,) in await connection.fetch(f'SELECT row_to_json(t)::text FROM "{table}" t'):  # noqa: S608  the names are the database's
                hits += search_text(row, canaries, f"table {table}")
        assert len(tables) > 10
        return hits
    finally:
        await connection.close()


async def search_redis(url: str, canaries: Mapping[str, str]) -> list[Hit]:
    """All hits in all keys, as the server would write them to its disk."""
    client: Redis = Redis.from_url(url)
    hits: list[Hit] = []
    async with client:
        keys = [key async for key in client.scan_iter(count=1000)]
        for key in keys:
            hits += search_bytes(key + b"\n" + (await client.dump(key) or b""), canaries, f"key {key!r}")
    assert keys
    return hits


async def test_nor_on_several_machines_nor_in_the_spool(mortal: PostgresServer, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    async with elsewhere(mortal, tmp_path) as (town, database, bus):
        with logging_as_served(town) as log:
            await all_of_it(town)
        hits = search_text(log.getvalue(), town.canaries, "the log")
        hits += await everything_written(town) + await search_postgres(database, town.canaries) + await search_redis(bus, town.canaries)
        people = {kind: await town.person(kind, 31) for kind in KINDS}
        spooling = town.gateway.services.spooling
        assert spooling is not None
        await asyncio.to_thread(mortal.kill)
        for kind, person in people.items():
            await town.say(kind, person, f"{kind} is spooled")
        await strangers(town)

        async def waiting() -> int:
            return spooling.spool.waiting.total()

        await eventually(waiting, lambda number: number >= len(KINDS), 60)
        hits += search_folders([tmp_path], town.canaries)
        assert spooling.spool.path.is_relative_to(tmp_path)
        await asyncio.to_thread(mortal.start)
        await eventually(waiting, lambda number: number == 0, 60)
        for kind in KINDS:
            await town.begun(kind, f"{kind} is spooled")
        hits += await everything_written(town) + await search_postgres(database, town.canaries)
    hits += search_folders([tmp_path], town.canaries)
    hits += search_text("".join(capfd.readouterr()), town.canaries, "standard output and error")
    assert summary(hits) == {}
