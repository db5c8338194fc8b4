from __future__ import annotations

import pytest

from app import clock
from app.services.clearance import CLEARANCE, LONGEST_WAIT, Clearance


def test_other_work_waits_for_a_commit_that_is_about_to_be_due() -> None:
    clearance = Clearance()

    assert clearance.allows(next_commit_in=CLEARANCE * 2) and not clearance.is_short
    assert not clearance.allows(next_commit_in=CLEARANCE / 2) and clearance.is_short
    assert clearance.allows(next_commit_in=float("inf")) and not clearance.is_short


def test_it_does_not_wait_for_ever_when_one_commit_follows_another(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(clock, "monotonic", lambda: now)
    clearance, allowed = Clearance(), []
    for _ in range(4):
        allowed.append(clearance.allows(next_commit_in=CLEARANCE / 2))
        now += LONGEST_WAIT / 2

    assert allowed == [False, False, True, False]
