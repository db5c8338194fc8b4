"""How gunicorn serves the API. Everything that differs between installations comes from the settings."""

from __future__ import annotations

import gc
import sys
from pathlib import Path
from typing import Any

from gunicorn import glogging

sys.path.insert(0, str(Path(__file__).resolve().parent))  # gunicorn reads this before it looks at the folder

from app import monitoring
from app.config import ConfigError, load
from app.logging_config import configure_logging
from jobs import web_errors

try:
    settings = load()
except ConfigError as faults:
    raise SystemExit(str(faults)) from None

# Before the application counts anything: all processes count into one folder and any of them answers /metrics.
monitoring.use_metrics_dir(settings.metrics_dir)
configure_logging(settings)
web_errors.install()


class Logger(glogging.Logger):  # type: ignore[misc]
    """gunicorn's messages, written by our logging."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        for logger in (self.error_log, self.access_log):
            logger.handlers.clear()
            logger.propagate = True


wsgi_app = "wsgi:app"
bind = settings.bind
proc_name = "video-scheduler-web"

# A large upload keeps a thread busy for minutes: `sync` workers would be killed in the middle of it.
worker_class = "jobs.web.PatientWorker"  # gthread, with an end to waiting for slow senders
workers = settings.web_processes
threads = settings.web_threads
preload_app = True  # processes share the memory of the loaded application
timeout = 60  # seconds without a sign from a worker's main thread; requests themselves may take longer
graceful_timeout = 30  # seconds for requests to end after SIGTERM
keepalive = 75  # seconds; longer than the 60 of common load balancers, or they meet closed connections
if Path("/dev/shm").is_dir():  # noqa: S108
    worker_tmp_dir = "/dev/shm"  # noqa: S108 - the sign of life must not wait for a busy disk

logger_class = Logger
loglevel = settings.log_level.lower()
accesslog = None  # the application writes one line a request, with its id

# Whose X-Forwarded-* is believed is decided in one place, by TRUSTED_PROXIES in the application.
forwarded_allow_ips = ""
secure_scheme_headers: dict[str, str] = {}
header_map = "drop"  # X_Forwarded_For must not pass for X-Forwarded-For
limit_request_line = 8190  # bytes
limit_request_fields = 100
limit_request_field_size = 8190  # bytes
control_socket_disable = True  # gunicorn 25+ would open a management socket in the user's home


def when_ready(_server: Any) -> None:
    """Share the loaded application for good: a collection in a worker would write to, and so copy, all of it."""
    gc.collect()
    gc.freeze()


def child_exit(_server: Any, worker: Any) -> None:
    """Forget what a web process that ended had in progress."""
    monitoring.mark_dead(worker.pid)
