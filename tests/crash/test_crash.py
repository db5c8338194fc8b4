"""A short run of `make crash`: about 300 faults, half of them on each database, and three planted design faults."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from app.embedded import find_redis_server
from crash.plants import PLANTS
from crash.scenarios import SCENARIOS
from tests.rig import ROOT
from tests.servers import find_postgres
from tests.skips import skip_or_fail

FAULTS = 300
LANES, POSTS = "2", "12"  # the rest of the suite runs beside
QUICK_PLANTS = ("blind_retry", "success_assumed", "content_reservation_skipped")
LAST_LINE = re.compile(r"faults=(\d+) duplicates=0 lost=0 stuck=0 unknown=0")


@pytest.fixture(autouse=True, scope="module")
def _has_servers() -> None:
    if find_redis_server() is None or find_postgres() is None:
        skip_or_fail("no Redis or no PostgreSQL to strike")


def crash(*arguments: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "crash", *arguments]
    done = subprocess.run(command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return done.returncode, done.stdout


def test_no_fault_doubles_loses_or_forgets_a_post():
    status, output = crash("--faults", str(FAULTS), "--seed", "1", "--lanes", LANES, "--posts", POSTS)

    found = LAST_LINE.fullmatch(output.splitlines()[-1])
    assert found and status == 0, output
    assert int(found[1]) > FAULTS * 0.75, output


def test_the_harness_sees_planted_faults_and_nothing_wrong_without_them():
    status, output = crash("--plants", ",".join(QUICK_PLANTS), "--lanes", LANES)

    assert output.splitlines()[-1] == f"plants={len(QUICK_PLANTS)} detected={len(QUICK_PLANTS)}", output
    assert status == 0, output


def test_every_plant_has_a_scenario():
    assert {plant.scenario for plant in PLANTS.values()} == set(SCENARIOS)
    assert len(PLANTS) >= 12
