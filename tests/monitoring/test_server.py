"""Workers and the dispatcher answer the operator's paths and nothing else."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator

import psutil
import pytest
import requests
from flask import Flask
from werkzeug.serving import BaseWSGIServer

from app import error_handlers, monitoring
from app.config import Settings
from app.monitoring import serve_metrics, server
from tests.servers import ROOT, free_port


@pytest.fixture
def app() -> Flask:
    app = Flask("tested")
    monitoring.init_app(app, Settings())
    error_handlers.init_app(app, Settings())
    for path in ("/health", "/health/live", "/api/v1/posts"):
        app.add_url_rule(path, view_func=lambda: "fine", endpoint=path.strip("/").replace("/", "-"))
    return app


@pytest.fixture
def serving(app: Flask) -> Iterator[BaseWSGIServer]:
    running = server.start_server(app, host="127.0.0.1", port=0)
    yield running
    running.shutdown()
    running.server_close()


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/metrics", 200),
        ("/health", 200),
        ("/health/live", 200),
        ("/", 404),
        ("/api/v1/posts", 404),
        ("/metricsandmore", 404),
        ("/healthy", 404),
    ],
)
def test_only_the_operators_paths_are_served(serving: BaseWSGIServer, path: str, status: int) -> None:
    response = requests.get(f"http://127.0.0.1:{serving.port}{path}", timeout=5)

    assert response.status_code == status
    if status == 404:
        assert response.json()["error"]["code"] == "RESOURCE_NOT_FOUND"


def test_without_a_port_nothing_is_served(app: Flask) -> None:
    assert serve_metrics(app, Settings()) is None


def test_the_settings_choose_host_and_port(app: Flask) -> None:
    running = serve_metrics(app, Settings(bind="127.0.0.1:8000", metrics_port=free_port()))

    assert running is not None
    try:
        assert requests.get(f"http://127.0.0.1:{running.port}/health", timeout=5).text == "fine"
    finally:
        running.shutdown()
        running.server_close()


def test_a_port_that_is_taken_stops_nobody(app: Flask, serving: BaseWSGIServer) -> None:
    assert serve_metrics(app, Settings(), port=serving.port) is None


def test_a_process_that_forks_serves_from_a_child_that_ends_with_it() -> None:
    port = free_port()
    script = f"""
import sys
from flask import Flask
from app import monitoring
from app.config import Settings
app, settings = Flask("x"), Settings(metrics_port={port})
monitoring.init_app(app, settings)
print(monitoring.fork_metrics_server(app, settings), flush=True)
sys.stdin.read()
"""
    parent = subprocess.Popen(
        [sys.executable, "-c", script], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    deadline = time.monotonic() + 10
    while not answers(port):
        assert time.monotonic() < deadline
        time.sleep(0.05)

    parent.kill()
    parent.communicate()

    psutil.wait_procs([child], timeout=5)
    assert not child.is_running()
    assert not answers(port)


def answers(port: int) -> bool:
    try:
        return requests.get(f"http://127.0.0.1:{port}/metrics", timeout=1).ok
    except requests.ConnectionError:
        return False
