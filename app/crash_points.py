"""Named points at which a process kills itself, so that tests can show what survives. Absent in production.

`CRASH_POINTS=commit.after_intent,stage.after_save` arms them (config refuses it in production); each fires
once for an installation, remembered by a file in DATA_DIR/crash, so that the restarted process goes on.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

from app.config import Settings

POINTS = (
    "dispatch.after_claim",
    "dispatch.after_commit",
    "stage.before_call",
    "stage.after_save",
    "stage.after_call",
    "preflight.after_call",
    "commit.before_intent",
    "commit.after_intent",
    "commit.in_call",
    "commit.after_call",
    "commit.after_result",
    "locate.after_call",
    "refresh.after_call",
)
_armed: dict[str, Path] = {}


def arm(settings: Settings) -> None:
    """Arm the points the settings name. Raises ValueError for a name that is not one."""
    names = [name.strip() for name in settings.crash_points.split(",") if name.strip()]
    if unknown := set(names) - set(POINTS):
        raise ValueError(f"unknown crash points {sorted(unknown)}; known: {', '.join(POINTS)}")
    folder = settings.data_dir / "crash"
    if names:
        folder.mkdir(parents=True, exist_ok=True)
    _armed.clear()
    _armed.update({name: folder / name for name in names})


def hit(name: str) -> None:
    """Die here by SIGKILL if this point is armed and has not fired yet."""
    if not _armed:
        return
    marker = _armed.get(name)
    if marker is None:
        return
    try:
        os.close(os.open(marker, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    except FileExistsError:
        return
    os.kill(os.getpid(), signal.SIGKILL)
