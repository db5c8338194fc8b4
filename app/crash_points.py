"""Named points at which a process kills itself, so that tests can show what survives. Absent in production.

`CRASH_POINTS=commit.after_intent,stage.after_save` (or `all`) arms them; config refuses it in production. An
armed point fires when its file appears in DATA_DIR/crash, and takes the file away with it, so that the
restarted process goes on: `touch var/crash/commit.after_intent`. What the file says is done: `kill` (or nothing)
SIGKILL, `term` SIGTERM, `raise` an exception, `stop` SIGSTOP, after a file `stopped.PID` that names the point was
left beside it for whoever is to let the process go on: who takes the note away first and sends SIGCONT then finds each
stop, however many threads come by at once. `commit.after_intent@NAME` fires only for that platform's posts.
"""

from __future__ import annotations

import os
import signal
import threading
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
    "step.after_intent",
    "step.before_call",
    "step.after_call",
    "rendition.before_making",
    "rendition.while_making",
    "rendition.before_storing",
)
SIGNALS = {"kill": signal.SIGKILL, "term": signal.SIGTERM}
_armed: dict[str, Path] = {}
_standing = threading.Lock()  # a process stands still at one point at a time, and each time with its note


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


class CrashPointError(Exception):
    """Raised at a point whose file says `raise`: it stands for any fault of our own."""


def hit(name: str, *platforms: str) -> None:
    """Do here what the point's file says, if it is armed and one lies there for anybody or these platforms."""
    if name not in _armed:
        return
    path = _armed[name]
    for found in (path, *(path.with_name(f"{name}@{platform}") for platform in sorted({*platforms}))):
        try:
            action = found.read_text().strip() or "kill"
            found.unlink()
        except FileNotFoundError:
            continue
        _act(found, action)


def _act(found: Path, action: str) -> None:
    if action == "raise":
        raise CrashPointError(found.name)
    if action == "stop":
        _stand_still(found)
    else:
        os.kill(os.getpid(), SIGNALS[action])


def _stand_still(found: Path) -> None:
    """The signal goes to this thread, which thereby stops before it takes another step; so do the others."""
    with _standing:
        note = found.with_name(f"stopping.{os.getpid()}")
        note.write_text(found.name)
        note.rename(found.with_name(f"stopped.{os.getpid()}"))
        signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)
