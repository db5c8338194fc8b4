"""The ledger: a row before each call, completed with what came of it; in the caller's transaction."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import insert, select

from app.extensions import db
from app.models import Attempt
from app.models.base import new_id
from app.platforms.base import NotCommitted
from app.services.publishing import Loaded


def open_many(items: Sequence[Loaded]) -> list[Loaded]:
    """Write a ledger row before each call; return the items that name theirs."""
    numbered = [replace(item, attempt_id=new_id()) for item in items]
    rows = [
        {
            "id": item.attempt_id,
            "workspace_id": item.ref.workspace_id,
            "target_id": item.ref.id,
            "operation": item.kind,
            "fence": item.ref.fence,
        }
        for item in numbered
    ]
    if rows:
        db.session.execute(insert(Attempt), rows)
    return numbered


def close(item: Loaded, outcome: str, *, error: dict[str, Any] | None = None) -> None:
    """Complete the call's ledger row."""
    close_many([(item, outcome, error)])


def close_many(results: Iterable[tuple[Loaded, str, dict[str, Any] | None]]) -> None:
    """Complete the calls' ledger rows with their outcomes, in one round trip."""
    Attempt.complete_many(
        {
            item.attempt_id: {
                "outcome": outcome,
                "called_at": item.called_at,
                "error": error,
                "details": _details(item),
            }
            for item, outcome, error in results
            if item.attempt_id is not None
        }
    )


def not_committed(target_id: uuid.UUID, *, more_than: int) -> bool:
    """Did the platform say of this target's handle more often than that that nothing was published?

    The handle is the one of the last staging.
    """
    is_answer = (Attempt.operation == "locate") & (Attempt.outcome == NotCommitted.__name__)
    found = db.session.scalars(
        select(Attempt.operation)
        .where(Attempt.target_id == target_id, (Attempt.operation == "stage") | is_answer)
        .order_by(Attempt.id.desc())
        .limit(more_than + 1)
    )
    return list(found).count("locate") > more_than


def _details(item: Loaded) -> dict[str, Any]:
    """Return what the ledger keeps of a call; of a staging also which bytes went, for a file may be made anew."""
    details: dict[str, Any] = {"calls": [*item.calls]}
    return details | {"file": item.sent} if item.kind == "stage" else details
