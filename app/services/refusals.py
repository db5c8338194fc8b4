"""What stops a target before its intent is written: tried again later, held, or ended with a reason."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

from app import clock
from app.domain.retry import backoff
from app.domain.target_state import BEFORE_INTENT, IN_FLIGHT, WAITING, State
from app.exceptions import PlatformAPIError
from app.extensions import db
from app.models import Target, TargetRef
from app.services.leases import FREE
from app.services.publishing import Loaded

MISSED_ERROR: dict[str, Any] = {
    "code": "MISSED",
    "message": "This could not be published before the latest time you allow, so it was not published late. "
    "Give it a new time or publish it now.",
    "details": {},
    "platform_code": None,
    "kind": "transient",
    "retryable": False,
    "retry_at": None,
    "action": "edit",
}


def refuse(item: Loaded, error: PlatformAPIError, *, before: Collection[State]) -> State | None:
    """Before the intent: try again later what may pass, ask about what was already committed, fail the rest.

    In the caller's transaction; returns the state the target was moved to, if it was.
    """
    if error.kind == "ambiguous" and "staging" in before:
        return _ask(item, error)
    if error.retryable or error.kind in ("reauth", "ambiguous"):
        Target.note(
            item.ref,
            **FREE,
            next_at=try_again_at(item, error),
            retries=item.retries + 1,
            error=error.to_dict(),
        )
        return None
    moved = Target.move(item.ref, before=before, after="failed", **FREE, next_at=None, error=error.to_dict())
    return "failed" if moved else None


def _ask(item: Loaded, error: PlatformAPIError) -> State | None:
    """The platform says that this handle was committed, though no intent of ours is open: ask, do not stage."""
    columns: dict[str, Any] = {"next_at": clock.now(), "committed_at": item.committed_at or clock.now()}
    moved = Target.move(
        item.ref, before={"staging"}, after="confirming", **FREE, **columns, error=error.to_dict()
    )
    return "confirming" if moved else None


def try_again_at(item: Loaded, error: PlatformAPIError) -> datetime:
    """Return when to try again: the platform's own time, else a growing pause."""
    soon = clock.now() + backoff(item.retries + 1)
    return max(soon, error.retry_at) if error.retry_at else soon


def give_up(ref: TargetRef, state: State) -> None:
    """End a target that killed its workers again and again: before the intent it failed; after it, a person
    must look, for nobody knows whether the post exists. Commits."""
    deaths = "Our workers died over this target several times. An administrator finds the reason in the logs."
    error = MISSED_ERROR | {"code": "INTERNAL_ERROR", "message": deaths, "action": "check_platform"}
    if state in IN_FLIGHT:
        Target.move(ref, before=IN_FLIGHT, after="unknown", **FREE, next_at=None, error=error)
    elif state in BEFORE_INTENT:
        Target.move(ref, before=WAITING, after="failed", **FREE, next_at=None, error=error)
    else:
        Target.note(ref, **FREE, next_at=None)
    db.session.commit()
