"""From a post's due time to the call that publishes it, beside RQ's own `enqueue_at`.

PostgreSQL with its durable settings, then SQLite; ROWS targets waiting for later, MEASURED of them due one after
the other, one commit worker, a real sandbox over HTTP. Two figures for us: `call` is when the worker makes the
call (its ledger), `arrival` is when the platform saw it. RQ then gets the same instants on the same Redis;
its figure is when the job begins, which is before any call.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import redis
from rq import Queue
from sqlalchemy import insert, select, text

from app import clock
from app.extensions import db
from app.models import Attempt, Post, Target
from benchmarks import lateness_job
from benchmarks.rows import Row, compared, percentile
from tests.database import migrate
from tests.rig import OPTIONS, PLATFORM, ROOT, Rig
from tests.sandbox_server import SandboxProcess
from tests.servers import postgres_server, redis_server

SCHEDULED = int(os.environ.get("ROWS", "100000"))
DATABASES = os.environ.get("DATABASES", "postgresql,sqlite").split(",")
MEASURED = int(os.environ.get("MEASURED", "300"))
SPACING = 0.1  # seconds between two due times
LEAD = 45.0  # seconds from the start to the first due time: staging and preflights happen in it
ORDINARY = {  # the product's own protocol times, not the proofs' shortened ones
    "STAGE_LEASE_SECONDS": 45,
    "COMMIT_LEASE_SECONDS": 20,
    "COMMIT_DEADLINE_SECONDS": 15,
    "SETTLE_SECONDS": 5,
}
Say = Callable[[str], None]
POSTS = """
    INSERT INTO posts (id, workspace_id, video_id, title, caption, options, labels, metadata, status, created_via,
                       version, created_at, updated_at)
    SELECT {new_id}, :workspace, :video, '', 'later', '{{}}', '[]', '{{}}', 'scheduled', 'bench', 1, {now}, {now}
    FROM {numbers}"""
TARGETS = """
    INSERT INTO targets (id, workspace_id, post_id, channel_id, video_id, platform, content_hash, options, state,
                         due_at, own_time, late_until, if_over_quota, next_at, fence, attempts, is_slow_commit,
                         commit_bytes, progress_bytes, retries, asked, created_at, updated_at)
    SELECT {new_id}, :workspace, id, :channel, :video, :platform, {hash}, '{{}}', 'scheduled', {due}, false, {late},
           'fail', {next}, 0, 0, false, 0, 0, 0, 0, {now}, {now}
    FROM (SELECT id, {offset} AS later FROM posts) AS posts"""
DIALECTS = {
    "postgresql": {
        "new_id": "gen_random_uuid()",
        "now": "now()",
        "numbers": "generate_series(1, :count)",
        "hash": "md5(id::text)",
        "offset": "2 + random() * 720",  # hours: within 30 days
        "due": "now() + later * interval '1 hour'",
        "late": "now() + (later + 2) * interval '1 hour'",
        "next": "now() + later * interval '1 hour' - interval '40 minutes'",
    },
    "sqlite": {
        "new_id": "lower(hex(randomblob(16)))",
        "now": "strftime('%Y-%m-%d %H:%M:%f000')",
        "numbers": "(WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :count) SELECT i FROM n)",
        "hash": "id",
        "offset": "2 + abs(random() % 720000) / 1000.0",
        "due": "strftime('%Y-%m-%d %H:%M:%f000', julianday('now') + later / 24)",
        "late": "strftime('%Y-%m-%d %H:%M:%f000', julianday('now') + (later + 2) / 24)",
        "next": "strftime('%Y-%m-%d %H:%M:%f000', julianday('now') + (later - 0.67) / 24)",
    },
}


def run(say: Say) -> list[Row]:
    """Measure and return p50, p99, max and earliest of both, on each database."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "redis").mkdir()
        with redis_server(folder / "redis") as redis_url:
            found = {kind: _measure_on(kind, folder, redis_url, say) for kind in DATABASES}
            theirs = _measure_rq(folder, redis_url, say)
    return [row for kind, (calls, arrivals) in found.items() for row in _rows(kind, calls, arrivals, theirs)]


def _measure_on(kind: str, folder: Path, redis_url: str, say: Say) -> tuple[list[float], list[float]]:
    with SandboxProcess(folder / f"sandbox-{kind}") as sandbox, _database(kind, folder) as database_url:
        sandbox.sim.settings(rate_limits=False)
        migrate(database_url, data_dir=folder)
        with Rig(folder / kind, database_url, redis_url, sandbox, extra=ORDINARY) as rig:
            calls, arrivals = _measure(rig, say)
    say(
        f"{kind}: call p50 {percentile(calls, 0.5) * 1000:.1f} ms, p99 {percentile(calls, 0.99) * 1000:.1f} ms"
    )
    return calls, arrivals


@contextmanager
def _database(kind: str, folder: Path) -> Iterator[str]:
    if kind == "sqlite":
        yield f"sqlite:///{folder / 'lateness.db'}"
        return
    with postgres_server(durable=True) as postgres, postgres.database() as database_url:
        yield database_url


