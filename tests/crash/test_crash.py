"""A run of `make crash`: about 300 faults, a share on each database, and a few planted design faults.

Not part of `make test` yet, because it takes too long: `make test ARGS="-m long tests/crash"`.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator

import pytest

from app.platforms.registry import names
from crash import plan, plant_runs, report, rounds
from crash.plan import Database
from crash.plants import PLANTS
from crash.scenarios import SCENARIOS
from crash.world import Servers, servers
from tests.rig import case_of
from tests.skips import skip_or_fail

SHARE = 150  # faults on each database
QUICK_PLANTS = ("blind_retry", "synchronous_normal", "content_reservation_skipped")


@pytest.fixture(scope="module")
def parts() -> Iterator[Servers]:
    try:
        with servers("sqlite", "postgresql") as made:
            yield made
    except LookupError as missing:
        skip_or_fail(str(missing))


@pytest.mark.long
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_no_fault_doubles_loses_or_forgets_a_post(parts: Servers, database: Database):
    platforms, dice = list(names()), random.Random(f"short {database}")
    everything, _ = plan.enumerate_all({name: case_of(name) for name in platforms}, database)
    faults = plan.sample(everything, SHARE * 2 // 3, dice) + plan.draw(everything, SHARE // 3, dice)

    result = rounds.run(parts, database, platforms, faults, seed=1, say=print)

    assert not result.verdict.findings, "\n".join([report.last_line([result]), *result.stories])
    assert len(result.struck) > SHARE * 0.8, report.notes([result], Counter())


@pytest.mark.long
@pytest.mark.parametrize("name", QUICK_PLANTS)
def test_the_harness_sees_a_planted_fault(parts: Servers, name: str):
    planted = plant_runs.play(parts, list(names()), PLANTS[name].scenario, plant=name)

    assert planted.findings


@pytest.mark.long
def test_the_harness_finds_nothing_wrong_with_the_sound_product(parts: Servers):
    sound = plant_runs.play(parts, list(names()), "lost_answer")

    assert sound.findings == []


def test_every_plant_has_a_scenario():
    assert {plant.scenario for plant in PLANTS.values()} == set(SCENARIOS)
    assert len(PLANTS) >= 12
