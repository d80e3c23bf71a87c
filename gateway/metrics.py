"""What the gateway counts, in one list. Each gateway has a registry of its own, so two can run in one process."""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

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
        self.channel_paused = Gauge("sportello_channel_paused", "1 while a channel's sending is paused", ["channel"], registry=registry)
        #: ``outcome``: ``stored``, ``retry``, ``given_up``.
        self.media = Counter("sportello_media", "Files fetched from providers", ["channel", "outcome"], registry=registry)
        self.feed_subscribers = Gauge("sportello_feed_subscribers", "Open live feeds", ["kind"], registry=registry)
        self.worker_up = Gauge("sportello_worker_up", "1 while a background worker runs", ["worker"], registry=registry)
        self.worker_restarts = Counter("sportello_worker_restarts", "Workers restarted after a failure", ["worker"], registry=registry)
        #: ``route`` is the route's template, never the path itself: there is no end of paths.
        self.http = Histogram(
            "sportello_http_seconds", "Time to answer a request", ["method", "route", "status"], buckets=_LATENCY_BUCKETS, registry=registry
        )

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
