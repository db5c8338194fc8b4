"""The guide's metrics, by their exact names and labels."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import pytest
from flask import Flask
from flask.testing import FlaskClient
from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families

from app import error_handlers, logging_config, monitoring
from app.config import Settings
from app.monitoring import (
    track_celery_task,
    track_platform_api_call,
    track_publish_lateness,
    track_rq_job,
    track_video_post,
    track_video_upload,
    track_visible_lateness,
)

unique = (f"name{number}" for number in count())  # counts live as long as the process: each test has its own


def value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


@pytest.fixture
def app() -> Iterator[Flask]:
    settings = Settings()
    app = Flask("tested")
    app.config["PROPAGATE_EXCEPTIONS"] = False
    logging_config.init_app(app, settings)
    monitoring.init_app(app, settings)
    error_handlers.init_app(app, settings)
    yield app
    logging_config.clear_context()


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


GUIDE = {
    "http_requests": ("counter", {"method", "endpoint", "status"}),
    "http_request_duration_seconds": ("histogram", {"method", "endpoint", "le"}),
    "http_requests_in_progress": ("gauge", set()),
    "video_uploads": ("counter", {"status"}),
    "video_posts": ("counter", {"platform", "status"}),
    "platform_api_calls": ("counter", {"platform", "operation", "status"}),
    "platform_api_duration_seconds": ("histogram", {"platform", "operation", "le"}),
    "celery_tasks": ("counter", {"task_name", "status"}),
    "rq_jobs": ("counter", {"task_name", "status"}),
    "publish_lateness_seconds": ("histogram", {"platform", "le"}),
    "publish_visible_lateness_seconds": ("histogram", {"platform", "le"}),
    "publish_early": ("counter", {"platform"}),
}


def test_every_metric_has_the_guides_name_and_labels(app: Flask, client: FlaskClient) -> None:
    track_video_upload(status="success")
    track_video_post(platform="tiktok", status="success")
    track_platform_api_call(platform="tiktok", operation="upload", status="success", duration=2.5)
    track_celery_task(task_name="post_video", status="success")
    track_publish_lateness("tiktok", -0.001)
    track_visible_lateness("tiktok", 1.0)
    client.get("/nowhere")

    families = {family.name: family for family in text_string_to_metric_families(client.get("/metrics").text)}

    for name, (kind, labels) in GUIDE.items():
        assert families[name].type == kind, name
        assert set().union(*(sample.labels for sample in families[name].samples)) == labels, name


def test_an_upload_is_counted_by_status() -> None:
    status = next(unique)

    track_video_upload(status=status)
    track_video_upload(status)

    assert value("video_uploads_total", status=status) == 2


def test_a_post_is_counted_by_platform_and_status() -> None:
    platform = next(unique)

    track_video_post(platform=platform, status="failed")

    assert value("video_posts_total", platform=platform, status="failed") == 1


def test_a_platforms_call_is_counted_and_timed() -> None:
    platform = next(unique)

    track_platform_api_call(platform=platform, operation="upload", status="success", duration=2.5)
    track_platform_api_call(platform=platform, operation="upload", status="success")

    labels = {"platform": platform, "operation": "upload"}
    assert value("platform_api_calls_total", **labels, status="success") == 2
    assert value("platform_api_duration_seconds_sum", **labels) == 2.5
    assert value("platform_api_duration_seconds_count", **labels) == 1


def test_jobs_have_the_same_counts_under_both_names() -> None:
    task = next(unique)

    track_rq_job(task_name=task, status="success")
    track_celery_task(task_name=task, status="success")

    for name in ("rq_jobs_total", "celery_tasks_total"):
        assert value(name, task_name=task, status="success") == 2


def test_lateness_is_measured_from_a_millisecond_to_two_hours() -> None:
    platform = next(unique)

    for seconds in (0.0005, 0.012, 7199):
        track_publish_lateness(platform, seconds)

    assert value("publish_lateness_seconds_bucket", platform=platform, le="0.001") == 1
    assert value("publish_lateness_seconds_bucket", platform=platform, le="0.015") == 2
    assert value("publish_lateness_seconds_bucket", platform=platform, le="7200.0") == 3
    assert value("publish_early_total", platform=platform) == 0


def test_an_early_call_is_counted_as_such() -> None:
    platform = next(unique)

    track_publish_lateness(platform, -0.001)

    assert value("publish_early_total", platform=platform) == 1
    assert value("publish_lateness_seconds_sum", platform=platform) == 0


# -- requests


def test_a_request_is_counted_by_its_endpoint_not_its_path(app: Flask, client: FlaskClient) -> None:
    endpoint = next(unique)
    app.add_url_rule(f"/{endpoint}/<number>", view_func=lambda **_: "", endpoint=endpoint)

    client.get(f"/{endpoint}/1")
    client.get(f"/{endpoint}/2")

    assert value("http_requests_total", method="GET", endpoint=endpoint, status="200") == 2
    assert value("http_request_duration_seconds_count", method="GET", endpoint=endpoint) == 2


def test_addresses_and_methods_anybody_makes_up_add_no_series(client: FlaskClient) -> None:
    before = value("http_requests_total", method="OTHER", endpoint="unmatched", status="404")

    client.open("/made/up", method="BREW")
    client.open("/also/made/up", method="WHEN")

    assert value("http_requests_total", method="OTHER", endpoint="unmatched", status="404") == before + 2
    assert value("http_requests_total", method="BREW", endpoint="unmatched", status="404") == 0


def test_a_request_in_progress_is_seen_and_then_gone(app: Flask, client: FlaskClient) -> None:
    endpoint = next(unique)
    seen: list[float] = []
    app.add_url_rule(
        f"/{endpoint}",
        view_func=lambda: seen.append(value("http_requests_in_progress")) or "",
        endpoint=endpoint,
    )

    client.get(f"/{endpoint}")

    assert (seen, value("http_requests_in_progress")) == ([1.0], 0.0)


def test_a_request_that_fails_is_counted_and_over(app: Flask, client: FlaskClient) -> None:
    endpoint = next(unique)
    app.add_url_rule(f"/{endpoint}", view_func=lambda: 1 / 0, endpoint=endpoint)

    client.get(f"/{endpoint}")

    assert value("http_requests_total", method="GET", endpoint=endpoint, status="500") == 1
    assert value("http_requests_in_progress") == 0


def test_scrapes_are_not_counted(client: FlaskClient) -> None:
    client.get("/metrics")

    assert value("http_requests_total", method="GET", endpoint="prometheus_metrics", status="200") == 0
