"""Runs a program that reads hostile files: limited, killable, without our environment and the network."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from app.exceptions import VideoProcessingError

# HOME, so that Python does not look for it in the list of users, which may be on another server.
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "HOME": "/"}
QUIET_SECONDS = 1.0  # how long a watched child may be silent before its watcher is asked
MAX_READ = 65536
MAX_COMPLAINTS = 8192  # bytes of standard error that are kept
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
    try:
        done = subprocess.run(  # noqa: S603 - no shell, the command is ours
            _confined(command, limits),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=ENVIRONMENT,
            timeout=seconds,
            start_new_session=True,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Ended(None, b"")
    except OSError as error:
        raise VideoProcessingError(details={"reason": error.strerror}) from error
    return Ended(done.returncode, done.stdout)


def _confined(command: list[str], limits: Limits) -> list[str]:
    numbers = (limits.cpu, limits.memory, limits.file, os.getpid())
    return [sys.executable, "-I", "-S", str(_CONFINE), *map(str, numbers), *command]


def run_watched(
    command: list[str], *, limits: Limits, seconds: float, on_line: Callable[[bytes | None], None]
) -> Ended:
    """Run `command` like `run_limited`, handing over each line of its output as it comes.

    `on_line` gets None when nothing came for a second; whatever it raises kills the child and passes through.
    `Ended.output` is the end of what the child said on standard error, which may hold the file's own words.
    """
    deadline = time.monotonic() + seconds
    complaints = bytearray()
    with _started(command, limits) as child:
        try:  # at once: a signal may raise anywhere, and without it the child would be waited for
            in_time = _watch(child, deadline, on_line, complaints) and _ends(child, deadline)
        finally:
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)
        return Ended(child.wait() if in_time else None, bytes(complaints))


def _started(command: list[str], limits: Limits) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(  # noqa: S603 - no shell, the command is ours
            _confined(command, limits),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=ENVIRONMENT,
            start_new_session=True,
        )
    except OSError as error:
        raise VideoProcessingError(details={"reason": error.strerror}) from error


def _watch(
    child: subprocess.Popen[bytes],
    deadline: float,
    on_line: Callable[[bytes | None], None],
    complaints: bytearray,
) -> bool:
    """Pass lines on until the child closes its outputs; False when its time is over before."""
    assert child.stdout is not None and child.stderr is not None
    output, errors, rest = child.stdout.fileno(), child.stderr.fileno(), b""
    open_ends = {output, errors}
    while open_ends:
        left = deadline - time.monotonic()
        if left <= 0:
            return False
        readable, _, _ = select.select(list(open_ends), [], [], min(QUIET_SECONDS, left))
        if not readable:
            on_line(None)
        for end in readable:
            data = os.read(end, MAX_READ)
            if not data:
                open_ends.discard(end)
            elif end == errors:
                complaints += data
                del complaints[:-MAX_COMPLAINTS]
            else:
                *lines, rest = (rest + data)[-MAX_READ:].split(b"\n")
                for line in lines:
                    on_line(line)
    return True


def _ends(child: subprocess.Popen[bytes], deadline: float) -> bool:
    try:
        child.wait(max(deadline - time.monotonic(), 0.1))
    except subprocess.TimeoutExpired:
        return False
    return True
