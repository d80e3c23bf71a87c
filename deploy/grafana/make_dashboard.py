# ruff: noqa: INP001 - a script beside what it makes, no package
"""Writes ``dashboard.json`` beside this file from the table below: ``python deploy/grafana/make_dashboard.py``.

Grafana's own format repeats forty lines for each panel; here a panel is its title, unit and queries. Rows, top to bottom: what
shoppers and agents notice, then messages in, replies out, nodes, stores.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

TARGET: Final = Path(__file__).with_name("dashboard.json")
#: Grafana's grid.
_WIDTH: Final = 24
_HEIGHT: Final = 7
_TILE_HEIGHT: Final = 4
_NODES: Final = 'instance=~"$instance"'
_WEBHOOK_TIMES: Final = f'sum by (le) (rate(sportello_http_seconds_bucket{{route=~"/webhooks/.*",{_NODES}}}[$__rate_interval]))'


@dataclass(frozen=True, slots=True)
class Panel:
    """``queries`` are (PromQL, legend); ``unit`` is one of Grafana's ids; ``width`` of 24. ``red`` from this value on, for tiles."""

    title: str
    queries: tuple[tuple[str, str], ...]
    unit: str = "short"
    width: int = 8
    red: float | None = None
    help: str = ""


ROWS: Final[dict[str, tuple[Panel, ...]]] = {
    "At a glance": (
        Panel("Nodes up", (('sum(up{job="sportello"})', "nodes"),), width=4),
        Panel("Waiting to be routed", (("max(sportello_route_lag_events)", "events"),), width=4, red=1000),
        Panel("Replies waiting", (("sum(max by (channel) (sportello_outbox_waiting))", "replies"),), width=4, red=500),
        Panel("Channels paused", (("sum(max by (channel) (sportello_channel_paused)) or vector(0)", "channels"),), width=4, red=1),
        Panel("In spools", (("sum(sportello_spool_events)", "events"),), width=4, red=1),
        Panel("Sending held", (("max(sportello_sending_held)", "1: held"),), width=4, red=1),
    ),
    "Messages in": (
        Panel(
            "Received per second",
            ((f"sum by (channel) (rate(sportello_received_total{{{_NODES}}}[$__rate_interval]))", "{{channel}}"),),
            "cps",
        ),
        Panel(
            "What became of them",
            ((f"sum by (outcome) (rate(sportello_inbound_total{{{_NODES}}}[$__rate_interval]))", "{{outcome}}"),),
            "cps",
            help="received = appended + duplicate + quarantined + refused",
        ),
        Panel(
            "Time to answer a webhook",
            (
                (f"histogram_quantile(0.5, {_WEBHOOK_TIMES})", "half"),
                (f"histogram_quantile(0.99, {_WEBHOOK_TIMES})", "99 %"),
            ),
            "s",
            help="Providers give up after 3 to 15 s.",
        ),
        Panel("Routed per second", (("sum(rate(sportello_routed_events_total[$__rate_interval]))", "events"),), "cps"),
        Panel("Waiting to be routed", (("max(sportello_route_lag_events)", "events"),)),
        Panel("Passed over", (("sum(increase(sportello_routing_failed_events_total[$__rate_interval]))", "events"),)),
    ),
    "Replies out": (
        Panel(
            "Attempts per second",
            (("sum by (channel, outcome) (rate(sportello_attempts_total[$__rate_interval]))", "{{channel}} {{outcome}}"),),
            "cps",
            12,
        ),
        Panel("Replies waiting", (("max by (channel) (sportello_outbox_waiting)", "{{channel}}"),), width=6),
        Panel(
            "Files fetched",
            (("sum by (channel, outcome) (rate(sportello_media_total[$__rate_interval]))", "{{channel}} {{outcome}}"),),
            "cps",
            6,
        ),
    ),
    "Channels": (
        Panel(
            "Health",
            (("max by (channel, component) (sportello_channel_health)", "{{channel}} {{component}}"),),
            width=12,
            help="0: well, 1: degraded, 2: down",
        ),
        Panel(
            "Entries that a channel's log had no room for, per second",
            ((f"sum by (channel) (rate(sportello_channel_log_dropped_total{{{_NODES}}}[$__rate_interval]))", "{{channel}}"),),
            "cps",
            12,
        ),
        Panel(
            "Providers left alone",
            (("max by (channel) (sportello_breaker_open)", "{{channel}}"),),
            help="1: too many calls in a row had no answer; one goes through now and then",
        ),
        Panel(
            "Attempts without an answer, by what was found out",
            (("sum by (channel, outcome) (increase(sportello_resolved_attempts_total[$__rate_interval]))", "{{channel}} {{outcome}}"),),
            help="adopted: it had been sent; unsent: it had not; doubtful: sent again, with a mark",
        ),
        Panel(
            "Found by asking, as no webhook had brought it",
            (("sum by (channel) (increase(sportello_missed_total[$__rate_interval]))", "{{channel}}"),),
        ),
    ),
    "Nodes": (
        Panel(
            "Requests per second by status",
            ((f"sum by (status) (rate(sportello_http_seconds_count{{{_NODES}}}[$__rate_interval]))", "{{status}}"),),
            "reqps",
            6,
        ),
        Panel("Open live feeds", ((f"sum by (kind) (sportello_feed_subscribers{{{_NODES}}})", "{{kind}}"),), width=6),
        Panel(
            "Duties by node",
            ((f"sum by (instance, kind) (sportello_duties{{{_NODES}}})", "{{instance}} {{kind}}"),),
            width=6,
            help="16 of router and of sender are shared out",
        ),
        Panel("Nodes, as each one sees it", ((f"sportello_nodes{{{_NODES}}}", "{{instance}}"),), width=6),
        Panel("Workers that do not run", ((f"sportello_worker_up{{{_NODES}}} == 0", "{{instance}} {{worker}}"),), width=12),
        Panel(
            "Workers restarted",
            (
                (
                    f"sum by (instance, worker) (increase(sportello_worker_restarts_total{{{_NODES}}}[$__rate_interval]))",
                    "{{instance}} {{worker}}",
                ),
            ),
            width=12,
        ),
    ),
    "Stores": (
        Panel(
            "Spooled and gathered events",
            (
                (f"sum by (instance) (sportello_spool_events{{{_NODES}}})", "{{instance}}"),
                (f"max(sportello_gathered_events{{{_NODES}}})", "waiting for other nodes"),
            ),
            width=6,
        ),
        Panel("Spool on the disk", ((f"sportello_spool_bytes{{{_NODES}}}", "{{instance}}"),), "bytes", 6),
        Panel("Oldest in the spool", ((f"sportello_spool_oldest_seconds{{{_NODES}}}", "{{instance}}"),), "s", 6),
        Panel(
            "Spool drained and refused per second",
            (
                (f"rate(sportello_spool_drained_total{{{_NODES}}}[$__rate_interval])", "{{instance}} drained"),
                (f"rate(sportello_spool_refused_total{{{_NODES}}}[$__rate_interval])", "{{instance}} refused"),
            ),
            "cps",
            6,
        ),
        Panel("Bus reached", ((f"min by (instance) (sportello_bus_up{{{_NODES}}})", "{{instance}}"),), width=12, help="1: yes"),
        Panel("Mirror behind the log", (("max(sportello_mirror_lag_events)", "events"),), width=12),
    ),
}


