"""Counting every request, with labels that cannot grow without bound."""

from __future__ import annotations

from flask import Flask, Response, g, request

from app import clock
from app.config import Settings
from app.monitoring.metrics import HTTP_DURATION, HTTP_REQUESTS, requests_in_progress
from app.monitoring.scrape import ENDPOINT

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def init_app(app: Flask, settings: Settings) -> None:  # noqa: ARG001 - every subsystem has this shape
    """Count requests, their durations and those in progress; scrapes themselves are not counted."""
    app.before_request(_begin)
    app.after_request(_count)
    app.teardown_request(_end)


def _begin() -> None:
    if request.endpoint == ENDPOINT:
        return
    g.counted_since = clock.monotonic()
    requests_in_progress().inc()


def _count(response: Response) -> Response:
    if "counted_since" in g:
        method = request.method if request.method in METHODS else "OTHER"
        endpoint = request.endpoint or "unmatched"
        HTTP_REQUESTS.labels(method, endpoint, str(response.status_code)).inc()
        HTTP_DURATION.labels(method, endpoint).observe(clock.monotonic() - g.counted_since)
    return response


def _end(_error: BaseException | None) -> None:
    if "counted_since" in g:
        g.pop("counted_since")
        requests_in_progress().dec()
