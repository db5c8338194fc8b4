from __future__ import annotations

from app.domain.video_state import MOVES, STATES, may_move


def test_every_state_has_its_moves_and_leads_to_known_states() -> None:
    assert set(MOVES) == set(STATES)
    assert all(after <= set(STATES) for after in MOVES.values())


def test_a_settled_video_is_never_processed_again() -> None:
    assert not any(may_move(before, "processing") for before in STATES)
    assert not may_move("rejected", "ready")