def _source() -> dict[str, str]:
    return {"type": "prometheus", "uid": "${datasource}"}


def _panel(panel: Panel, number: int, x: int, y: int, *, tile: bool) -> dict[str, Any]:
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    if panel.red is not None:
        steps.append({"color": "red", "value": panel.red})
    shown: dict[str, Any] = {
        "id": number,
        "type": "stat" if tile else "timeseries",
        "title": panel.title,
        "datasource": _source(),
        "gridPos": {"h": _TILE_HEIGHT if tile else _HEIGHT, "w": panel.width, "x": x, "y": y},
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0, "thresholds": {"mode": "absolute", "steps": steps}}, "overrides": []},
        "targets": [
            {"refId": chr(ord("A") + index), "datasource": _source(), "expr": query, "legendFormat": legend}
            for index, (query, legend) in enumerate(panel.queries)
        ],
    }
    if panel.help:
        shown["description"] = panel.help
    return shown


def dashboard() -> dict[str, Any]:
    """The whole dashboard, laid out."""
    panels: list[dict[str, Any]] = []
    y = 0
    for row, content in ROWS.items():
        panels.append(
            {
                "id": len(panels) + 1,
                "type": "row",
                "title": row,
                "collapsed": False,
                "panels": [],
                "gridPos": {"h": 1, "w": _WIDTH, "x": 0, "y": y},
            }
        )
        y += 1
        tile = row == "At a glance"
        height = _TILE_HEIGHT if tile else _HEIGHT
        x = 0
        for panel in content:
            if x + panel.width > _WIDTH:
                x, y = 0, y + height
            panels.append(_panel(panel, len(panels) + 1, x, y, tile=tile))
            x += panel.width
        y += height
    return {
        "uid": "sportello",
        "title": "Sportello",
        "tags": ["sportello"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": _variables()},
        "annotations": {"list": []},
        "panels": panels,
    }


def _variables() -> list[dict[str, Any]]:
    query = 'label_values(up{job="sportello"}, instance)'
    return [
        {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"},
        {
            "name": "instance",
            "label": "Node",
            "type": "query",
            "datasource": _source(),
            "query": {"query": query, "refId": "instance"},
            "includeAll": True,
            "multi": True,
            "allValue": ".*",
            "current": {"text": "All", "value": "$__all"},
            "refresh": 2,
            "sort": 1,
        },
    ]


def render() -> str:
    """The file's text."""
    return json.dumps(dashboard(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    TARGET.write_text(render(), "utf-8")
