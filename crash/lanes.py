"""Several installations at a time: each lane is a process with servers of its own, and plays one after the other.

A round waits far more than it computes (for leases, deadlines, settle times), so lanes cost little beside each other.
"""

from __future__ import annotations

import multiprocessing
import signal
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import ExitStack
from multiprocessing.util import Finalize
from typing import TypeVar

from crash.plan import Database
from crash.world import Servers, servers

Asked = TypeVar("Asked")
Found = TypeVar("Found")

_parts: Servers | None = None


def play(
    function: Callable[[Servers, Asked], Found],
    wanted: Sequence[Asked],
    *,
    databases: Collection[Database],
    lanes: int,
) -> Iterator[Found]:
    """Call `function` (of a module) with a lane's servers and each of `wanted`; yield what comes, as it comes."""
    count, context = min(lanes, len(wanted)), multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(count, context, initializer=_open, initargs=(tuple(databases),))
    try:
        for done in as_completed([pool.submit(_call, function, asked) for asked in wanted]):
            yield done.result()
    finally:
        pool.shutdown(cancel_futures=True)


def end(*_: object) -> None:
    """End the lanes, and with them every process, before us: a handler of SIGTERM."""
    for child in multiprocessing.active_children():
        child.terminate()
    sys.exit(143)


def _open(databases: tuple[Database, ...]) -> None:
    """Start this lane's servers; they end with it."""
    global _parts
    signal.signal(signal.SIGTERM, _leave)
    stack = ExitStack()
    _parts = stack.enter_context(servers(*databases))
    Finalize(None, stack.close, exitpriority=100)


def _leave(*_: object) -> None:
    """Unwind what is being played. The pool takes that for its result, and may hand out another."""
    global _parts
    if _parts is not None:
        _parts = None
        sys.exit(143)


def _call(function: Callable[[Servers, Asked], Found], asked: Asked) -> Found:
    if _parts is None:
        raise SystemExit(143)
    return function(_parts, asked)
