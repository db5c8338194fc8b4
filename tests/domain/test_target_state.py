"""The machine itself: what may follow what, and what a post's targets add up to."""

from __future__ import annotations

from typing import get_args

import pytest

from app.domain.target_state import (
    BEFORE_INTENT,
    IN_FLIGHT,
    STATUS,
    TRANSITIONS,
    State,
    may_move,
    post_status,
)


def test_every_state_has_its_moves_and_its_public_status():
    states = set(get_args(State))

    assert set(TRANSITIONS) == states
    assert set(STATUS) == states
    assert all(after in states for moves in TRANSITIONS.values() for after in moves)


def test_nothing_leads_back_from_a_written_intent_to_cancelled_or_missed():
    for state in IN_FLIGHT:
        assert not may_move(state, "cancelled")
        assert not may_move(state, "missed")


def test_everything_before_the_intent_can_be_cancelled():
    assert all(may_move(state, "cancelled") for state in BEFORE_INTENT)


def test_only_staged_targets_can_be_published():
    assert [state for state in TRANSITIONS if may_move(state, "publishing")] == ["staged"]


@pytest.mark.parametrize(
    ("states", "status"),
    [
        ([], "draft"),
        (["draft"], "draft"),
        (["scheduled", "staged"], "scheduled"),
        (["published", "staged"], "scheduled"),
        (["published", "publishing", "failed"], "publishing"),
        (["published", "published"], "published"),
        (["published", "cancelled"], "published"),
        (["published", "failed"], "partially_published"),
        (["published", "missed"], "partially_published"),
        (["published", "unknown"], "action_required"),
        (["awaiting_user"], "action_required"),
        (["removed"], "failed"),
        (["failed", "missed"], "failed"),
        (["missed", "cancelled"], "missed"),
        (["cancelled", "cancelled"], "cancelled"),
    ],
)
def test_a_posts_status_is_what_its_targets_add_up_to(states, status):
    assert post_status(states) == status
