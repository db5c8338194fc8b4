"""From a post's due time to the call that publishes it, beside RQ's own `enqueue_at`.

PostgreSQL with its durable settings, SCHEDULED targets waiting for later, MEASURED of them due one after the
other, one commit worker, a real sandbox over HTTP. Two figures for us: `call` is when the worker makes the
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
from collections.abc import Callable
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

SCHEDULED = int(os.environ.get("SCHEDULED", "100000"))
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


def run(say: Say) -> list[Row]:
    """Measure and return p50, p99, max and earliest of both."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "redis").mkdir()
        with (
            postgres_server(durable=True) as postgres,
            redis_server(folder / "redis") as redis_url,
            SandboxProcess(folder / "sandbox") as sandbox,
            postgres.database() as database_url,
        ):
            sandbox.sim.settings(rate_limits=False)
            migrate(database_url, data_dir=folder)
            with Rig(folder / "data", database_url, redis_url, sandbox, extra=ORDINARY) as rig:
                calls, arrivals = _measure(rig, say)
            theirs = _measure_rq(folder, redis_url, say)
    return _rows(calls, arrivals, theirs)


def _measure(rig: Rig, say: Say) -> tuple[list[float], list[float]]:
    video = rig.video(b"v" * 10_000)
    say(f"scheduling {SCHEDULED:,} targets for later")
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
        "workspace": rig.workspace_id,
        "video": video,
        "channel": rig.channel_id,
        "count": count,
        "platform": PLATFORM,
    }
    posts = """
        INSERT INTO posts (id, workspace_id, video_id, title, caption, options, labels, metadata, status,
                           created_via, version, created_at, updated_at)
        SELECT gen_random_uuid(), :workspace, :video, '', 'later', '{}', '[]', '{}', 'scheduled', 'bench', 1,
               now(), now()
        FROM generate_series(1, :count)"""
    targets = """
        INSERT INTO targets (id, workspace_id, post_id, channel_id, video_id, platform, content_hash, options,
                             state, due_at, own_time, late_until, if_over_quota, next_at, fence, attempts,
                             is_slow_commit, commit_bytes, progress_bytes, retries, asked, created_at, updated_at)
        SELECT gen_random_uuid(), :workspace, id, :channel, :video, :platform, md5(id::text), '{}', 'scheduled',
               due, false, due + interval '2 hours', 'fail', due - interval '40 minutes', 0, 0, false, 0, 0, 0, 0,
               now(), now()
        FROM (SELECT id, now() + interval '2 hours' + random() * interval '30 days' AS due FROM posts) AS later"""
    with rig.app.app_context():
        db.session.execute(text(posts), ids)
        db.session.execute(text(targets), ids)
        db.session.commit()
        db.session.execute(text("ANALYZE"))
        db.session.commit()


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
    return [(called_at - due_at).total_seconds() for called_at, due_at in rows]


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


def _rows(calls: list[float], arrivals: list[float], theirs: list[float]) -> list[Row]:
    measures: list[tuple[str, Callable[[list[float]], float]]] = [
        ("p50", lambda values: percentile(values, 0.50)),
        ("p99", lambda values: percentile(values, 0.99)),
        ("max", max),
        ("earliest", min),
    ]
    rows = [
        compared(f"lateness of the {who} {name}", measure(ours) * 1000, "ms", measure(theirs) * 1000)
        for who, ours in (("call", calls), ("arrival", arrivals))
        for name, measure in measures
    ]
    early = [sum(value < 0 for value in values) for values in (arrivals, theirs)]
    return [*rows, Row("posts made early", early[0], "posts", early[1])]
