"""Workers that are asked to stop over a conversion end soon, and whoever comes after them makes it."""

from __future__ import annotations

import time
from pathlib import Path

import psutil
from sqlalchemy import select

from app.extensions import db
from app.models import Rendition, Target
from app.services import renditions
from tests.clips import ffmpeg, make_clip
from tests.rig import Rig
from tests.sandbox_server import SandboxProcess

# Converts for a minute for as long as the mark is there.
FFMPEG = """#!/bin/sh
case "$*" in *-progress*) [ -e "{mark}" ] && exec sleep 60 ;; esac
exec "{ffmpeg}" "$@"
"""


def rendition(rig: Rig) -> Rendition:
    with rig.app.app_context():
        row = db.session.scalars(select(Rendition)).one()
        db.session.expunge(row)
        return row


def want(rig: Rig, clip: Path) -> None:
    """Schedule a video that needs a rendition, for much later."""
    rig.sandbox.sim.account("stopped", platform="instagram")
    channel = rig.make_channel("stopped", platform="instagram")
    target = rig.target(
        caption="later", video_id=rig.measured_video(clip), channel_id=channel, due_in=3600, hold="media"
    )
    with rig.app.app_context():
        renditions.assign(Target.id == target)
        db.session.commit()


def test_workers_stopped_over_a_conversion_end_at_once_and_the_next_ones_make_it(
    tmp_path: Path, sqlite_url: str, redis_url: str, sandbox_process: SandboxProcess
) -> None:
    mark, program = tmp_path / "slow", tmp_path / "ffmpeg"
    mark.touch()
    program.write_text(FFMPEG.format(mark=mark, ffmpeg=ffmpeg()))
    program.chmod(0o700)
    clip = make_clip(tmp_path / "late.mp4", seconds=3, size="360x640", extra=())
    extra = {"FFMPEG_PATH": str(program), "WORKERS": "dispatcher=1,media=1"}
    with Rig(tmp_path / "data", sqlite_url, redis_url, sandbox_process, extra=extra) as rig:
        want(rig, clip)
        rig.start("workers")
        rig.wait_until(lambda: "sleep" in {each.name() for each in rig.forked_by("workers")})
        family: list[psutil.Process] = rig.forked_by("workers")
        asked_at = time.monotonic()
        rig.processes["workers"].terminate()
        assert rig.wait_for_death("workers", seconds=20) == 0

        assert time.monotonic() - asked_at < 10
        assert not [each for each in family if each.is_running()]
        assert (rendition(rig).state, rendition(rig).attempts) == ("processing", 0)
        assert list((rig.folder / "tmp").glob("rendition-*")) == []
        mark.unlink()
        rig.start("workers")
        rig.wait_until(lambda: rendition(rig).state == "ready")
