"""Work that ends at once when its worker is asked to stop, instead of being waited for.

A worker that is asked to stop lets its job end, but is killed with it after some time (90 s with systemd and
Kubernetes). Work that may take hours would count that as a death. So it asks for an exception here, hands its
claim back, and begins anew elsewhere; every other job is finished as before.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

SIGNAL = signal.SIGUSR1  # from a worker to its horse; SIGTERM would kill that one


class Stopped(BaseException):
    """The worker is asked to stop. Not an Exception: nothing on the way may take it for trouble."""


@dataclass
class _Process:
    is_asked: bool = False
    may_end: bool = False


_process = _Process()


def listen() -> None:
    """Hear SIGNAL from now on, as does whatever is forked afterwards."""
    signal.signal(SIGNAL, _on_signal)


def _on_signal(_number: int, _frame: object) -> None:
    if _process.is_asked:  # a second time it would disturb the clearing away
        return
    ask()
    if _process.may_end:
        raise Stopped


def ask() -> None:
    """Note that this process is to stop."""
    _process.is_asked = True


def is_asked() -> bool:
    return _process.is_asked


@contextmanager
def ends_work() -> Iterator[None]:
    """Let the block, wherever it is, end with Stopped as soon as this process is asked to stop."""
    _process.may_end = True
    try:
        if _process.is_asked:
            raise Stopped
        yield
    finally:
        _process.may_end = False
