"""The product's processes as the kernel sees them: ended all at once, and let go on where they stand still."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

STANDSTILL = 2.0  # seconds that are waited for a process to stand still after its note


def go_on(note: Path) -> bool:
    """Let the process of this note (app/crash_points.py) go on, and take the note away.

    The note is there a moment before the process stands still, and a signal then would be lost. It is taken away
    before the signal, because afterwards another thread may stop the process again and leave its own.

    False: it does not stand still yet, because the machine is busy, and has to be let go on later.
    """
    pid = int(note.suffix[1:])
    deadline = time.monotonic() + STANDSTILL
    while (state := _state(pid)) not in ("T", ""):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    note.unlink(missing_ok=True)
    if state:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
    return True


def end_all_of(folder: Path, *, seconds: float = 10.0) -> None:
    """SIGKILL every process that has this installation in its environment, until there is none.

    A group is not enough: RQ gives each horse one of its own, and one may be forked in the last moment.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        left = _all_of(folder)
        if not left:
            return
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)


def standing_still(folder: Path) -> list[int]:
    """Return the ids of an installation's processes that stand still."""
    return [pid for pid in _all_of(folder) if _state(pid) == "T"]


def _all_of(folder: Path) -> list[int]:
    wanted = f"DATA_DIR={folder}".encode()
    pids = [int(place.name) for place in Path("/proc").iterdir() if place.name.isdigit()]
    return [pid for pid in pids if pid != os.getpid() and wanted in _environment(pid)]


def _state(pid: int) -> str:
    """Return the kernel's letter for what a process does ("T": it stands still), empty when it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def _environment(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []
