from __future__ import annotations

import random
from collections import Counter

from app.crash_points import POINTS
from app.platforms.registry import names
from crash import plan
from tests.rig import case_of

CASES = {name: case_of(name) for name in names()}


def test_every_kind_strikes_on_one_of_the_databases():
    sqlite, _ = plan.enumerate_all(CASES, "sqlite")
    postgresql, _ = plan.enumerate_all(CASES, "postgresql")

    assert {fault.kind for fault in [*sqlite, *postgresql]} == set(plan.KINDS)


def test_what_is_left_out_is_counted():
    faults, skipped = plan.enumerate_all(CASES, "sqlite")

    assert len(faults) + skipped.total() == len(plan.KINDS) * len(POINTS) * len(CASES)


def test_one_seed_draws_the_same_faults():
    faults, _ = plan.enumerate_all(CASES, "sqlite")

    first, second = (plan.draw(faults, 50, random.Random(7)) for _ in range(2))

    assert first == second


def test_a_sample_has_every_kind_alike_but_for_the_heavy_ones():
    faults, _ = plan.enumerate_all(CASES, "sqlite")

    counts = Counter(fault.kind for fault in plan.sample(faults, 100, random.Random(7)))

    light = [count for kind, count in counts.items() if kind not in plan.HEAVY]
    assert max(light) - min(light) <= 2
    assert 0 < sum(counts[kind] for kind in plan.HEAVY) <= 4
