"""Each plant with the scenario that exposes it, beside the same scenario on the sound product."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from crash import lanes, oracle
from crash.oracle import WRONG, Verdict
from crash.plants import PLANTS
from crash.scenarios import SCENARIOS
from crash.world import Servers, world

PATIENCE = 40.0  # seconds in which everything must be settled
Say = Callable[[str], None]


@dataclass(frozen=True)
class Scene:
    """One scenario to play on SQLite, with a plant or, `plant` empty, on the sound product."""

    scenario: str
    platforms: tuple[str, ...]
    plant: str = ""


def run(platforms: Sequence[str], *, only: str, lane_count: int, say: Say) -> int:
    """Run all plants, or those named; return 0 only when each is red and its scenario without it green."""
    chosen = list(PLANTS) if only == "1" else only.split(",")
    scenarios = sorted({PLANTS[name].scenario for name in chosen})
    scenes = [
        *(Scene(scenario, tuple(platforms)) for scenario in scenarios),
        *(Scene(PLANTS[name].scenario, tuple(platforms), name) for name in chosen),
    ]
    found: dict[Scene, Verdict] = {}
    for scene, verdict in lanes.play(play, scenes, databases=["sqlite"], lanes=lane_count):
        found[scene] = verdict
        say(
            f"{len(found):3} of {len(scenes)}  {_shown(verdict):34} {scene.plant or 'sound'} ({scene.scenario})"
        )
    verdicts = {(scene.scenario, scene.plant): verdict for scene, verdict in found.items()}
    detected = [_tell(verdicts, name, say) for name in chosen]
    say(f"plants={len(chosen)} detected={sum(detected)}")
    return 0 if all(detected) else 1


def _tell(verdicts: dict[tuple[str, str], Verdict], name: str, say: Say) -> bool:
    """Say what a plant and the same scenario without it came to; return whether the plant was detected."""
    scenario = PLANTS[name].scenario
    sound, planted = verdicts[scenario, ""], verdicts[scenario, name]
    say(f"{name:28} without: {_shown(sound):34} with: {_shown(planted):34} {PLANTS[name].what}")
    for finding in sound.findings:
        say(f"    without the plant: {finding.fault}: {finding.why}")
    return bool(planted.findings) and not sound.findings


def play(parts: Servers, scene: Scene) -> tuple[Scene, Verdict]:
    """Play one scenario on a fresh installation and judge it."""
    with world(parts, "sqlite", list(scene.platforms), channels=1, plant=scene.plant) as made:
        sent = SCENARIOS[scene.scenario](made)
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and oracle.count_unsettled(made, sent):
            time.sleep(0.3)
        time.sleep(1.0)
        return scene, oracle.judge(made, sent)


def _shown(verdict: Verdict) -> str:
    found = [f"{wrong}={verdict.count(wrong)}" for wrong in WRONG if verdict.count(wrong)]
    return f"red ({', '.join(found)})" if found else "green"
