"""The product's processes as the kernel sees them: ended all at once, and let go on where they stand still."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

STANDSTILL = 2.0  # seconds that are waited for a process to stand still after its note


def go_on(pid: int) -> bool:
    """Let a process go on. Its note is there a moment before it stands still, and a signal then would be lost.

    False: it does not stand still yet, because the machine is busy, and has to be let go on later.
    """
    deadline = time.monotonic() + STANDSTILL
    while (state := _state(pid)) not in ("T", ""):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    if state:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
    return True


def end_all_of(folder: Path, *, seconds: float = 10.0) -> None:
    """SIGKILL every process that has this installation in its environment, until there is none.

    A group is not enough: RQ gives each horse one of its own, and one may be forked in the last moment.
    """
    deadline = time.monotonic() + seconds
    wanted = f"DATA_DIR={folder}".encode()
    while time.monotonic() < deadline:
        pids = [int(place.name) for place in Path("/proc").iterdir() if place.name.isdigit()]
        left = [pid for pid in pids if pid != os.getpid() and wanted in _environment(pid)]
        if not left:
            return
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)


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
