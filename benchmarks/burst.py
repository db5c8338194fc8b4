"""Many posts due at one instant: how long until the last is committed, beside as many bare HTTP requests.

PostgreSQL with its durable settings, BURST staged targets with one due time, the product's own protocol times,
two commit workers. Measured against a stand-in server that only counts, and against the sandbox, staged for
real, which needs the same cores for itself. `written` is when the answer stands in the ledger. The baseline is
as many requests to the same server, from as many threads of as many processes.
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
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import requests
from sqlalchemy import func, insert, select

from app import clock
from app.embedded import LOOPBACK, free_port
from app.extensions import db
from app.models import Attempt, Post, Target
from app.services import publishing
from benchmarks.lateness import ORDINARY
from benchmarks.rows import Row, compared
from tests.database import migrate
from tests.rig import OPTIONS, ROOT, Rig
from tests.sandbox_server import SandboxProcess
from tests.servers import postgres_server, redis_server, running

BURST = int(os.environ.get("BURST", "1000"))
WORKERS = ("worker commit", "worker commit#2")
VIDEO = b"v" * 10_000
SOON = 20.0  # seconds until the due time of targets that are staged already
STAGING = 0.15  # seconds each target may take to be staged for real, until the due time
Say = Callable[[str], None]


def run(say: Say) -> list[Row]:
    """Measure both and return rows in seconds."""
    return [*measured(against_stand_in, say), *measured(against_sandbox, say)]


def measured(measure: Callable[[Rig, Say], list[Row]], say: Say) -> list[Row]:
    """Return what one of the two finds, on servers of its own."""
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
                return measure(rig, say)


def against_stand_in(rig: Rig, say: Say) -> list[Row]:
    with stand_in() as address:
        due_at = clock.now() + timedelta(seconds=SOON)
        say(f"{BURST:,} staged targets are due in {SOON:.0f} s, at a server that only counts")
        targets = insert_staged(rig, address, due_at=due_at, count=BURST)
        rig.start("dispatcher", *WORKERS)
        _wait_for_answers(rig, targets, until=due_at + timedelta(seconds=60))
        arrived = int(requests.get(address, timeout=5).text)
        assert arrived == BURST, f"{arrived} calls arrived instead of {BURST}"
        for name in list(rig.processes):
            rig.stop(name)
        return _rows("stand-in", rig, targets, due_at, _bare("PUT", address))


def against_sandbox(rig: Rig, say: Say) -> list[Row]:
    lead = 90 + BURST * STAGING
    due_at = clock.now() + timedelta(seconds=lead)
    say(f"{BURST:,} targets are staged at the sandbox and due in {lead:.0f} s")
    video = rig.video(VIDEO)
    targets = _insert(rig, [{"video_id": video, "due_at": due_at} for _ in range(BURST)])
    rig.start("dispatcher", "worker stage", "worker stage#2", *WORKERS)
    _wait_for_answers(rig, targets, until=due_at + timedelta(seconds=90))
    posts = rig.sandbox.sim.count()
    assert posts == BURST, f"{posts} posts instead of {BURST}"
    for name in list(rig.processes):
        rig.stop(name)
    return _rows("sandbox", rig, targets, due_at, _bare("GET", f"{rig.sandbox.base_url}/__sim/health"))


@contextmanager
def stand_in() -> Iterator[str]:
    """Run the counting server and yield its address."""
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.counting_server", str(port)]
    with tempfile.TemporaryDirectory() as name, running(command, log=Path(name) / "log", cwd=ROOT):
        address = f"http://{LOOPBACK}:{port}/"
        for _ in range(200):
            try:
                requests.get(address, timeout=1)
                break
            except requests.ConnectionError:  # not yet listening
                time.sleep(0.05)
        yield address


def insert_staged(rig: Rig, address: str, *, due_at: datetime, count: int) -> list[uuid.UUID]:
    """Insert targets that wait for nothing but their time; each commit is one PUT of VIDEO to `address`."""
    video = rig.video(VIDEO)
    handle = {"publish_id": "p", "upload_url": address + "upload", "size": len(VIDEO), "uploaded": 0}
    handle |= {"chunk_size": len(VIDEO), "chunk_count": 1, "created_at": clock.now().timestamp()}
    staged = {
        "state": "staged",
        "handle_expires_at": due_at + timedelta(minutes=30),
        "preflighted_at": due_at - timedelta(seconds=30),
        "next_at": due_at - timedelta(seconds=2),
        "commit_bytes": len(VIDEO),
    }
    return _insert(rig, [{"video_id": video, "due_at": due_at, **staged} for _ in range(count)], handle)


def _insert(rig: Rig, wanted: list[dict[str, Any]], handle: dict[str, Any] | None = None) -> list[uuid.UUID]:
    pairs = [
        rig.rows(caption=f"burst {number}", channel_id=rig.channel_id, options=OPTIONS, **columns)
        for number, columns in enumerate(wanted)
    ]
    with rig.app.app_context():
        for _, target in pairs:
            if handle is not None:
                target["handle_encrypted"] = publishing.seal_handle(target["id"], handle)
        db.session.execute(insert(Post), [post for post, _ in pairs])
        db.session.execute(insert(Target), [target for _, target in pairs])
        db.session.commit()
    return [target["id"] for _, target in pairs]


def _wait_for_answers(rig: Rig, targets: list[uuid.UUID], *, until: datetime) -> None:
    while (answered := _ledger(rig, targets)[0]) < len(targets):
        assert clock.now() < until, f"{answered} of {len(targets)} answers\n{rig.logs()}"
        time.sleep(1)


def _ledger(rig: Rig, targets: list[uuid.UUID]) -> tuple[int, datetime, datetime, datetime]:
    """Return how many commits are completed, when the first and the last was called, when the last ended."""
    times = (func.min(Attempt.called_at), func.max(Attempt.called_at), func.max(Attempt.completed_at))
    done = (Attempt.operation == "commit", Attempt.completed_at.is_not(None))
    with rig.app.app_context():
        row = db.session.execute(
            select(func.count(), *times).where(Attempt.target_id.in_(targets), *done)
        ).one()
        db.session.rollback()
    count, *when = row
    first, last, ended = (moment or clock.now() for moment in when)
    return count, first, last, ended


def _bare(method: str, address: str) -> float:
    """Return the seconds the same number of bare requests take, from as many threads of as many processes."""
    size, start = (len(VIDEO) if method == "PUT" else 0), time.time() + 2
    threads = 24
    arguments = [method, address, str(BURST // len(WORKERS)), str(threads), str(size), str(start)]
    command = [sys.executable, "-m", "benchmarks.bare", *arguments]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) for _ in WORKERS]
    return max(float(process.communicate(timeout=120)[0]) for process in processes)


def _rows(where: str, rig: Rig, targets: list[uuid.UUID], due_at: datetime, bare: float) -> list[Row]:
    _, first, last, written = _ledger(rig, targets)
    facts = {"first call": first, "last call": last, "last answer written": written}
    return [
        compared(f"{BURST:,} at once ({where}): {name}", (at - due_at).total_seconds(), "s", bare)
        for name, at in facts.items()
    ]
