"""What the gateway counts, in one list. Each gateway has a registry of its own, so two can run in one process."""

from collections.abc import Callable, Iterator, Mapping
from typing import Final, NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

#: Seconds; a webhook should be answered far below the providers' limits (3 … 15 s).
_LATENCY_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Metrics:
    """One attribute per metric; all names begin with ``sportello_``."""

    #: Of what :meth:`render` gives.
    content_type: Final = "text/plain; version=0.0.4; charset=utf-8"

    def __init__(self) -> None:
        registry = CollectorRegistry()
        self.registry = registry
        self.received = Counter("sportello_received", "Events that channels sent us", ["channel"], registry=registry)
        #: ``outcome``: ``appended``, ``duplicate``, ``quarantined``, ``refused``; together they are ``received``.
        self.inbound = Counter("sportello_inbound", "Received events by what became of them", ["channel", "outcome"], registry=registry)
        self.routed = Counter("sportello_routed_events", "Stream events that the router has applied", registry=registry)
        self.routing_failed = Counter("sportello_routing_failed_events", "Stream events that had to be passed over", registry=registry)
        self.route_lag = Gauge("sportello_route_lag_events", "Stream events that the router has not yet applied", registry=registry)
        #: ``outcome``: ``sent`` or a failure kind.
        self.attempts = Counter("sportello_attempts", "Attempts to send a reply", ["channel", "outcome"], registry=registry)
        self.outbox_waiting = Gauge("sportello_outbox_waiting", "Replies accepted and not finished", ["channel"], registry=registry)
        self.sending_held = Gauge("sportello_sending_held", "1 while no reply is sent until an operator releases it", registry=registry)
        self.channel_paused = Gauge("sportello_channel_paused", "1 while a channel's sending is paused", ["channel"], registry=registry)
        self.breaker_open = Gauge(
            "sportello_breaker_open", "1 while a provider that does not answer is left alone", ["channel"], registry=registry
        )
        #: ``outcome``: ``adopted`` (it had been sent), ``unsent`` (it had not), ``doubtful`` (nobody could say; sent again, with a mark).
        self.resolved = Counter(
            "sportello_resolved_attempts", "Attempts without an answer, by what was found out", ["channel", "outcome"], registry=registry
        )
        self.missed = Counter("sportello_missed", "Events that no webhook had brought, found by asking", ["channel"], registry=registry)
        #: ``outcome``: ``clean``, ``withheld``, ``waiting`` (the scanner was away, or could not look at it; it is asked again).
        self.scans = Counter("sportello_scans", "Files that a scanner was asked about", ["outcome"], registry=registry)
        #: ``outcome``: ``stored``, ``retry``, ``given_up``, ``waiting``, ``withheld``.
        self.media = Counter("sportello_media", "Files fetched from providers", ["channel", "outcome"], registry=registry)
        #: 0: ok, 1: degraded, 2: down; a component of which nothing is known has none. Only the node that judges shows it.
        self.channel_health = Gauge(
            "sportello_channel_health",
            "0 while a part of a channel is well, 1 degraded, 2 down",
            ["channel", "component"],
            registry=registry,
        )
        self.channel_log_dropped = Counter(
            "sportello_channel_log_dropped", "Interactions that a channel's log had no room for", ["channel"], registry=registry
        )
        self.feed_subscribers = Gauge("sportello_feed_subscribers", "Open live feeds", ["kind"], registry=registry)
        self.worker_up = Gauge("sportello_worker_up", "1 while a background worker runs", ["worker"], registry=registry)
        self.worker_restarts = Counter("sportello_worker_restarts", "Workers restarted after a failure", ["worker"], registry=registry)
        self.mirror_lag = Gauge("sportello_mirror_lag_events", "Stream events that the bus does not have yet", registry=registry)
        self.spool_drained = Counter("sportello_spool_drained", "Events handed on from the spool to the database", registry=registry)
        self.spool_refused = Counter("sportello_spool_refused", "Events of the spool that the database would not have", registry=registry)
        self.gathered = Gauge(
            "sportello_gathered_events", "Events in the database that wait until all nodes have handed over their spools", registry=registry
        )
        #: ``route`` is the route's template, never the path itself: there is no end of paths.
        self.http = Histogram(
            "sportello_http_seconds", "Time to answer a request", ["method", "route", "status"], buckets=_LATENCY_BUCKETS, registry=registry
        )

    def watch_spool(self, look: "Callable[[], SpoolFigures]") -> None:
        """Add the gauges of the spool; they are read when they are asked for, so that what came in always adds up."""
        self.registry.register(_SpoolCollector(look))

    def watch_nodes(self, look: "Callable[[], NodeFigures]") -> None:
        """Add the gauges of this node among the others."""
        self.registry.register(_NodeCollector(look))

    def value(self, name: str, **labels: str) -> float:
        """One figure, for tests and for people; 0 if it was never touched."""
        return self.registry.get_sample_value(name, labels) or 0.0

    def render(self) -> bytes:
        """The text that ``/metrics`` answers with, to be served as ``content_type``."""
        # The library adds a "_created" gauge to each counter; its switch for that is global, so they are left out here.
        lines = generate_latest(self.registry).splitlines(keepends=True)
        return b"".join(line for line in lines if b"_created" not in _name(line))


def _name(line: bytes) -> bytes:
    return line.removeprefix(b"# HELP ").removeprefix(b"# TYPE ").split(b"{")[0].split(b" ")[0]


class SpoolFigures(NamedTuple):
    """A spool at one moment."""

    #: Events that wait, by channel.
    events: Mapping[str, int]
    bytes: int
    oldest_seconds: float
    #: Damaged files that somebody has to look at.
    set_aside: int


class _SpoolCollector(Collector):
    def __init__(self, look: Callable[[], SpoolFigures]) -> None:
        self._look = look

    def collect(self) -> Iterator[Metric]:
        """What the registry asks for."""
        figures = self._look()
        events = GaugeMetricFamily("sportello_spool_events", "Events that wait in the spool for the database", labels=["channel"])
        for channel, count in figures.events.items():
            events.add_metric([channel], count)
        yield events
        yield GaugeMetricFamily("sportello_spool_bytes", "Size of what is in the spool", value=figures.bytes)
        yield GaugeMetricFamily("sportello_spool_oldest_seconds", "Age of the oldest event in the spool", value=figures.oldest_seconds)
        yield GaugeMetricFamily("sportello_spool_set_aside_files", "Damaged spools to be looked at and removed", value=figures.set_aside)


class NodeFigures(NamedTuple):
    """A node at one moment."""

    #: Duties that it has, by kind.
    duties: Mapping[str, int]
    #: Nodes that it knows to run.
    nodes: int
    bus_up: bool


class _NodeCollector(Collector):
    def __init__(self, look: Callable[[], NodeFigures]) -> None:
        self._look = look

    def collect(self) -> Iterator[Metric]:
        """What the registry asks for."""
        figures = self._look()
        duties = GaugeMetricFamily("sportello_duties", "Duties that this node has", labels=["kind"])
        for kind, count in figures.duties.items():
            duties.add_metric([kind], count)
        yield duties
        yield GaugeMetricFamily("sportello_nodes", "Nodes that run, as this one sees it", value=figures.nodes)
        yield GaugeMetricFamily("sportello_bus_up", "1 while the bus is all right, or there is none", value=figures.bus_up)
