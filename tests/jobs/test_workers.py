"""What WORKERS asks for, and a herd whose dead are started again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from jobs.workers import planned
from tests.rig import ROOT, Rig
from tests.sandbox_server import sandbox_thread

HERD = """
import os, signal, time
from jobs import workers

workers._become = lambda place: time.sleep(60)
herd = workers.Herd(["stage"] * 4)
fork, leader = os.fork, os.getpid()

def fork_and_stop():
    pid = fork()
    if len(herd._places) == PLACE and os.getpid() == leader:
        os.kill(leader, signal.SIGTERM)
    elif not pid:
        time.sleep(0.2)  # a child that is slow to become one
    return pid

os.fork = fork_and_stop
herd.run()
"""


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


@pytest.mark.parametrize("place", [0, 3])
def test_a_herd_told_to_stop_while_it_forks_leaves_nobody(place: int):
    program = HERD.replace("PLACE", str(place))
    herd = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, start_new_session=True)
    try:
        assert herd.wait(15) == 0
    finally:
        if herd.poll() is None:
            os.killpg(herd.pid, signal.SIGKILL)
            herd.wait(10)