def _measure(rig: Rig, say: Say) -> tuple[list[float], list[float]]:
    video = rig.video(b"v" * 10_000)
    say(f"scheduling {SCHEDULED:,} targets for later ({rig.database_url.partition(':')[0]})")
    _fill(rig, video, SCHEDULED - MEASURED)
    first = clock.now() + timedelta(seconds=LEAD)
    due = {
        f"measured {number}": first + timedelta(seconds=number * SPACING + number % 7 * 0.0137)
        for number in range(MEASURED)
    }
    targets = _insert(rig, video, due)
    rig.start("dispatcher", "worker stage", "worker stage#2", "worker commit")
    say(f"{MEASURED} of them are due within {MEASURED * SPACING:.0f} s, from {LEAD:.0f} s on")
    rig.wait_for(targets, {"published", "confirming"}, seconds=LEAD + MEASURED * SPACING + 60)
    posts = rig.sandbox.sim.posts()
    assert len(posts) == MEASURED, f"{len(posts)} posts instead of {MEASURED}"
    arrivals = [
        (datetime.fromisoformat(post["commit_received_at"]) - due[post["caption"]]).total_seconds()
        for post in posts
    ]
    return _calls(rig, targets), arrivals


def _fill(rig: Rig, video: uuid.UUID, count: int) -> None:
    """Insert targets due over the next 30 days, in the database itself."""
    ids = {
        "workspace": _as_stored(rig, rig.workspace_id),
        "video": _as_stored(rig, video),
        "channel": _as_stored(rig, rig.channel_id),
        "count": count,
        "platform": PLATFORM,
    }
    with rig.app.app_context():
        dialect = db.engine.dialect.name
        if dialect == "postgresql":
            db.session.execute(text("SET LOCAL statement_timeout = 0"))
        for statement in (POSTS, TARGETS):
            db.session.execute(text(statement.format(**DIALECTS[dialect])), ids)
        db.session.commit()
        _settle_down(dialect)


def _settle_down(dialect: str) -> None:
    """Let the database do now what follows a million new rows; nobody schedules those in one go."""
    words = ("VACUUM (ANALYZE)", "CHECKPOINT") if dialect == "postgresql" else ("ANALYZE",)
    with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for statement in words:
            connection.execute(text(statement))


def _as_stored(rig: Rig, key: uuid.UUID) -> uuid.UUID | str:
    return key.hex if rig.database_url.startswith("sqlite") else key


def _insert(rig: Rig, video: uuid.UUID, due: dict[str, datetime]) -> list[uuid.UUID]:
    pairs = [
        rig.rows(caption=caption, due_at=due_at, video_id=video, channel_id=rig.channel_id, options=OPTIONS)
        for caption, due_at in due.items()
    ]
    with rig.app.app_context():
        db.session.execute(insert(Post), [post for post, _ in pairs])
        db.session.execute(insert(Target), [target for _, target in pairs])
        db.session.commit()
    return [target["id"] for _, target in pairs]


def _calls(rig: Rig, targets: list[uuid.UUID]) -> list[float]:
    with rig.app.app_context():
        rows = db.session.execute(
            select(Attempt.called_at, Target.due_at)
            .join(Target, Target.id == Attempt.target_id)
            .where(Attempt.target_id.in_(targets), Attempt.operation == "commit")
        ).all()
        db.session.rollback()
    assert len(rows) == MEASURED, f"{len(rows)} commit calls instead of {MEASURED}"
    return [(row.called_at - row.due_at).total_seconds() for row in rows if row.called_at and row.due_at]


def _measure_rq(folder: Path, redis_url: str, say: Say) -> list[float]:
    say("the same instants with RQ's enqueue_at")
    with redis.Redis.from_url(redis_url) as connection:
        queue = Queue("bench", connection=connection)
        first = datetime.now(UTC) + timedelta(seconds=15)
        for number in range(MEASURED):
            due = first + timedelta(seconds=number * SPACING + number % 7 * 0.0137)
            queue.enqueue_at(due, lateness_job.note, due.timestamp(), redis_url, result_ttl=0)
        worker = [
            sys.executable,
            "-m",
            "rq.cli",
            "worker",
            "bench",
            "--with-scheduler",
            "--quiet",
            "--url",
            redis_url,
        ]
        with (folder / "rq.log").open("wb") as log:
            process = subprocess.Popen(worker, cwd=ROOT, stdout=log, stderr=log)
        try:
            return _collect(connection, seconds=15 + MEASURED * SPACING + 90)
        finally:
            process.terminate()
            process.wait(20)


def _collect(connection: redis.Redis, *, seconds: float) -> list[float]:
    deadline = time.monotonic() + seconds
    while connection.llen(lateness_job.RESULTS) < MEASURED and time.monotonic() < deadline:
        time.sleep(0.5)
    found = [float(value) for value in connection.lrange(lateness_job.RESULTS, 0, -1)]
    assert found, "no RQ job ran"
    return found


def _rows(kind: str, calls: list[float], arrivals: list[float], theirs: list[float]) -> list[Row]:
    measures: list[tuple[str, Callable[[list[float]], float]]] = [
        ("p50", lambda values: percentile(values, 0.50)),
        ("p99", lambda values: percentile(values, 0.99)),
        ("max", max),
        ("earliest", min),
    ]
    rows = [
        compared(f"{kind}: lateness of the {who} {name}", measure(ours) * 1000, "ms", measure(theirs) * 1000)
        for who, ours in (("call", calls), ("arrival", arrivals))
        for name, measure in measures
    ]
    early = [sum(value < 0 for value in values) for values in (arrivals, theirs)]
    return [*rows, Row(f"{kind}: posts made early", early[0], "posts", early[1])]
