"""What handlers and workers are given: built once in ``gateway.wiring``, never changed, never global."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from config.model import Config
from connectors.capabilities import Capabilities
from connectors.contract import Client, Connector
from gateway.attendance import Attendance
from gateway.channel_log import Journal
from gateway.crashpoint import CrashPoints
from gateway.files import FileStore
from gateway.hub import Hub
from gateway.metrics import Metrics
from gateway.poison import PoisonGuard
from gateway.screen import Screen
from gateway.together import Together
from gateway.work.duty import Duties
from routing.router import Router
from storage.bus import Bus
from storage.protocol import Store
from storage.spooling import Appender, SpoolingAppender


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """One configured instance of a connector, ready to use."""

    #: The name of its section in the configuration, and its place in ``/webhooks/{id}``.
    id: str
    #: What people call it.
    title: str
    enabled: bool
    connector: Connector[Any]
    #: An instance of ``connector.settings``.
    settings: Any
    client: Client

    @property
    def capabilities(self) -> Capabilities:
        """What it can carry, by its settings."""
        return self.connector.able(self.settings)


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """The running gateway's organs."""

    #: With ``server.secret_key`` filled and ``public_url`` right even for port 0.
    config: Config
    store: Store
    #: ``store.view`` and ``store.transact`` for what many ask at once, such as who they are.
    looks: Together
    notes: Together
    #: Where inbound events go: the store, or the store with this node's spool before it.
    inbound: Appender
    bus: Bus
    router: Router
    #: What this node may do, when several share the work.
    duties: Duties
    #: Which agents have an inbox open.
    attendance: Attendance
    channels: Mapping[str, Channel]
    #: Fans committed events out to open feeds.
    hub: Hub
    files: FileStore
    #: Who may have which of them, if a scanner has to look first.
    screen: Screen
    #: What is exchanged with providers is noted here.
    journal: Journal
    metrics: Metrics
    #: Set whenever a reply may have become due.
    outbox_wake: asyncio.Event
    #: Set whenever a file may have become due.
    media_wake: asyncio.Event
    #: Aware UTC.
    clock: Callable[[], datetime]
    data_dir: Path
    #: The same as ``inbound`` if there is a spool.
    spooling: SpoolingAppender | None = None
    #: What reads payloads goes through it.
    poison: PoisonGuard = field(default_factory=PoisonGuard)
    #: Where tests can have the process killed; does nothing otherwise.
    crash: CrashPoints = field(default_factory=CrashPoints)
