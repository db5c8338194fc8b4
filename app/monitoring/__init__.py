"""What the application counts and reports, and how it is read.

    track_video_post(platform="some_platform", status="success")

The names and labels are the guide's; dashboards depend on them. Counts are exact over several web processes
and forked workers (`processes`), gauges that need the database are read when somebody scrapes (`scrape`),
errors go to Sentry without secrets (`sentry`).
"""

from __future__ import annotations

from flask import Flask

from app.config import Settings
from app.monitoring import requests, scrape
from app.monitoring.metrics import (
    track_celery_task,
    track_platform_api_call,
    track_platform_callback,
    track_post_step,
    track_publish_lateness,
    track_rq_job,
    track_video_post,
    track_video_upload,
    track_visible_lateness,
)
from app.monitoring.probe import Probe
from app.monitoring.processes import clear_metrics_dir, mark_dead, mark_horse, use_metrics_dir
from app.monitoring.scrape import bears_metrics_token, register_collector
from app.monitoring.sentry import capture_error, capture_killed_horse, init_sentry
from app.monitoring.server import fork_metrics_server, serve_metrics

__all__ = [
    "Probe",
    "bears_metrics_token",
    "capture_error",
    "capture_killed_horse",
    "clear_metrics_dir",
    "fork_metrics_server",
    "init_app",
    "init_sentry",
    "mark_dead",
    "mark_horse",
    "register_collector",
    "serve_metrics",
    "track_celery_task",
    "track_platform_api_call",
    "track_platform_callback",
    "track_post_step",
    "track_publish_lateness",
    "track_rq_job",
    "track_video_post",
    "track_video_upload",
    "track_visible_lateness",
    "use_metrics_dir",
]


def init_app(app: Flask, settings: Settings) -> None:
    """Start Sentry when it is configured, count every request, and answer `/metrics`."""
    init_sentry(settings)
    requests.init_app(app, settings)
    scrape.init_app(app, settings)
