"""`/metrics` and `/health` for processes that are not the web server."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Iterable
from typing import Any

from flask import Flask
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from app.config import Settings
from app.logging_config import get_logger

logger = get_logger(__name__)


class _Handler(WSGIRequestHandler):
    timeout = 5  # seconds a client may keep us waiting for its request

    def log_request(self, *_args: Any) -> None:
        """Say nothing: the app writes its own access lines."""


def serve_metrics(app: Flask, settings: Settings, *, port: int | None = None) -> BaseWSGIServer | None:
    """Serve `/metrics` and `/health/*` of `app` from a thread and return the server.

    `port` None: METRICS_PORT; 0: none is wanted. The host is that of BIND. A port that is taken is logged as an
    error and None returned: posts go out unwatched rather than not at all.
    """
    port = settings.metrics_port if port is None else port
    if not port:
        return None
    host = settings.bind.rpartition(":")[0] or "127.0.0.1"
    try:
        return start_server(app, host=host, port=port)
    except OSError as error:
        logger.error("METRICS_PORT cannot be served: %s", error, extra={"host": host, "port": port})
        return None


def fork_metrics_server(app: Flask, settings: Settings) -> int | None:
    """Serve as `serve_metrics` does, from a child process that ends with this one; return its pid.

    For processes that fork: a child forked while a serving thread holds a lock would never get that lock.
    """
    if not settings.metrics_port:
        return None
    parent = os.getpid()
    if pid := os.fork():
        return pid
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    try:
        if serve_metrics(app, settings):
            while os.getppid() == parent:
                time.sleep(0.5)
    finally:
        os._exit(0)


def start_server(app: Flask, *, host: str, port: int) -> BaseWSGIServer:
    """Serve the operator's paths of `app` on host and port (0: any free one). Raises OSError when taken."""

    def watched(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if path == "/metrics" or path == "/health" or path.startswith("/health/"):
            return app.wsgi_app(environ, start_response)
        start_response("404 Not Found", [("Content-Type", "application/json")])
        return [b'{"error":{"code":"RESOURCE_NOT_FOUND","message":"There is nothing here.","details":{}}}\n']

    with socket.create_server((host, port)) as listening:  # werkzeug's own binding would exit the process
        server = make_server(
            host, port, watched, threaded=True, request_handler=_Handler, fd=listening.fileno()
        )
    threading.Thread(target=server.serve_forever, name="metrics-server", daemon=True).start()
    logger.info("Serving /metrics and /health", extra={"host": host, "port": server.port})
    return server
