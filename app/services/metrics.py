"""The gauges that only the database and Redis know, read when somebody scrapes.

Database and Redis are read by collectors of their own: when one is away, the other's gauges are still there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any

from flask import Flask
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from rq.job import Job
from sqlalchemy import ColumnElement, Executable, QueuePool, func, select
from sqlalchemy import text as sql

from app import clock
from app.config import Settings
from app.domain.grant_life import ENDS_SOON
from app.extensions import db, read_only, redis_client
from app.models import Channel, Credential, Rendition, Target, Upload, Video
from app.models.target import ATTENTION, MAY_BE_LATE
from app.monitoring import register_collector
from app.queue import QUEUES, carrier
from app.services import clock_offset, quotas

OVERDUE = timedelta(seconds=30)  # later than any healthy retry of the last step
FAR = timedelta(days=1)  # how much longer than this a post's late window may be and still be counted below


def init_app(app: Flask, settings: Settings) -> None:  # noqa: ARG001 - every subsystem has this shape
    """Have the gauges of this app's database and Redis read at each scrape."""

    def database() -> Iterable[Metric]:
        with app.app_context(), read_only():
            return list(_database_gauges())

    def redis() -> Iterable[Metric]:
        with app.app_context():
            return list(_redis_gauges())

    register_collector(database, name="database")
    register_collector(redis, name="redis")


# -- the database


def _database_gauges() -> Iterator[Metric]:
    yield _single("database_connections", "Active database connections.", _database_connections())
    yield _single(
        "clock_offset_seconds", "Our clock minus the database's, in seconds.", clock_offset.measure()
    )
    yield _single("targets_overdue", "Targets due for 30 s and not sent, nothing holding them.", _overdue())
    yield from _attention()
    yield _labelled(
        "channels",
        "Connected accounts by platform and status.",
        ["platform", "status"],
        select(Channel.platform, Channel.status, func.count()).group_by(Channel.platform, Channel.status),
    )
    yield _labelled(
        "credentials_expiring",
        "Active grants that end within 7 days and that only their owner can renew.",
        ["platform"],
        select(Credential.platform, func.count())
        .where(Credential.status == "active", _ends_by(clock.now() + ENDS_SOON))
        .group_by(Credential.platform),
    )
    yield _quota_left()
    yield from _storage()


def _storage() -> Iterator[Metric]:
    """What is stored, in bytes: the exact sums of the rows."""
    videos = select(Video.backend, func.coalesce(func.sum(Video.size_bytes), 0))
    renditions = select(Rendition.backend, func.coalesce(func.sum(Rendition.size_bytes), 0))
    family = GaugeMetricFamily(
        "storage_bytes", "Bytes stored, by kind and store.", labels=["kind", "backend"]
    )
    for kind, query in (
        ("original", videos.where(Video.state != "archived").group_by(Video.backend)),
        ("rendition", renditions.where(Rendition.key.is_not(None)).group_by(Rendition.backend)),
    ):
        for backend, size in db.session.execute(query):
            family.add_metric([kind, backend], float(size or 0))
    yield family
    removals = select(func.count()).where(Upload.kind == "removal", Upload.next_at <= clock.now())
    yield _single(
        "storage_removals_due", "Files that should be removed by now.", db.session.scalar(removals) or 0
    )


def _database_connections() -> int:
    """All sessions of the server's database; of SQLite, which has no server, those of this process."""
    if db.engine.dialect.name == "postgresql":
        query = sql("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")
        return int(db.session.execute(query).scalar_one())
    pool = db.engine.pool
    return pool.checkedout() if isinstance(pool, QueuePool) else 0


def _overdue() -> int:
    now = clock.now()
    query = (
        select(func.count())
        .select_from(Target)
        # The first two conditions are the index ix_targets_late, in its own words; the others are exact.
        .where(sql(MAY_BE_LATE), Target.late_until <= now + FAR)
        .where(Target.due_at <= now - OVERDUE, Target.hold.is_(None))
    )
    return db.session.scalar(query) or 0


def _attention() -> Iterator[Metric]:
    query = select(Target.state, Target.hold, func.count()).where(sql(ATTENTION))
    rows = db.session.execute(query.group_by(Target.state, Target.hold)).all()
    unknown = sum(count for state, _, count in rows if state == "unknown")
    yield _single("targets_unknown", "Targets whose outcome a person must find out.", unknown)
    held = GaugeMetricFamily("targets_held", "Targets held back, by reason.", labels=["hold"])
    for hold in sorted({hold for _, hold, _ in rows if hold}):
        held.add_metric([hold], sum(count for _, reason, count in rows if reason == hold))
    yield held


def _ends_by(moment: datetime) -> ColumnElement[bool]:
    """Does a grant end by then, as domain/grant_life has it?"""
    unrenewable = Credential.refresh_token_encrypted.is_(None) & (Credential.expires_at < moment)
    return (Credential.refresh_expires_at < moment) | unrenewable


def _quota_left() -> Metric:
    text = "What is left of the tightest quota window now, by platform and bucket."
    family = GaugeMetricFamily("quota_left", text, labels=["platform", "bucket"])
    for labels, units in quotas.left().items():
        family.add_metric(labels, units)
    return family


# -- Redis


def _redis_gauges() -> Iterator[Metric]:
    info = redis_client().info("clients")
    yield _single("redis_connections", "Active Redis connections.", info["connected_clients"])
    depth = GaugeMetricFamily("queue_depth", "Jobs waiting.", labels=["queue"])
    age = GaugeMetricFamily("queue_oldest_seconds", "Age of the job that waits longest.", labels=["queue"])
    for name in QUEUES:
        depth.add_metric([name], carrier().queues[name].count)
        age.add_metric([name], _oldest_seconds(name))
    yield from (depth, age, _alive())


def _alive() -> Metric:
    found = carrier().alive()
    roles = {"dispatcher": 0} | {f"worker.{name}": 0 for name in QUEUES} | found
    alive = GaugeMetricFamily("processes_alive", "Processes heard of lately, by role.", labels=["role"])
    for role, count in roles.items():
        alive.add_metric([role], count)
    return alive


def _oldest_seconds(name: Any) -> float:
    queue = carrier().queues[name]
    first: Job | None = next(iter(queue.get_jobs(0, 1)), None)
    if first is None or first.enqueued_at is None:
        return 0.0
    return max((clock.now() - first.enqueued_at).total_seconds(), 0.0)


# -- shapes


def _single(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)


def _labelled(name: str, text: str, labels: list[str], query: Executable) -> Metric:
    family = GaugeMetricFamily(name, text, labels=labels)
    for *values, count in db.session.execute(query):
        family.add_metric([str(value) for value in values], count)
    return family
