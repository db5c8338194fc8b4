"""What WORKERS asks for, and a herd whose dead are started again."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import psutil
import pytest

from jobs.workers import planned
from tests.rig import Rig
from tests.sandbox_server import sandbox_thread


def test_workers_are_planned_by_queue_and_count():
    assert planned("dispatcher=1,media, stage=2") == ["dispatcher", "media", "stage", "stage"]


def test_an_unknown_queue_is_named_with_what_is_known():
    with pytest.raises(ValueError, match="'medai'; known: dispatcher, media, stage, commit, default"):
        planned("medai=1")


def test_what_dies_in_the_herd_is_started_again_and_a_stop_ends_all(
    tmp_path: Path, sqlite_url: str, redis_url: str
):
    extra = {"WORKERS": "dispatcher=1,commit=1"}
    with (
        sandbox_thread(tmp_path / "sandbox") as sandbox,
        Rig(tmp_path / "data", sqlite_url, redis_url, sandbox, extra=extra) as rig,
    ):
        rig.start("workers")
        leader = psutil.Process(rig.processes["workers"].pid)
        rig.wait_until(lambda: len(leader.children()) == 2)
        first = {child.pid for child in leader.children()}

        os.kill(min(first), signal.SIGKILL)
        rig.wait_until(lambda: len({child.pid for child in leader.children()} - first) == 1)
        time.sleep(1.0)  # until the new one listens to signals, too
        everyone = leader.children()
        rig.stop("workers")

    assert not any(process.is_running() for process in everyone)
