"""Counting in several processes at once.

With PROMETHEUS_MULTIPROC_DIR (prometheus_client's own variable) every process counts into memory-mapped files
of its own in that folder, and any of them can read the sum. Without it each process knows only itself.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Any

import prometheus_client.values
from prometheus_client.multiprocess import mark_process_dead

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"

_horse_of: int | None = None


def is_multiprocess() -> bool:
    return VARIABLE in os.environ


def use_metrics_dir(default: Path) -> Path:
    """Count into files from now on, so that all processes are summed; return their folder.

    PROMETHEUS_MULTIPROC_DIR wins over `default`. To be called before anything is counted: by gunicorn's
    configuration, by the workers, by the dispatcher. Repeatable.
    """
    folder = Path(os.environ.get(VARIABLE) or default).resolve()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    os.environ[VARIABLE] = str(folder)
    prometheus_client.values.ValueClass = _file_value()
    return folder


@cache
def _file_value() -> Any:
    return prometheus_client.values.MultiProcessValue(process_identifier=_process_name)  # type: ignore[no-untyped-call]


def _process_name() -> int | str:
    # Horses of one worker live one after another and share a file: else each job would leave three for ever.
    return os.getpid() if _horse_of is None else f"horse-{_horse_of}"


def mark_horse(parent_pid: int) -> None:
    """Say that this process is a forked child of that worker, before it counts anything."""
    global _horse_of
    _horse_of = parent_pid


def mark_dead(pid: int) -> None:
    """Forget what an ended process had in progress; what it counted stays."""
    if is_multiprocess():
        mark_process_dead(pid)  # type: ignore[no-untyped-call]


def clear_metrics_dir(path: Path) -> None:
    """Begin counting at zero. For the runner, before any process starts."""
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    for file in path.glob("*.db"):
        file.unlink(missing_ok=True)


if is_multiprocess():
    use_metrics_dir(Path(os.environ[VARIABLE]))
