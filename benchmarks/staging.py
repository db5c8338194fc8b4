"""A huge file goes to each platform: worker memory, another channel's punctuality, and a worker killed half way.

PostgreSQL with its durable settings, the product's own protocol times, two stage workers, one commit worker, the
sandbox over HTTP. The file is BYTES zeros, or as many as the platform takes. Memory is PSS of a stage worker and
its horse at the peak. `resumed` is from a SIGKILL of the worker that uploads until another has taken over.
"""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import func, select

from app import clock
from app.extensions import db
from app.models import Attempt, Target, Video
from app.models.base import new_id
from app.platforms import registry
from app.storage import get_storage, new_key
from benchmarks.lateness import ORDINARY
from benchmarks.rows import Row
from tests.database import migrate
from tests.rig import Rig
from tests.sandbox_server import SandboxProcess
from tests.servers import postgres_server, redis_server

BYTES = int(os.environ.get("BYTES", "2000000000"))
ONLY = os.environ.get("PLATFORMS", "")
STAGERS = ("worker stage", "worker stage#2")
UNDER_WAY = 0.5  # seconds of staging before the kill
PATIENCE = 300.0  # seconds for one file
Say = Callable[[str], None]


class Zeros(io.RawIOBase):
    """A file of zeros that is nowhere."""

    def __init__(self, size: int) -> None:
        self.left = size

    def read(self, size: int = -1) -> bytes:
        size = self.left if size < 0 else min(size, self.left)
        self.left -= size
        return bytes(size)


def run(say: Say) -> list[Row]:
    """Measure each platform there is and return its rows."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "redis").mkdir()
        with postgres_server(durable=True) as postgres, redis_server(folder / "redis") as redis_url:
            rows: list[Row] = []
            for platform in ONLY.split(",") if ONLY else sorted(registry.classes()):
                with SandboxProcess(folder / platform) as sandbox, postgres.database() as database_url:
                    sandbox.sim.settings(rate_limits=False)
                    migrate(database_url, data_dir=folder)
                    with Rig(
                        folder / f"rig-{platform}", database_url, redis_url, sandbox, extra=ORDINARY
                    ) as rig:
                        rows += _measure(rig, platform, say)
            return rows


def _measure(rig: Rig, platform: str, say: Say) -> list[Row]:
    limits = [spec.max_size_bytes or BYTES for spec in registry.classes()[platform].post_types.values()]
    size = min(BYTES, max(limits))
    say(f"{platform}: {size:,} bytes")
    video = _huge(rig, size)
    rig.start("dispatcher", *STAGERS, "worker commit")
    time.sleep(5)  # workers are up: the second post's time is not theirs to lose
    channels = [_channel(rig, name, platform) for name in ("first", "second")]
    began = time.monotonic()
    huge = rig.target(caption="huge", due_in=900, video_id=video, channel_id=channels[0], next_at=clock.now())
    small = rig.target(caption="small", due_in=15, channel_id=channels[1], next_at=clock.now())
    peak = _watch(rig, huge)
    seconds = time.monotonic() - began
    rig.wait_for([small], {"published", "confirming", "awaiting_user"}, seconds=60)
    rows = [
        Row(f"{platform}: {size // 1_000_000:,} MB staged in", seconds, "s"),
        Row(f"{platform}: stage worker's peak", peak / 1e6, "MB PSS"),
        Row(f"{platform}: the other post's lateness", _lateness(rig, small) * 1000, "ms"),
        Row(f"{platform}: killed while staging, resumed after", _resume(rig, video, channels[0]), "s"),
    ]
    for name in list(rig.processes):
        rig.stop(name)
    return rows


def _channel(rig: Rig, name: str, platform: str) -> uuid.UUID:
    rig.sandbox.sim.account(name, platform=platform)
    return rig.make_channel(name, platform=platform)


def _huge(rig: Rig, size: int) -> uuid.UUID:
    """Store a video of zeros without ever holding it."""
    small = rig.video(b"huge")
    with rig.app.app_context():
        stored = get_storage().put_stream(
            new_key("videos", new_id(), "huge.mp4"), Zeros(size), max_bytes=size
        )
        video = db.session.get_one(Video, small)
        video.key, video.size_bytes, video.sha256 = stored.key, stored.size, stored.sha256
        db.session.commit()
    return small


def _watch(rig: Rig, target: uuid.UUID) -> int:
    """Wait until it is staged; return the most memory one stage worker and its horse held, in bytes."""
    peak, deadline = 0, time.monotonic() + PATIENCE
    while (state := rig.states([target])[target]) in ("scheduled", "staging"):
        assert time.monotonic() < deadline, f"{state}\n{rig.logs()}"
        peak = max(peak, *(_pss(rig, name) for name in STAGERS))
        time.sleep(0.2)
    assert state == "staged", f"{state}: {rig.read(target).error}"
    return peak


def _pss(rig: Rig, name: str) -> int:
    """Return the proportional memory of a worker and its horse, in bytes; 0 for what is gone meanwhile."""
    total = 0
    for pid in (rig.processes[name].pid, *(horse.pid for horse in rig.forked_by(name))):
        with contextlib.suppress(OSError):
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            total += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    return total


def _lateness(rig: Rig, target: uuid.UUID) -> float:
    with rig.app.app_context():
        query = select(Attempt.called_at, Target.due_at).join(Target, Target.id == Attempt.target_id)
        row = db.session.execute(query.where(Target.id == target, Attempt.operation == "commit")).one()
        db.session.rollback()
    assert row.called_at and row.due_at
    late: float = (row.called_at - row.due_at).total_seconds()
    return late


def _resume(rig: Rig, video: uuid.UUID, channel: uuid.UUID) -> float:
    """Kill both stage workers half way, start others at once; return when one of them has taken over."""
    target = rig.target(caption="killed", due_in=900, video_id=video, channel_id=channel, next_at=clock.now())
    rig.wait_until(lambda: rig.read(target).state == "staging", seconds=PATIENCE)
    time.sleep(UNDER_WAY)
    assert rig.read(target).state == "staging", "it was quicker than the kill: raise BYTES"
    for name in STAGERS:
        rig.kill(name)
    killed_at = clock.now()
    fence = rig.read(target).fence
    rig.start(*STAGERS)

    def taken_over() -> bool:
        with rig.app.app_context():
            query = select(func.max(Attempt.fence)).where(Attempt.target_id == target)
            newest = db.session.scalar(query) or 0
            db.session.rollback()
        return newest > fence

    rig.wait_until(taken_over, seconds=PATIENCE)
    return (clock.now() - killed_at).total_seconds()
