"""Who this node is, which duties there are, and which workers run on it."""

import contextlib
import os
import secrets
import socket
from collections.abc import AsyncIterator, Iterable
from datetime import datetime
from importlib.metadata import version
from typing import Final

from config import Config
from gateway.fetch import GuardedFetcher, loop_mark
from gateway.services import Channel, Services
from gateway.work.away import AwayWorker
from gateway.work.continued import CONSUMER as CONTINUED
from gateway.work.continued import ContinueWorker, continuing
from gateway.work.drain import DrainWorker
from gateway.work.gather import GatherWorker
from gateway.work.health import CONSUMER as HEALTH
from gateway.work.health import HealthWorker
from gateway.work.lag import LagWorker, announce_node
from gateway.work.listen import ListenWorker, is_receiver
from gateway.work.media import MediaWorker
from gateway.work.missed import MissedWorker, duty_name, is_finder
from gateway.work.outbox import CONSUMER as SENDER
from gateway.work.outbox import OutboxWorker
from gateway.work.probe import ProbeWorker
from gateway.work.profile import CONSUMER as PROFILE
from gateway.work.profile import ProfileWorker, naming
from gateway.work.relay import RelayWorker
from gateway.work.route import RouteWorker
from gateway.work.supervise import Supervisor, Worker
from gateway.work.tick import TickWorker
from routing.router import CONSUMER as ROUTER
from storage.errors import StorageError
from storage.protocol import EVERY_PARTITION, Duty
from storage.record import Node

#: Together with the web server's own, below the 10 s that a stop may take.
STOP_SECONDS: Final = 6.0


def node_of(config: Config, now: datetime) -> Node:
    """This process among the others. A restarted one is another node: what its predecessor held ends by itself."""
    name = config.node.id or socket.gethostname()
    return Node(id=f"{name}-{os.getpid()}-{secrets.token_hex(3)}", roles=config.node.roles, since=now, version=version("sportello"))


def duties_of(channels: Iterable[Channel], *, mirrored: bool) -> dict[Duty, str]:
    """What one node at a time may do, with the role that does it."""
    partitions = sorted(EVERY_PARTITION)
    duties: dict[Duty, str] = {(ROUTER, partition): "router" for partition in partitions}
    duties |= {(SENDER, partition): "sender" for partition in partitions}
    duties |= {("tick", 0): "router", ("media", 0): "sender", (HEALTH, 0): "sender", ("probe", 0): "sender"}
    if mirrored:
        duties["relay", 0] = "router"
    channels = tuple(channels)
    if continuing(channels):
        duties[CONTINUED, 0] = "router"
    if naming(channels):
        duties[PROFILE, 0] = "sender"
    for channel in channels:
        if is_receiver(channel):
            duties[f"listen {channel.id}", 0] = "sender"
        if is_finder(channel):
            duties[duty_name(channel.id), 0] = "sender"
    return duties


@contextlib.asynccontextmanager
async def working(services: Services) -> AsyncIterator[None]:
    """All workers run. At the end they finish first, while the leases are still kept; then everything is handed on."""
    config = services.config
    fetcher = GuardedFetcher(config.media.allow_private_hosts, config.public_url, loop_mark(config.server.secret_key))
    keeper, supervisor = Supervisor(services.metrics), Supervisor(services.metrics)
    announce_node(services)
    if services.store.shared:
        with contextlib.suppress(StorageError):
            await services.duties.refresh()
    keeper.start(Worker("duty", services.duties.keep))
    # With the keeper: what the others do while they come to an end is to be seen, too.
    keeper.start(Worker("channel log", services.journal.run))
    for worker in workers_of(services, fetcher):
        supervisor.start(worker)
    try:
        yield
    finally:
        await supervisor.stop(STOP_SECONDS)
        await fetcher.close()
        await keeper.stop(STOP_SECONDS)
        await services.duties.give_up()


def workers_of(services: Services, fetcher: GuardedFetcher) -> list[Worker]:
    """Everything that runs in the background of a node with these roles."""
    roles, duties = services.config.node.roles, services.duties
    found: list[Worker] = []
    found.append(Worker("files", services.files.keep_tidy))
    if services.config.bus.url:
        found.append(Worker("lag", LagWorker(services).run))
    if services.spooling is not None:
        found.append(Worker("drain", DrainWorker(services, services.spooling).run))
        if services.spooling.gathering is not None:
            found.append(Worker("gather", GatherWorker(services, services.spooling, services.spooling.gathering).run))
    if "edge" in roles:
        found += [Worker("hub", services.hub.run), Worker("attendance", services.attendance.keep)]
    if "router" in roles:
        found += [Worker("route", RouteWorker(services).run), Worker("tick", duties.only(("tick", 0), TickWorker(services).run))]
        found.append(Worker("away", duties.only(("tick", 0), AwayWorker(services).run)))
        if continuing(services.channels.values()):
            found.append(Worker(CONTINUED, duties.only((CONTINUED, 0), ContinueWorker(services).run)))
        if services.config.bus.url:
            found.append(Worker("relay", duties.only(("relay", 0), RelayWorker(services).run)))
    if "sender" in roles:
        found.append(Worker("health", duties.only((HEALTH, 0), HealthWorker(services).run)))
        found.append(Worker("probe", duties.only(("probe", 0), ProbeWorker(services).run)))
        if naming(services.channels.values()):
            found.append(Worker(PROFILE, duties.only((PROFILE, 0), ProfileWorker(services).run)))
        media = MediaWorker(services, fetcher)
        found += [Worker("outbox", OutboxWorker(services).run), Worker("media", duties.only(("media", 0), media.run))]
        found += [
            Worker(f"listen {channel.id}", duties.only((f"listen {channel.id}", 0), ListenWorker(services, channel).run))
            for channel in services.channels.values()
            if is_receiver(channel)
        ]
        found += [
            Worker(duty_name(channel.id), duties.only((duty_name(channel.id), 0), MissedWorker(services, channel).run))
            for channel in services.channels.values()
            if is_finder(channel)
        ]
    return found
