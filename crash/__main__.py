"""Run the proof and print it. Exit status 0 only for zeros, or, with PLANTS, when every plant is detected."""

from __future__ import annotations

import argparse
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from typing import get_args

from app.platforms.registry import names
from crash import plan, report, rounds
from crash.plan import Database, Fault
from crash.rounds import Result
from crash.world import Servers, servers
from tests.rig import FACTOR, case_of

ROUND = 400  # faults that strike one installation
DATABASES: dict[str, tuple[Database, ...]] = {
    "sqlite": ("sqlite",),
    "postgresql": ("postgresql",),
    "both": ("sqlite", "postgresql"),
}


def say(text: str) -> None:
    print(text, flush=True)


def main() -> int:
    asked = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that every process is ended with us
    platforms = asked.platforms.split(",") if asked.platforms else list(names())
    databases = DATABASES[asked.database]
    if asked.plants:
        from crash import plant_runs

        return plant_runs.run(platforms, only=asked.plants, say=say)
    say(f"seed {asked.seed}, {asked.faults} faults, {', '.join(platforms)} on {', '.join(databases)}")
    say(f"protocol times are divided by {FACTOR}, here and in the sandbox")
    results, skipped = [], Counter[str]()
    with servers(*databases) as parts:
        for database, faults, seed in _rounds(asked, platforms, databases, skipped):
            results.append(_round(parts, database, platforms, faults, seed))
    for result in results:
        for story in result.stories:
            say(f"\n(round with seed {result.seed} on {result.database})\n{story}")
    say("\n" + report.table(results))
    say(report.notes(results, skipped))
    say(report.last_line(results))
    return 0 if report.is_clean(results) else 1


def _round(
    parts: Servers, database: Database, platforms: list[str], faults: list[Fault], seed: int
) -> Result:
    result = rounds.run(parts, database, platforms, faults, seed=seed, say=say)
    say(
        f"{time.strftime('%H:%M:%S')} round {seed} on {database}: {len(result.struck)} faults, "
        f"{sum(result.verdict.judged.values())} posts, {len(result.verdict.findings)} findings, "
        f"{result.seconds:.0f} s"
    )
    return result


def _rounds(
    asked: argparse.Namespace,
    platforms: list[str],
    databases: tuple[Database, ...],
    skipped: Counter[str],
) -> Iterator[tuple[Database, list[Fault], int]]:
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
        for number, start in enumerate(range(0, len(faults), ROUND)):
            yield database, faults[start : start + ROUND], asked.seed * 1000 + number


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make crash")
    parser.add_argument("--faults", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--database", choices=list(DATABASES), default="both")
    parser.add_argument("--platforms", default="", help="comma-separated; all when left out")
    parser.add_argument("--plants", default="", help="1 for all planted design faults, or their names")
    assert set(DATABASES["both"]) == set(get_args(Database))
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
