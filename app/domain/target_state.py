"""A target's life, on one screen. Pure: no clock, no database.

    draft -> scheduled -> staging -> staged -> publishing -> confirming -> published -> removed
                 ^           |         ^ |          | |           |  |
                 +-- retry --+         | +-restage  | +-> failed  |  +-> awaiting_user -> published | expired
                 +---------------------+------------+-- located as not committed

`unknown`: a person resolves it. `cancelled`, `missed`, `failed`, `expired`, `removed` end the machine's
work; a person may still ask for another try of what failed or was missed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

State = Literal[
    "draft", "scheduled", "staging", "staged", "publishing", "confirming", "published", "removed",
    "awaiting_user", "expired", "cancelled", "missed", "failed", "unknown",
]  # fmt: skip
Status = Literal[
    "draft", "scheduled", "publishing", "published", "partially_published",
    "action_required", "failed", "missed", "cancelled",
]  # fmt: skip

TRANSITIONS: dict[State, frozenset[State]] = {
    "draft": frozenset({"scheduled", "cancelled"}),
    # confirming, before any intent of ours: the platform says that this handle was already committed, or the
    # database was restored and may have forgotten the intent; so it is asked, not staged again
    "scheduled": frozenset({"draft", "staging", "confirming", "cancelled", "missed", "failed"}),
    "staging": frozenset({"scheduled", "staged", "confirming", "cancelled", "missed", "failed"}),
    "staged": frozenset(
        {"scheduled", "staging", "publishing", "confirming", "cancelled", "missed", "failed"}
    ),
    "publishing": frozenset(
        {"confirming", "published", "awaiting_user", "staged", "scheduled", "failed", "unknown"}
    ),
    "confirming": frozenset({"published", "awaiting_user", "staged", "scheduled", "failed", "unknown"}),
    "published": frozenset({"removed"}),
    "awaiting_user": frozenset({"published", "expired", "failed"}),
    "unknown": frozenset({"published", "failed"}),
    "failed": frozenset({"scheduled"}),
    "missed": frozenset({"scheduled"}),
    "cancelled": frozenset(),
    "expired": frozenset(),
    "removed": frozenset(),
}

# Until the intent is written a post can still be stopped, changed or missed.
BEFORE_INTENT: frozenset[State] = frozenset({"draft", "scheduled", "staging", "staged"})
WAITING: frozenset[State] = frozenset({"scheduled", "staging", "staged"})
IN_FLIGHT: frozenset[State] = frozenset({"publishing", "confirming"})
OPEN: frozenset[State] = BEFORE_INTENT | IN_FLIGHT
RETRYABLE: frozenset[State] = frozenset({"failed", "missed"})

STATUS: dict[State, Status] = {
    "draft": "draft",
    "scheduled": "scheduled",
    "staging": "scheduled",
    "staged": "scheduled",
    "publishing": "publishing",
    "confirming": "publishing",
    "published": "published",
    "removed": "failed",
    "awaiting_user": "action_required",
    "unknown": "action_required",
    "expired": "failed",
    "failed": "failed",
    "missed": "missed",
    "cancelled": "cancelled",
}


def may_move(before: State, after: State) -> bool:
    """Return whether the machine allows the step."""
    return after in TRANSITIONS[before]


def post_status(states: Iterable[State]) -> Status:
    """Derive a post's status from the states of its targets; cancelled targets count only if all are."""
    statuses = {STATUS[state] for state in states}
    if not statuses:
        return "draft"
    if statuses != {"cancelled"}:
        statuses.discard("cancelled")
    for open_status in ("action_required", "publishing", "scheduled", "draft"):
        if open_status in statuses:
            return open_status
    if "published" in statuses:
        return "published" if len(statuses) == 1 else "partially_published"
    return next(status for status in ("failed", "missed", "cancelled") if status in statuses)
