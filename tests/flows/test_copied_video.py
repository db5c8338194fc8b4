"""A video is moved to a bucket half way through its staging, and goes out as it is."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import time_machine
from sqlalchemy import func, select

from app import clock
from app.extensions import db
from app.models import Video
from app.services import copying, dispatch, instance, storage_check, uploads
from app.storage import get_storage
from tests.inline import work_on
from tests.rig import Rig
from tests.sandbox_server import sandbox_thread

CONTENT = b"".join(hashlib.sha256(str(number).encode()).digest() for number in range(500_000))  # 16 MB


@pytest.fixture
def rig(tmp_path: Path, sqlite_url: str, redis_url: str, s3_settings: dict[str, str]) -> Iterator[Rig]:
    bucket = {name.upper(): value for name, value in s3_settings.items()}
    with sandbox_thread(tmp_path / "sandbox") as server:
        server.sim.settings(rate_limits=False)
        extra = bucket | {"STAGE_YIELD_SECONDS": 0.0}  # so that a staging stops after each chunk
        rig = Rig(tmp_path / "data", sqlite_url, redis_url, server, extra=extra)
        with rig as made, made.app.app_context():
            yield made


def remove_old_files() -> None:
    with time_machine.travel(clock.now() + copying.READERS_ARE_DONE + timedelta(minutes=1)):
        for _, arguments in dispatch.claim(dispatch.WORK[1], clock.now()):
            uploads.expire(uuid.UUID(arguments[0]), arguments[1])


def test_a_target_staged_during_the_copy_publishes_the_right_bytes(rig: Rig) -> None:
    assert instance.check() is None
    target = rig.target(caption="moved half way", content=CONTENT)
    for _ in range(8):
        work_on(rig, target)
        if 0 < rig.read(target).progress_bytes < len(CONTENT):
            break
    assert 0 < rig.read(target).progress_bytes < len(CONTENT)

    assert [moved.outcome for moved in copying.copy("s3")] == ["moved"]
    remove_old_files()
    key = db.session.scalars(select(Video.key)).one()
    db.session.rollback()
    assert not get_storage("folder").exists(key)
    while rig.read(target).state not in ("published", "failed", "unknown"):
        work_on(rig, target)

    (post,) = rig.sandbox.sim.posts(caption="moved half way")
    assert post["sha256"] == hashlib.sha256(CONTENT).hexdigest()


def test_a_copy_killed_again_and_again_loses_nothing_and_leaves_nothing(rig: Rig) -> None:
    """The command itself, as a process, under SIGKILL."""
    contents = [bytes([number]) * 300_000 for number in range(80)]
    videos = {rig.video(content): content for content in contents}

    for share in (10, 30, 50):
        rig.start("storage copy --to s3")
        rig.wait_until(lambda least=share: _count("s3") >= least)  # type: ignore[misc]
        rig.kill("storage copy --to s3")
    assert _count("folder") > 0
    rig.start("storage copy --to s3")
    assert rig.wait_for_death("storage copy --to s3") == 0

    assert _count("folder") == 0
    remove_old_files()
    keys = {row.id: row.key for row in db.session.execute(select(Video.id, Video.key))}
    db.session.rollback()
    for id_, content in videos.items():
        with get_storage("s3").open_range(keys[id_]) as file:
            assert file.read() == content
        assert not get_storage("folder").exists(keys[id_])
    assert [found for found in storage_check.examine() if found.kind != "leftover"] == []


def _count(backend: str) -> int:
    found = db.session.scalar(select(func.count()).where(Video.backend == backend))
    db.session.rollback()
    return int(found or 0)
