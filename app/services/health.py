"""Whether the service and what it depends on work.

Each dependency is asked in a thread of its own and waited for CHECK_SECONDS, all together: one that hangs is
reported and holds up nobody. Messages are for anyone to read; the reason of a failure goes to the log.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from flask import Flask, current_app
from sqlalchemy import text

from app import clock
from app.config import SERVICE_NAME
from app.extensions import db, read_only, redis_client, settings
from app.logging_config import get_logger
from app.monitoring import Probe
from app.storage import get_storage

logger = get_logger(__name__)

CHECK_SECONDS = 1.0
READINESS = ("database", "redis")  # without these no request can be answered well

Status = Literal["healthy", "unhealthy"]
Details = dict[str, Any]


@dataclass(frozen=True)
class Check:
    """What asking one dependency found."""

    status: Status
    message: str
    details: Details = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the guide's shape; details are left out when there are none."""
        shown: dict[str, Any] = {"status": self.status, "message": self.message}
        return shown | ({"details": self.details} if self.details else {})


@dataclass(frozen=True)
class Report:
    """What asking several dependencies found, by name."""

    checks: Mapping[str, Check]

    @property
    def status(self) -> Status:
        return "healthy" if all(check.status == "healthy" for check in self.checks.values()) else "unhealthy"


def describe() -> dict[str, Any]:
    """Return what the service is, without asking anything."""
    return {
        "status": "healthy",
        "timestamp": timestamp(),
        "service": SERVICE_NAME,
        "version": settings().app_version,
    }


def timestamp() -> str:
    """Return the present second, as `2024-01-15T10:30:00Z`."""
    return clock.isoformat(clock.now().replace(microsecond=0))


def check_readiness() -> Report:
    """Ask what no request can do without: database and Redis."""
    return _report({name: probe for name, probe in _probes().items() if name in READINESS})


def check_everything() -> Report:
    """Ask the database, Redis and the file storage (`s3` or `storage`)."""
    return _report(_probes())


def _report(probes: Mapping[str, Probe[Details]]) -> Report:
    answers = {name: probe.start() for name, probe in probes.items()}
    deadline = clock.monotonic() + CHECK_SECONDS
    return Report({name: _wait(name, answer, deadline) for name, answer in answers.items()})


def _wait(name: str, answer: Future[Details], deadline: float) -> Check:
    label = LABELS[name]
    try:
        details = answer.result(timeout=max(deadline - clock.monotonic(), 0.001))
    except TimeoutError:
        logger.warning("Health check: %s did not answer in time", name, extra={"seconds": CHECK_SECONDS})
        return Check("unhealthy", f"{label} did not answer within {CHECK_SECONDS:g} s")
    except Exception as error:  # whatever it is, the page must say so rather than fail
        logger.warning("Health check: %s failed: %s: %s", name, type(error).__name__, error)
        return Check("unhealthy", f"{label} connection failed")
    return Check("healthy", f"{label} connection successful", details)


LABELS: Mapping[str, str] = {"database": "Database", "redis": "Redis", "s3": "S3", "storage": "Storage"}


def _probes() -> dict[str, Probe[Details]]:
    app = cast(Flask, current_app._get_current_object())  # type: ignore[attr-defined]  # for the threads
    if "health_probes" not in app.extensions:
        storage = "s3" if settings().storage_backend == "s3" else "storage"
        questions = {"database": _ask_database, "redis": _ask_redis, storage: _ask_storage}
        probes = {name: Probe(_within(app, question), name=name) for name, question in questions.items()}
        app.extensions.setdefault("health_probes", probes)
    return cast(dict[str, Probe[Details]], app.extensions["health_probes"])


def _within(app: Flask, question: Callable[[], Details]) -> Callable[[], Details]:
    def asked() -> Details:
        with app.app_context():
            return question()

    return asked


def _ask_database() -> Details:
    with read_only(), db.engine.connect() as connection:  # not the session: this thread owns no transaction
        connection.execute(text("SELECT 1"))
    return {}


def _ask_redis() -> Details:
    info = redis_client().info()
    return {
        "version": info["redis_version"],
        "connected_clients": info["connected_clients"],
        "used_memory_human": info["used_memory_human"],
    }


def _ask_storage() -> Details:
    return get_storage().check()
