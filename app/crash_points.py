"""Named points at which a process kills itself, so that tests can show what survives. Absent in production.

`CRASH_POINTS=commit.after_intent,stage.after_save` (or `all`) arms them; config refuses it in production. An
armed point fires when its file appears in DATA_DIR/crash, and takes the file away with it, so that the
restarted process goes on: `touch var/crash/commit.after_intent`.
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
    "commit.before_call",
    "commit.after_call",
    "commit.after_result",
    "locate.after_call",
    "refresh.after_call",
)
_armed: dict[str, Path] = {}


def arm(settings: Settings) -> None:
    """Arm the points the settings name. Raises ValueError for a name that is not one."""
    names = [name.strip() for name in settings.crash_points.split(",") if name.strip()]
    names = list(POINTS) if names == ["all"] else names
    if unknown := set(names) - set(POINTS):
        raise ValueError(f"unknown crash points {sorted(unknown)}; known: {', '.join(POINTS)}")
    folder = settings.data_dir / "crash"
    if names:
        folder.mkdir(parents=True, exist_ok=True)
    _armed.clear()
    _armed.update({name: folder / name for name in names})


def hit(name: str) -> None:
    """Die here by SIGKILL if this point is armed and its file lies there."""
    if name not in _armed:
        return
    try:
        _armed[name].unlink()
    except FileNotFoundError:
        return
    os.kill(os.getpid(), signal.SIGKILL)
