"""The short run of what `make fuzz` does at length: no operation breaks, and every one can succeed."""

from __future__ import annotations

import pytest

from tests.fuzz.campaign import Campaign
from tests.fuzz.world import Installation

SEED, CASES = 1, 10


@pytest.fixture(scope="module")
def campaign(place: Installation) -> Campaign:
    return Campaign(place, seed=SEED)


def test_every_operation_succeeds_with_its_example_and_real_ids(campaign: Campaign) -> None:
    for name in campaign.operations:
        campaign.succeed(name)

    assert campaign.faults == []
    assert [name for name, tally in campaign.tallies.items() if not tally.succeeded] == []


def test_no_request_breaks_an_operation_or_gets_an_answer_that_is_not_described(campaign: Campaign) -> None:
    for name in campaign.operations:
        campaign.turn(name, cases=CASES)

    assert campaign.faults == []
    assert campaign.sent > 700
