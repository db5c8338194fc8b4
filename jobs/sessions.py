"""Ends whole process trees. Each program of the stack leads a session of its own, so its session id finds
everything it ever forked, also a forked job that moved to another process group."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

PROC = Path("/proc")
GRACE_SECONDS = 8.0


def members(session: int) -> list[int]:
    """Return the ids of the living processes of a session."""
    return [pid for pid in _all_processes() if _session_of(pid) == session and not _is_zombie(pid)]


def marked(variable: str, value: str) -> list[int]:
    """Return the processes that were started with `variable`=`value`; empty where this cannot be seen."""
    wanted = f"{variable}={value}".encode()
    return [pid for pid in _all_processes() if wanted in _environment_of(pid) and not _is_zombie(pid)]


def noted(folder: Path, *, working_in: Path) -> list[int]:
    """Return the processes noted in the .pid files of `folder` that really work below `working_in`."""
    noted_ids = [int(text) for path in folder.glob("*.pid") if (text := path.read_text().strip()).isdigit()]
    return [pid for pid in noted_ids if _works_below(pid, working_in)]


def _works_below(pid: int, folder: Path) -> bool:
    try:
        return PROC.joinpath(str(pid), "cwd").readlink().is_relative_to(folder)
    except OSError:
        return False


def end(processes: list[int], *, by: signal.Signals) -> None:
    """Send a signal to each process that is still there."""
    for pid in processes:
        try:
            os.kill(pid, by)
        except (ProcessLookupError, PermissionError):
            continue


def kill(processes: list[int]) -> None:
    """Kill processes and wait, up to two seconds, until they have let go of what they held."""
    end(processes, by=signal.SIGKILL)
    deadline = time.monotonic() + 2
    while time.monotonic() < deadline and any(_is_alive(pid) for pid in processes):
        time.sleep(0.02)


def end_session(session: int) -> None:
    """Kill whatever is left of a session, forks made meanwhile included."""
    for _ in range(50):
        left = members(session)
        if not left:
            return
        end(left, by=signal.SIGKILL)
        time.sleep(0.02)


def start_guard() -> int:
    """Fork a guard and return a descriptor: write session ids to it, a line each; close it when all is done.

    When the caller dies, however it dies, the descriptor closes and the guard ends the sessions it was told:
    politely first, after GRACE_SECONDS for good. Fork before any thread exists.
    """
    reading, writing = os.pipe()
    if os.fork():
        os.close(reading)
        return writing
    os.close(writing)
    try:
        _guard(reading)
    finally:
        os._exit(0)


def end_with_parent() -> None:
    """Ask Linux to send this process SIGTERM when its parent dies; elsewhere nothing happens."""
    try:
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
    except (OSError, AttributeError):
        return


def _guard(reading: int) -> None:
    os.setsid()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    silence = os.open(os.devnull, os.O_RDWR)
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        os.dup2(silence, stream.fileno())
    with os.fdopen(reading) as lines:
        sessions = [int(line) for line in lines]  # ends when the supervisor is gone
    end([session for session in sessions if members(session)], by=signal.SIGTERM)
    deadline = time.monotonic() + GRACE_SECONDS
    while time.monotonic() < deadline and any(members(session) for session in sessions):
        time.sleep(0.1)
    for session in sessions:
        end_session(session)


def _all_processes() -> list[int]:
    if PROC.joinpath("self").exists():
        return [int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit()]
    listed = subprocess.run(["/bin/ps", "-A", "-o", "pid="], capture_output=True, text=True, check=False)
    return [int(line) for line in listed.stdout.split()]


def _session_of(pid: int) -> int:
    try:
        return os.getsid(pid)
    except (ProcessLookupError, PermissionError):
        return -1


def _is_alive(pid: int) -> bool:
    return _session_of(pid) != -1 and not _is_zombie(pid)


def _is_zombie(pid: int) -> bool:
    try:
        return PROC.joinpath(str(pid), "stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (OSError, IndexError):
        return False


def _environment_of(pid: int) -> list[bytes]:
    try:
        return PROC.joinpath(str(pid), "environ").read_bytes().split(b"\0")
    except OSError:
        return []
