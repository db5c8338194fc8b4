"""Run the proof and print it. Exit status 0 only for zeros, or, with PLANTS, when every plant is detected."""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

from app.platforms.registry import names
from crash import lanes, plan, report, rounds
from crash.plan import Database
from crash.rounds import Result, Round
from tests.rig import FACTOR, case_of

ROUND = 400  # faults that strike one installation, at most
SHORTEST = 40  # a round of fewer spends most of its time on beginning and ending
MEMORY = Path("/dev/shm")  # nothing here needs a disk: what a power cut takes is counted (crash/wal.py)
MEMORY_WANTED = 2_000_000_000  # bytes
DATABASES: dict[str, tuple[Database, ...]] = {
    "sqlite": ("sqlite",),
    "postgresql": ("postgresql",),
    "both": ("sqlite", "postgresql"),
}


def say(text: str) -> None:
    print(text, flush=True)


def main() -> int:
    asked = _arguments()
    signal.signal(signal.SIGTERM, lanes.end)
    _prefer_memory()
    platforms = asked.platforms.split(",") if asked.platforms else list(names())
    databases = DATABASES[asked.database]
    if asked.plants:
        from crash import plant_runs

        return plant_runs.run(platforms, only=asked.plants, lane_count=asked.lanes, say=say)
    say(f"seed {asked.seed}, {asked.faults} faults, {', '.join(platforms)} on {', '.join(databases)}")
    say(f"protocol times are divided by {FACTOR}, here and in the sandbox")
    skipped = Counter[str]()
    wanted = list(_rounds(asked, platforms, databases, skipped))
    results: list[Result] = []
    for result in lanes.play(rounds.run, wanted, databases=databases, lanes=asked.lanes):
        results.append(result)
        say(f"{len(results)} of {len(wanted)} rounds: {report.last_line(results)}")
    say("\n" + report.table(results))
    say(report.notes(results, skipped))
    say(report.last_line(results))
    return 0 if report.is_clean(results) else 1


def _prefer_memory() -> None:
    """Put the installations' files into memory where there is room: hundreds of processes waiting for one disk
    measure the disk."""
    if os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > MEMORY_WANTED:
        os.environ.setdefault("TMPDIR", str(MEMORY))


def _rounds(
    asked: argparse.Namespace,
    platforms: list[str],
    databases: tuple[Database, ...],
    skipped: Counter[str],
) -> Iterator[Round]:
    """Yield what each round plays: the enumeration (or a sample of it), then random faults, in even shares."""
    cases = {name: case_of(name) for name in platforms}
    for turn, database in enumerate(databases):
        share = asked.faults // len(databases) + (turn < asked.faults % len(databases))
        dice = random.Random(f"{asked.seed} {database}")
        everything, reasons = plan.enumerate_all(cases, database)
        skipped.update(reasons)
        once = everything if len(everything) <= share // 2 else plan.sample(everything, share * 2 // 3, dice)
        dice.shuffle(once)
        faults = once + plan.draw(everything, share - len(once), dice)
        count = max(-(-len(faults) // ROUND), min(asked.lanes // len(databases), len(faults) // SHORTEST), 1)
        for number in range(count):
            share_of_faults, seed = tuple(faults[number::count]), asked.seed * 1000 + number
            yield Round(database, tuple(platforms), share_of_faults, seed, asked.posts)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make crash")
    parser.add_argument("--faults", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--database", choices=list(DATABASES), default="both")
    parser.add_argument("--lanes", type=int, default=4, help="installations that are struck at a time")
    parser.add_argument(
        "--posts", type=int, default=40, help="posts that are under way at a time, in each lane"
    )
    parser.add_argument("--platforms", default="", help="comma-separated; all when left out")
    parser.add_argument("--plants", default="", help="1 for all planted design faults, or their names")
    assert set(DATABASES["both"]) == set(get_args(Database))
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
