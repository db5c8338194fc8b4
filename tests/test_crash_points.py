from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from app import crash_points
from app.config import Settings
from app.crash_points import CrashPointError
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


def test_a_process_that_stops_itself_says_where(folder: Path, monkeypatch: pytest.MonkeyPatch):
    sent: list[int] = []
    monkeypatch.setattr(os, "kill", lambda _pid, number: sent.append(number))
    (folder / POINT).write_text("stop")

    crash_points.hit(POINT)

    assert sent == [signal.SIGSTOP]
    assert (folder / f"stopped.{os.getpid()}").read_text() == POINT
