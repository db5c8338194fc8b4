"""Each plant with the scenario that exposes it, beside the same scenario on the sound product."""

from __future__ import annotations

import time
from collections.abc import Callable

from crash import oracle
from crash.oracle import WRONG, Verdict
from crash.plants import PLANTS
from crash.scenarios import SCENARIOS
from crash.world import Servers, servers, world

PATIENCE = 40.0  # seconds in which everything must be settled
Say = Callable[[str], None]


def run(platforms: list[str], *, only: str, say: Say) -> int:
    """Run all plants, or those named; return 0 only when each is red and its scenario without it green."""
    chosen = list(PLANTS) if only == "1" else only.split(",")
    with servers("sqlite") as parts:
        detected = [_detects(parts, platforms, name, say) for name in chosen]
    say(f"plants={len(chosen)} detected={sum(detected)}")
    return 0 if all(detected) else 1


def _detects(parts: Servers, platforms: list[str], name: str, say: Say) -> bool:
    sound = play(parts, platforms, PLANTS[name].scenario)
    planted = play(parts, platforms, PLANTS[name].scenario, plant=name)
    say(f"{name:28} without: {_shown(sound):34} with: {_shown(planted):34} {PLANTS[name].what}")
    for finding in sound.findings:
        say(f"    without the plant: {finding.fault}: {finding.why}")
    return bool(planted.findings) and not sound.findings


def play(parts: Servers, platforms: list[str], scenario: str, *, plant: str = "") -> Verdict:
    """Play one scenario on a fresh installation and judge it."""
    with world(parts, "sqlite", platforms, channels=1, plant=plant) as made:
        sent = SCENARIOS[scenario](made)
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and oracle.count_unsettled(made, sent):
            time.sleep(0.3)
        time.sleep(1.0)
        return oracle.judge(made, sent)


def _shown(verdict: Verdict) -> str:
    found = [f"{wrong}={verdict.count(wrong)}" for wrong in WRONG if verdict.count(wrong)]
    return f"red ({', '.join(found)})" if found else "green"
