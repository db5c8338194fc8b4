"""What /metrics answers, to whom, and what happens when a part of it cannot be read."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
from flask import Flask
from prometheus_client.metrics_core import GaugeMetricFamily

from app import error_handlers, monitoring
from app.config import Settings
from app.monitoring import Probe, register_collector, scrape

TOKEN = "t" * 20


def make_app(**settings: str) -> Flask:
    app = Flask("tested")
    monitoring.init_app(app, Settings(**settings))
    error_handlers.init_app(app, Settings())
    return app


@pytest.fixture(autouse=True)
def collectors(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(scrape, "_collectors", {})
    monkeypatch.setattr(scrape, "SCRAPE_SECONDS", 0.2)
    yield


def scraped(path: str = "/metrics") -> str:
    return make_app().test_client().get(path).text


def test_a_collectors_gauges_are_part_of_the_answer() -> None:
    register_collector(lambda: [GaugeMetricFamily("ducks", "On the pond.", value=3)], name="pond")

    assert "\nducks 3.0\n" in scraped()
    assert 'metrics_collector_up{collector="pond"} 1.0' in scraped()


def test_a_collector_that_fails_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    register_collector(lambda: 1 / 0, name="pond")  # type: ignore[arg-type, return-value]

    text = scraped()

    assert 'metrics_collector_up{collector="pond"} 0.0' in text
    assert "http_requests_total" in text


def test_a_collector_that_hangs_is_left_out_and_holds_one_thread() -> None:
    release, started = threading.Event(), []
    register_collector(lambda: started.append(1) or [] if release.wait(60) else [], name="pond")
    before = threading.active_count()

    began = time.monotonic()
    texts = [scraped(), scraped()]

    assert time.monotonic() - began < 30  # neither waited for it
    assert threading.active_count() == before + 1
    release.set()
    assert all('metrics_collector_up{collector="pond"} 0.0' in text for text in texts)


def test_one_may_ask_for_some_metrics_only() -> None:
    register_collector(lambda: [GaugeMetricFamily("ducks", "On the pond.", value=3)], name="pond")

    text = scraped("/metrics?name[]=ducks")

    assert "ducks 3.0" in text
    assert "http_requests_total" not in text


def test_without_a_token_anybody_may_read() -> None:
    assert make_app().test_client().get("/metrics").status_code == 200


@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer ", f"Basic {TOKEN}", "Bearer wrong", f"Bearer {TOKEN}\u00e9"]
)
def test_with_a_token_only_its_bearer_may_read(header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header}

    response = make_app(metrics_token=TOKEN).test_client().get("/metrics", headers=headers)

    assert response.status_code == 401
    assert response.json["error"]["code"] == "AUTH_ERROR"


def test_the_bearer_of_the_token_reads() -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"}

    response = make_app(metrics_token=TOKEN).test_client().get("/metrics", headers=headers)

    assert response.status_code == 200
    assert response.content_type.startswith("text/plain; version=")


# -- the probe under it


def test_a_probe_gives_its_answer_anew_each_time() -> None:
    answers = iter([1, 2])
    probe = Probe(lambda: next(answers), name="x")

    assert [probe.ask(seconds=1), probe.ask(seconds=1)] == [1, 2]


def test_a_probe_raises_what_its_question_raises() -> None:
    probe: Probe[float] = Probe(lambda: 1 / 0, name="x")

    with pytest.raises(ZeroDivisionError):
        probe.ask(seconds=1)


def test_all_who_ask_meanwhile_get_the_same_answer() -> None:
    release, asked = threading.Event(), []
    probe = Probe(lambda: asked.append(1) or release.wait(5), name="x")

    with pytest.raises(TimeoutError):
        probe.ask(seconds=0.05)
    waiting = probe.start()
    release.set()

    assert waiting.result(timeout=1) is True
    assert len(asked) == 1
