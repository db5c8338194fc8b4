from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from app import crash_points
from app.config import Settings
from app.crash_points import CrashPointError
from crash import processes
from tests.servers import ROOT

POINT = "commit.after_intent"


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    crash_points.arm(Settings(crash_points=POINT, data_dir=tmp_path))
    yield tmp_path / "crash"
    crash_points.arm(Settings())


def test_a_point_without_its_file_does_nothing(folder: Path):
    crash_points.hit(POINT)

    assert list(folder.iterdir()) == []


def test_a_point_strikes_once(folder: Path):
    (folder / POINT).write_text("raise")

    with pytest.raises(CrashPointError):
        crash_points.hit(POINT)
    crash_points.hit(POINT)


def test_a_point_may_be_meant_for_one_platform(folder: Path):
    (folder / f"{POINT}@theirs").write_text("raise")

    crash_points.hit(POINT, "ours")
    with pytest.raises(CrashPointError):
        crash_points.hit(POINT, "ours", "theirs")


@pytest.mark.parametrize(
    ("action", "number"), [("", signal.SIGKILL), ("kill", signal.SIGKILL), ("term", signal.SIGTERM)]
)
def test_a_process_ends_itself_by_the_signal_the_file_names(
    folder: Path, action: str, number: signal.Signals
):
    (folder / POINT).write_text(action)
    code = "from app import crash_points as c; from app.config import Settings; from pathlib import Path; "
    code += (
        f"c.arm(Settings(crash_points={POINT!r}, data_dir=Path({str(folder.parent)!r}))); c.hit({POINT!r})"
    )

    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT)

    assert ended.returncode == -number


CHILD = """
import sys, threading
from pathlib import Path
from app import crash_points
from app.config import Settings

crash_points.arm(Settings(crash_points="all", data_dir=Path(sys.argv[1])))
both = [threading.Thread(target=crash_points.hit, args=(name,)) for name in sys.argv[2:]]
for one in both: one.start()
for one in both: one.join()
"""


def test_threads_that_stop_a_process_at_once_stop_it_once_each_and_say_where(folder: Path):
    points = ("commit.before_call", "commit.after_call", "preflight.after_call")
    for point in points:
        (folder / point).write_text("stop")

    child = subprocess.Popen([sys.executable, "-c", CHILD, str(folder.parent), *points], cwd=ROOT)
    try:
        said = [let_go_on(folder / f"stopped.{child.pid}") for _ in points]
        assert child.wait(20) == 0
    finally:
        child.kill()
        child.wait()

    assert sorted(said) == sorted(points)
    assert list(folder.iterdir()) == []


def let_go_on(note: Path) -> str:
    """Wait until a process stands still with its note; return what that says."""
    deadline = time.monotonic() + 20
    while not note.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    said = note.read_text()
    assert processes.go_on(note)
    return said
