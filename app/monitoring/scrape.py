"""What `/metrics` answers: the counts of all processes and what is read at that moment."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterable, Iterator
from functools import wraps
from typing import Any

from flask import Flask, request
from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector
from prometheus_flask_exporter import PrometheusMetrics

from app.config import Settings
from app.exceptions import AuthenticationError
from app.logging_config import get_logger
from app.monitoring.probe import Probe
from app.monitoring.processes import is_multiprocess

logger = get_logger(__name__)

SCRAPE_SECONDS = 2.0  # a collector slower than this is left out; Prometheus itself waits 10 s
ENDPOINT = "prometheus_metrics"  # the exporter's name for its view

CollectorFunction = Callable[[], Iterable[Metric]]
_collectors: dict[str, Probe[list[Metric]]] = {}


def register_collector(function: CollectorFunction, *, name: str) -> None:
    """Have `function` called at each scrape and its metrics added to the answer; the same name replaces.

    It runs in a thread of its own: it brings its own app context. When it fails or takes over SCRAPE_SECONDS
    its metrics are left out and `metrics_collector_up{collector=name}` is 0.
    """
    _collectors[name] = Probe(lambda: list(function()), name=name)


def init_app(app: Flask, settings: Settings) -> None:
    """Answer `/metrics`, to bearers of METRICS_TOKEN only when it is set."""
    exporter = ScrapedMetrics.for_app_factory(
        path="/metrics", export_defaults=False, metrics_decorator=lambda view: _guarded(view, settings)
    )
    exporter.init_app(app)


def bears_metrics_token(settings: Settings) -> bool:
    """Say whether the request carries METRICS_TOKEN; never true when none is set."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    is_same = hmac.compare_digest(token.strip().encode(), settings.metrics_token.encode())
    return bool(settings.metrics_token) and scheme.lower() == "bearer" and is_same


def _guarded(view: Callable[..., Any], settings: Settings) -> Callable[..., Any]:
    @wraps(view)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        if settings.metrics_token and not bears_metrics_token(settings):
            raise AuthenticationError("Send METRICS_TOKEN as a bearer token.")
        return view(*args, **kwargs)

    return guarded


class ScrapedMetrics(PrometheusMetrics):  # type: ignore[misc]  # untyped package
    """The exporter, answering with our collectors too (its own answer drops them in multiprocess mode)."""

    def generate_metrics(
        self, accept_header: str | None = None, names: list[str] | None = None
    ) -> tuple[str, str]:
        registry = CollectorRegistry(support_collectors_without_names=True)
        registry.register(_Everything())
        encode, content_type = choose_encoder(accept_header or "")
        return encode(registry.restricted_registry(names) if names else registry).decode(), content_type


class _Everything(Collector):
    def describe(self) -> Iterable[Metric]:
        return []  # without it, registering would already collect

    def collect(self) -> Iterator[Metric]:
        counted = MultiProcessCollector(None) if is_multiprocess() else REGISTRY  # type: ignore[no-untyped-call]
        yield from counted.collect()
        answered = GaugeMetricFamily(
            "metrics_collector_up", "1 when a collector answered this scrape in time.", labels=["collector"]
        )
        for name, probe in list(_collectors.items()):
            found = _ask(name, probe)
            answered.add_metric([name], 0 if found is None else 1)
            yield from found or []
        yield answered


def _ask(name: str, probe: Probe[list[Metric]]) -> list[Metric] | None:
    try:
        return probe.ask(seconds=SCRAPE_SECONDS)
    except Exception as error:  # whatever it is, the rest of the answer must go out
        logger.warning("Collector %s gave nothing: %s", name, type(error).__name__)
        return None
