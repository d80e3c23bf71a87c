"""Alerts and dashboard speak of metrics that exist, and every alert says what to do."""

import importlib.util
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from connectors.identity import PARTITIONS
from tests.support import deploying
from tests.support.deploying import DEPLOY

ALERTS = DEPLOY / "prometheus" / "alerts.yml"
DASHBOARD = DEPLOY / "grafana" / "dashboard.json"
RULES: list[dict[str, Any]] = [rule for group in deploying.load_yaml(ALERTS)["groups"] for rule in group["rules"]]
METRICS = deploying.metrics()


def dashboard_queries() -> Iterator[str]:
    for panel in json.loads(DASHBOARD.read_text("utf-8"))["panels"]:
        for target in panel.get("targets", []):
            yield target["expr"]


QUERIES = [*(rule["expr"] for rule in RULES), *dashboard_queries()]


def slug(heading: str) -> str:
    """As GitHub makes an anchor of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@pytest.mark.parametrize("query", QUERIES)
def test_metrics_and_labels_exist(query: str) -> None:
    names = re.findall(r"\bsportello_\w+", query)
    assert names or "up{" in query
    assert {name for name in names if name not in METRICS} == set()
    labels: set[str] = set()
    for name in names:
        labels |= METRICS[name]
    for name, selector in re.findall(r"\b(sportello_\w+)\{([^}]*)\}", query):
        said = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", selector))
        assert said <= METRICS[name] | deploying.SCRAPE_LABELS, f"{name} has no such label"
    grouped = {label.strip() for group in re.findall(r"\b(?:by|on) \(([^)]*)\)", query) for label in group.split(",")}
    assert grouped <= labels | deploying.SCRAPE_LABELS


def test_an_alert_shows_only_labels_that_it_has() -> None:
    for rule in RULES:
        shown = set(re.findall(r"\$labels\.(\w+)", json.dumps(rule["annotations"])))
        grouped = re.findall(r"\bby \(([^)]*)\)", rule["expr"])
        names = re.findall(r"\bsportello_\w+", rule["expr"])
        if re.match(r"(sum|max|min|absent|histogram_quantile)\b", rule["expr"].strip()):
            has = {label.strip() for group in grouped for label in group.split(",")}
        else:
            has = set(deploying.SCRAPE_LABELS).union(*(METRICS[name] for name in names))
        assert shown <= has, rule["alert"]


def test_every_metric_is_shown_somewhere() -> None:
    said = " ".join(QUERIES)
    families = {re.sub(r"_(bucket|count|sum)$", "", name) for name in METRICS}
    assert {name for name in families if name not in said} == set()


def test_every_alert_can_be_acted_on() -> None:
    headings = {slug(line.lstrip("#")) for line in (DEPLOY / "README.md").read_text("utf-8").splitlines() if line.startswith("#")}
    names = [rule["alert"] for rule in RULES]
    assert len(set(names)) == len(names)
    used = set()
    for rule in RULES:
        assert rule["labels"]["severity"] in {"critical", "warning"}
        assert rule["annotations"].keys() == {"summary", "description", "runbook"}
        path, _, anchor = rule["annotations"]["runbook"].partition("#")
        assert path == "deploy/README.md"
        assert anchor in headings, f"{rule['alert']}: no heading for #{anchor}"
        used.add(anchor)
    _, _, books = (DEPLOY / "README.md").read_text("utf-8").partition("# Runbooks")
    assert {slug(line) for line in re.findall(r"^## (.+)$", books, re.MULTILINE)} == used, "a runbook without an alert"


def test_links_within_the_manual_arrive() -> None:
    text = (DEPLOY / "README.md").read_text("utf-8")
    headings = {slug(line.lstrip("#")) for line in text.splitlines() if line.startswith("#")}
    assert set(re.findall(r"\]\(#([\w-]+)\)", text)) <= headings


def test_the_spools_limit_is_the_setting() -> None:
    rule = next(rule for rule in RULES if rule["alert"] == "SportelloSpoolNearlyFull")
    limit = int(rule["expr"].rpartition("*")[2])
    assert limit == deploying.default_of("spool", "max_bytes")
    assert limit == deploying.load_yaml(DEPLOY / "helm" / "sportello" / "values.yaml")["spool"]["maxBytes"]


def test_the_number_of_duties_is_that_of_partitions() -> None:
    rule = next(rule for rule in RULES if rule["alert"] == "SportelloDutiesUnowned")
    assert rule["expr"].endswith(f"< {PARTITIONS}")


def test_a_route_is_found_by_its_pattern() -> None:
    patterns = {pattern for query in QUERIES for pattern in re.findall(r'route=~"([^"]+)"', query)}
    assert patterns
    for pattern in patterns:
        assert any(re.fullmatch(pattern, path) for path in deploying.paths())


def test_the_dashboard_is_made_from_its_table() -> None:
    spec = importlib.util.spec_from_file_location("make_dashboard", DEPLOY / "grafana" / "make_dashboard.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert DASHBOARD.read_text("utf-8") == module.render(), "run: python deploy/grafana/make_dashboard.py"


def test_panels_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    panels = json.loads(DASHBOARD.read_text("utf-8"))["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        place = panel["gridPos"]
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])}
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells


@pytest.mark.skipif(shutil.which("promtool") is None, reason="no promtool here; Debian's package prometheus has it")
@pytest.mark.parametrize("arguments", [("check", "rules", "alerts.yml"), ("test", "rules", "alerts_test.yml")], ids=" ".join)
def test_prometheus_understands_the_alerts(arguments: tuple[str, ...]) -> None:
    done = subprocess.run(["promtool", *arguments], cwd=ALERTS.parent, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
