"""Runs a program that reads hostile files: limited, killable, without our environment and the network."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from app.exceptions import VideoProcessingError

_CONFINE = Path(__file__).with_name("confine.py")


@dataclass(frozen=True)
class Limits:
    """What a child may use: processor seconds, bytes of address space, bytes of one written file."""

    cpu: int
    memory: int
    file: int


@dataclass(frozen=True)
class Ended:
    """How a child ended. `code` None: it was killed because its time was over; negative: by a signal."""

    code: int | None
    output: bytes


def run_limited(command: list[str], *, limits: Limits, seconds: float) -> Ended:
    """Run `command` (an absolute path and its arguments) and return how it ended.

    Standard error is dropped: parsers write the file's own words there. Raises VideoProcessingError when the
    child cannot be started at all.
    """
    confined = [
        sys.executable,
        "-I",
        "-S",
        str(_CONFINE),
        json.dumps(asdict(limits)),
        str(os.getpid()),
        *command,
    ]
    try:
        done = subprocess.run(  # noqa: S603 - no shell, the command is ours
            confined,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
            timeout=seconds,
            start_new_session=True,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Ended(None, b"")
    except OSError as error:
        raise VideoProcessingError(details={"reason": error.strerror}) from error
    return Ended(done.returncode, done.stdout)
