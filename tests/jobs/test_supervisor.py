from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jobs import sessions
from tests.servers import ROOT

# A supervisor needs signals and a process of its own, so every test drives one that runs this.
DRIVER = """
import sys, os
from pathlib import Path
from jobs.supervisor import Program, StartFailed, Stopped, Supervisor
folder = Path(sys.argv[1])
supervisor = Supervisor(folder, lambda line: print(line, flush=True))
environment = dict(os.environ)
try:
    for name, script in zip(sys.argv[2::2], sys.argv[3::2]):
        program = supervisor.start(Program(name, ["/bin/sh", "-c", script], environment, stop_seconds=2))
    print("up", flush=True)
    supervisor.keep()
finally:
    supervisor.stop()
    supervisor.close()
    print("down", flush=True)
"""
Run = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    started = []

    def start(**scripts: str) -> subprocess.Popen[str]:
        arguments = [part for name, script in scripts.items() for part in (name, script)]
        process = subprocess.Popen(
            [sys.executable, "-c", DRIVER, str(tmp_path), *arguments],
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def pid_of(folder: Path, name: str) -> int:
    return int((folder / "run" / f"{name}.pid").read_text())


def eventually(is_true: Callable[[], bool], *, seconds: float = 10.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if is_true():
            return True
        time.sleep(0.02)
    return False


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_stop_signal_leaves_no_process(run: Run, tmp_path: Path, by: signal.Signals) -> None:
    process = run(parent="sleep 100 & sleep 100 & wait")
    session = pid_of(tmp_path, "parent")
    assert eventually(lambda: len(sessions.members(session)) == 3)

    process.send_signal(by)
    said, _ = process.communicate(timeout=10)

    assert said.endswith("down\n")
    assert sessions.members(session) == []


def test_sigkill_of_the_supervisor_leaves_no_process(run: Run, tmp_path: Path) -> None:
    process = run(stubborn="trap '' TERM; sleep 100 & wait; sleep 100")
    session = pid_of(tmp_path, "stubborn")
    assert eventually(lambda: len(sessions.members(session)) >= 2)

    process.kill()

    assert eventually(lambda: sessions.members(session) == [], seconds=sessions.GRACE_SECONDS + 5)


def test_a_program_that_ignores_the_request_is_killed_in_time(run: Run, tmp_path: Path) -> None:
    process = run(stubborn="trap '' TERM; while true; do sleep 0.1; done")
    session = pid_of(tmp_path, "stubborn")

    process.terminate()
    process.communicate(timeout=10)

    assert sessions.members(session) == []


def test_a_dead_program_is_restarted_and_its_orphans_do_not_work_on(run: Run, tmp_path: Path) -> None:
    process = run(parent="sleep 100 & sleep 100 & wait")
    first = pid_of(tmp_path, "parent")
    assert eventually(lambda: len(sessions.members(first)) == 3)

    os.kill(first, signal.SIGKILL)

    assert process.stdout is not None
    assert process.stdout.readline() == "parent ended (killed by SIGKILL); it starts again in 0.5 s.\n"
    assert eventually(lambda: pid_of(tmp_path, "parent") != first)
    assert sessions.members(first) == []


def test_a_crash_loop_is_said_with_its_last_lines_and_slows_down(run: Run) -> None:
    process = run(broken="echo the reason; exit 3")

    assert process.stdout is not None
    said = [process.stdout.readline().strip() for _ in range(5)]

    assert said[:3] == [f"broken ended (exit code 3); it starts again in {pause} s." for pause in (0.5, 1, 2)]
    assert said[3].startswith("broken has ended 3 times in a row. The last lines of ")
    assert said[4] == "the reason"


def test_the_end_of_a_log_is_found_in_a_large_or_missing_file(tmp_path: Path) -> None:
    from jobs.supervisor import last_lines

    log = tmp_path / "large.log"
    log.write_text("x\n" * 100_000 + "the end\n")

    assert last_lines(log, count=2) == "    x\n    the end"
    assert last_lines(tmp_path / "missing.log", count=2) == "    (nothing)"
