"""Staging: everything up to the point of no return, resumable, under a lease that is renewed while it runs."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import timedelta
from typing import Any

from app import clock, crash_points, warm_stop
from app.domain.target_state import State
from app.exceptions import AppException, PlatformAPIError, ResourceNotFoundError, StorageError
from app.extensions import db, settings
from app.logging_config import get_logger, log_context
from app.models import Target, TargetRef
from app.models.base import new_id
from app.monitoring import capture_error
from app.platforms.base import Handle, LeaseLost, Staged, Wait
from app.queue import JobTimeout, wake_dispatcher
from app.services import (
    blocks,
    credentials,
    leases,
    ledger,
    publishing,
    quotas,
    refusals,
    renditions,
    settling,
)
from app.services.platforms import noting_calls
from app.services.publishing import Loaded

logger = get_logger(__name__)
TOKEN_MARGIN = timedelta(minutes=5)  # a token must outlive the next calls
MAX_FAULTS = 5  # errors of ours, not the platform's, before a person is told
TOO_SLOW = "Uploading took longer than a worker may take for it. It is tried again, and goes on where that is possible."


def stage(target_id: uuid.UUID, fence: int) -> None:
    """Bring one claimed target as far as it may go before its time. Losing the lease is a normal end."""
    item = _take(target_id, fence)
    if item is None:
        return
    with log_context(**item.log_ids()), noting_calls() as noted:
        outcome = _outcome(item)
        item = replace(item, calls=tuple(noted))
        if isinstance(outcome, PlatformAPIError):
            _record_error(item, outcome)
        elif outcome is not None:
            _record_result(item, outcome)
    wake_dispatcher()


def rehearse() -> None:
    """Compile a staging's statements, with a target that is none, for the jobs that this process forks."""
    nobody = TargetRef(new_id(), 0, new_id(), new_id())
    publishing.load([(nobody.id, nobody.fence)])
    _begin(nobody, "scheduled")
    Target.note(nobody, **_kept("", {}, commit_bytes=0, is_slow_commit=False))
    _finish(nobody, handle_expires_at=None, next_at=clock.now())
    db.session.rollback()


def _outcome(item: Loaded) -> Staged | Wait | PlatformAPIError | None:
    """Do the work; return what it came to, None when the lease was lost."""
    try:
        with leases.renewed(Target, item.ref.id, item.ref.fence):
            return _run(item)
    except LeaseLost:
        return None
    except PlatformAPIError as error:
        return error
    except ResourceNotFoundError as error:
        if item.rendition_id is None:
            return _as_trouble(item, error)
        logger.warning("the rendition of target %s is gone: it is made again", item.ref.id)
        ledger.close(item, type(error).__name__, error=error.to_dict())
        renditions.make_again(item.rendition_id)
        return None
    except AppException as error:
        return _as_trouble(item, error)
    except JobTimeout:  # a worker that was too slow is no worker that died
        logger.warning("staging target %s took too long for a job", item.ref.id)
        return PlatformAPIError(TOO_SLOW, platform=item.platform.name)


def _take(target_id: uuid.UUID, fence: int) -> Loaded | None:
    """Load the target, fresh token included, and write the ledger row and the state before the first call."""
    item = _load(target_id, fence)
    if item is not None and not item.token_lasts(clock.now() + TOKEN_MARGIN):
        try:
            credentials.ensure_fresh(item.credential_id, until=clock.now() + TOKEN_MARGIN)
        except PlatformAPIError as error:
            _record_error(item, error)
            return None
        item = _load(target_id, fence)
    if item is None or not _begin(item.ref, item.state):
        db.session.rollback()
        return None
    (item,) = ledger.open_many([item])
    db.session.commit()
    crash_points.hit("stage.before_call", item.platform.name)
    return item


def _load(target_id: uuid.UUID, fence: int) -> Loaded | None:
    found = publishing.load([(target_id, fence)])
    return found[0] if found and found[0].kind == "stage" else None


def _begin(ref: TargetRef, state: State) -> bool:
    before: set[State] = {"scheduled", "staged"}
    moved = state == "staging" or Target.move(ref, before=before, after="staging", preflighted_at=None)
    Target.count_starts([ref])
    return moved


def _run(item: Loaded) -> Staged | Wait:
    stop_at = clock.monotonic() + settings().stage_yield_seconds
    request = replace(
        item.request,
        should_yield=lambda: clock.monotonic() >= stop_at or warm_stop.is_asked(),
        reserve=quotas.reserving(item.platform, item.channel_id),
        reserve_ahead=quotas.reserving(item.platform, item.channel_id, due_at=item.due_at),
    )

    def save(handle: Handle) -> None:
        _save(item, handle)

    result = item.platform.stage(request, item.handle, save)
    crash_points.hit("stage.after_call", item.platform.name)
    return result


def _save(item: Loaded, handle: Handle) -> None:
    """Keep a handle the moment it is known. Raises LeaseLost."""
    sealed, platform = publishing.seal_handle(item.ref.id, handle), item.platform
    size, is_slow = platform.commit_bytes(handle), platform.slow_commit(handle)
    kept = Target.note(item.ref, **_kept(sealed, handle, commit_bytes=size, is_slow_commit=is_slow))
    db.session.commit()
    if not kept:
        raise LeaseLost
    crash_points.hit("stage.after_save", item.platform.name)


def _kept(sealed: str, handle: Handle, **values: Any) -> dict[str, Any]:
    return {"handle_encrypted": sealed, "progress_bytes": int(handle.get("uploaded", 0)), **values}


def _record_result(item: Loaded, result: Staged | Wait) -> None:
    now = clock.now()
    ledger.close(item, type(result).__name__)
    if isinstance(result, Wait):
        Target.note(item.ref, **leases.FREE, next_at=max(result.until, now), retries=0)
    else:
        ahead = item.platform.stage_ahead
        next_at = publishing.when_staged(item.due_at, now, result.expires_at, stage_ahead=ahead)
        _finish(item.ref, handle_expires_at=result.expires_at, next_at=next_at)
    db.session.commit()


def _finish(ref: TargetRef, **values: Any) -> None:
    Target.move(ref, before={"staging"}, after="staged", **leases.FREE, **values, retries=0, error=None)
    Target.reckon_holds(Target.id == ref.id)


def _record_error(item: Loaded, error: PlatformAPIError) -> None:
    db.session.rollback()
    ledger.close(item, type(error).__name__, error=error.to_dict())
    state = refusals.refuse(item, error, before={"scheduled", "staging", "staged"})
    quotas.fill([(item, error)])
    db.session.commit()
    if state == "failed":
        settling.count_ending(item, state)
    if error.kind == "reauth":
        used, channel_id = item.token_refreshed_at, item.channel_id
        credentials.doubt(item.credential_id, error, used=used, channel_id=channel_id)
    blocks.pause([(item.channel_id, error)])


def _as_trouble(item: Loaded, error: AppException) -> PlatformAPIError:
    """Return trouble of our own as what it means for the target. A store that is away comes back: it is tried again
    for as long as the post may go out. Anything else is not tried for ever. A person is told once."""
    lasts = item.retries >= MAX_FAULTS
    kind = "config" if lasts and not isinstance(error, StorageError) else "transient"
    if kind == "config" or item.retries == MAX_FAULTS:
        logger.error("staging target %s failed: %s", item.ref.id, error.message, exc_info=True)
        capture_error(error)
    else:
        logger.warning("staging target %s failed, and is tried again: %s", item.ref.id, error.message)
    return PlatformAPIError(error.message, error.details, platform=item.platform.name, kind=kind)  # type: ignore[arg-type]
