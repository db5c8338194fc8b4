"""The scrape configuration, the alert rules and the dashboard speak of metrics that exist, and alerts fire."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest
import yaml
from flask import Flask
from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families

from app.monitoring.metrics import requests_in_progress
from tests.servers import ROOT
from tests.skips import skip_or_fail

PROMETHEUS = ROOT / "deploy" / "prometheus"
DASHBOARD = ROOT / "deploy" / "grafana" / "dashboard.json"
PROMETHEUS_OWN = {"up"}

ALERTS = [
    rule
    for group in yaml.safe_load((PROMETHEUS / "alerts.yml").read_text())["groups"]
    for rule in group["rules"]
]
PANELS = [panel for panel in json.loads(DASHBOARD.read_text())["panels"] if panel["type"] != "row"]
EXPRESSIONS = [rule["expr"] for rule in ALERTS] + [
    query["expr"] for panel in PANELS for query in panel["targets"]
]


def metric_names(expression: str) -> set[str]:
    """The names of metrics in a PromQL expression: words that are no function, keyword, label or text."""
    bare = re.sub(r'"[^"]*"', "", expression)
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]|\b(?:by|on|without|ignoring)\s*\([^)]*\)|\boffset \w+", " ", bare)
    words = re.findall(r"[a-z_:][a-z0-9_:]*\b(?!\s*\()", bare)
    return set(words) - {"or", "and", "unless", "by", "on"}


def label_names(expression: str) -> Iterable[tuple[str, str]]:
    for metric, labels in re.findall(r"([a-z_]+)\{([^}]*)\}", expression):
        for label in re.findall(r"(\w+)\s*[=!]~?", re.sub(r'"[^"]*"', '""', labels)):
            yield metric, label


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which("promtool")
    if program is None:
        skip_or_fail("promtool is missing: apt-get install --no-install-recommends prometheus")
    return subprocess.run([program, *arguments], cwd=PROMETHEUS, capture_output=True, text=True, check=False)


@pytest.fixture
def exposed(app: Flask) -> set[str]:
    """Every name that can stand in an answer of /metrics."""
    requests_in_progress()
    names = {name for family in REGISTRY.collect() for name in REGISTRY._get_names(_Described([family]))}
    scraped = app.test_client().get("/metrics").text
    for family in text_string_to_metric_families(scraped):
        names |= {family.name, *(sample.name for sample in family.samples)}
    return names


class _Described:
    def __init__(self, families: list) -> None:
        self.families = families

    def describe(self) -> list:
        return self.families


def test_expressions_are_read_as_prometheus_reads_them() -> None:
    expression = 'sum by (le) (rate(a_bucket{b="c_d"}[5m])) / max(e) or vector(0) - sum(f offset 10m) > 0.5'

    assert metric_names(expression) == {"a_bucket", "e", "f"}


@pytest.mark.usefixtures("database_url")
def test_every_metric_of_alerts_and_dashboard_exists(exposed: set[str]) -> None:
    used = set().union(*(metric_names(expression) for expression in EXPRESSIONS))

    assert len(used) > 20
    assert used - exposed - PROMETHEUS_OWN == set()


def test_every_metric_of_the_guide_is_on_the_dashboard() -> None:
    used = set().union(*(metric_names(query["expr"]) for panel in PANELS for query in panel["targets"]))

    guide = {"http_requests_total", "http_request_duration_seconds_bucket", "http_requests_in_progress"}
    guide |= {"video_uploads_total", "video_posts_total", "platform_api_calls_total", "celery_tasks_total"}
    guide |= {"platform_api_duration_seconds_bucket", "database_connections", "redis_connections"}
    assert guide - used == set()


def test_selectors_use_labels_that_exist() -> None:
    known = {
        "http_requests_total": {"method", "endpoint", "status"},
        "http_request_duration_seconds_bucket": {"endpoint"},
    }
    known |= {"video_posts_total": {"platform", "status"}, "video_uploads_total": {"status"}}
    known |= {"platform_api_calls_total": {"platform", "operation", "status"}, "targets_held": {"hold"}}
    known |= {"rq_jobs_total": {"task_name", "status"}, "processes_alive": {"role"}}
    known |= {"queue_oldest_seconds": {"queue"}, "up": {"job"}}

    for expression in EXPRESSIONS:
        for metric, label in label_names(expression):
            assert label in known[metric], expression


def test_panels_do_not_share_ids_or_places() -> None:
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)
    places = {(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in PANELS}
    assert len(places) == len(PANELS)


def test_every_alert_is_tried_and_explained() -> None:
    tried = yaml.safe_load((PROMETHEUS / "alerts_test.yml").read_text())["tests"]
    fired = {case["alertname"] for test in tried for case in test["alert_rule_test"] if case["exp_alerts"]}
    manual = (ROOT / "docs" / "operations.md").read_text()

    names = {rule["alert"] for rule in ALERTS}
    assert names == fired
    assert {name for name in names if f"`{name}`" not in manual} == set()


@pytest.mark.usefixtures("database_url")
def test_every_metric_is_explained(app: Flask) -> None:
    requests_in_progress()
    ours = {family.name for family in text_string_to_metric_families(app.test_client().get("/metrics").text)}
    ours = {name for name in ours if not name.startswith(("python_", "process_"))} | {"processes_alive"}
    counters = {f"{name}_total" for name in ours}

    manual = (ROOT / "docs" / "operations.md").read_text()
    explained = set(re.findall(r"^\| `([a-z_]+)` \| [a-z_, ]*\|", manual, re.MULTILINE))
    assert explained <= ours | counters
    assert {name for name in ours if not {name, f"{name}_total"} & explained} == set()


def test_the_scrape_configuration_is_the_guides() -> None:
    [job] = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())["scrape_configs"]

    assert job == {
        "job_name": "video-scheduler",
        "static_configs": [{"targets": ["localhost:8000"]}],
        "metrics_path": "/metrics",
    }


@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "config", "prometheus.yml"),
        ("check", "rules", "alerts.yml"),
        ("test", "rules", "alerts_test.yml"),
    ],
    ids=" ".join,
)
def test_promtool_finds_nothing_wrong(arguments: tuple[str, ...]) -> None:
    done = promtool(*arguments)

    assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_finds_nothing_wrong_with_our_answer(app: Flask, tmp_path: Path) -> None:
    program = shutil.which("promtool")
    if program is None:
        skip_or_fail("promtool is missing: apt-get install --no-install-recommends prometheus")
    text = app.test_client().get("/metrics").text

    done = subprocess.run(
        [program, "check", "metrics"], input=text, capture_output=True, text=True, check=False
    )

    assert done.returncode in {0, 3}, done.stdout + done.stderr  # 3: only matters of style
    assert "error" not in (done.stdout + done.stderr).lower()
