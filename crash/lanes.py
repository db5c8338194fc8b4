"""Several installations at a time: each lane is a process with servers of its own, and plays round after round.

A round waits far more than it computes (for leases, deadlines, settle times), so lanes cost little beside each other.
"""

from __future__ import annotations

import multiprocessing
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing.util import Finalize

from crash import rounds
from crash.plan import Database, Fault
from crash.rounds import Result
from crash.world import Servers, servers


@dataclass(frozen=True)
class Round:
    """What one round plays, on a fresh installation."""

    database: Database
    platforms: tuple[str, ...]
    faults: tuple[Fault, ...]
    seed: int


_parts: Servers | None = None


def play(wanted: Sequence[Round], *, lanes: int) -> Iterator[Result]:
    """Play all rounds, `lanes` at a time, and yield what came of each as it ends."""
    databases = tuple(sorted({round_.database for round_ in wanted}))
    context = multiprocessing.get_context("spawn")
    count = min(lanes, len(wanted))
    with ProcessPoolExecutor(count, mp_context=context, initializer=_open, initargs=(databases,)) as pool:
        for done in as_completed([pool.submit(_play, round_) for round_ in wanted]):
            yield done.result()


def _open(databases: tuple[Database, ...]) -> None:
    """Start this lane's servers; they end with it."""
    global _parts
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    stack = ExitStack()
    _parts = stack.enter_context(servers(*databases))
    Finalize(None, stack.close, exitpriority=100)


def _play(wanted: Round) -> Result:
    assert _parts is not None
    label = f"[{wanted.database} {wanted.seed}]"

    def say(text: str) -> None:
        print(f"{time.strftime('%H:%M:%S')} {label} {text}", flush=True)

    result = rounds.run(
        _parts, wanted.database, list(wanted.platforms), wanted.faults, seed=wanted.seed, say=say
    )
    say(
        f"done: {len(result.struck)} faults, {sum(result.verdict.judged.values())} posts, "
        f"{len(result.verdict.findings)} findings, {result.seconds:.0f} s"
    )
    for story in result.stories:
        say(f"\n{story}")
    return result
