"""Staging: everything up to the point of no return, resumable, under a lease that is renewed while it runs."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import timedelta

from app import clock, crash_points
from app.exceptions import AppException, PlatformAPIError, ResourceNotFoundError
from app.extensions import db, settings
from app.logging_config import get_logger, log_context
from app.models import Target
from app.monitoring import capture_error
from app.platforms.base import Handle, LeaseLost, Staged, Wait
from app.queue import wake_dispatcher
from app.services import credentials, leases, publishing, quotas, refusals, renditions, settling
from app.services.platforms import noting_calls
from app.services.publishing import Loaded

logger = get_logger(__name__)
MAX_FAULTS = 5  # errors of ours, not the platform's, before a person is told


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
        publishing.close_attempt(item, type(error).__name__, error=error.to_dict())
        renditions.make_again(item.rendition_id)
        return None
    except AppException as error:
        return _as_trouble(item, error)


def _take(target_id: uuid.UUID, fence: int) -> Loaded | None:
    """Load the target, fresh token included, and write the ledger row and the state before the first call."""
    found = publishing.load([(target_id, fence)])
    if not found or found[0].kind != "stage":
        return None
    item = found[0]
    try:
        credentials.ensure_fresh(item.credential_id, until=clock.now() + timedelta(minutes=5))
    except PlatformAPIError as error:
        _record_error(item, error)
        return None
    fresh = publishing.load([(target_id, fence)])
    if not fresh:
        return None
    item = fresh[0]
    if item.state != "staging" and not Target.move(
        item.ref, before={"scheduled", "staged"}, after="staging", preflighted_at=None
    ):
        db.session.rollback()
        return None
    Target.count_starts([item.ref])
    (item,) = publishing.open_attempts([item])
    db.session.commit()
    crash_points.hit("stage.before_call", item.platform.name)
    return item


def _run(item: Loaded) -> Staged | Wait:
    stop_at = clock.monotonic() + settings().stage_yield_seconds
    request = replace(
        item.request,
        should_yield=lambda: clock.monotonic() >= stop_at,
        reserve=quotas.reserving(item.platform, item.channel_id),
    )

    def save(handle: Handle) -> None:
        _save(item, handle)

    result = item.platform.stage(request, item.handle, save)
    crash_points.hit("stage.after_call", item.platform.name)
    return result


def _save(item: Loaded, handle: Handle) -> None:
    """Keep a handle the moment it is known. Raises LeaseLost."""
    columns = {
        "handle_encrypted": publishing.seal_handle(item.ref.id, handle),
        "progress_bytes": int(handle.get("uploaded", 0)),
        "commit_bytes": item.platform.commit_bytes(handle),
        "is_slow_commit": item.platform.slow_commit(handle),
    }
    kept = Target.note(item.ref, **columns)
    db.session.commit()
    if not kept:
        raise LeaseLost
    crash_points.hit("stage.after_save", item.platform.name)


def _record_result(item: Loaded, result: Staged | Wait) -> None:
    now = clock.now()
    publishing.close_attempt(item, type(result).__name__)
    if isinstance(result, Wait):
        Target.note(item.ref, **leases.FREE, next_at=max(result.until, now), retries=0)
    else:
        Target.move(
            item.ref,
            before={"staging"},
            after="staged",
            **leases.FREE,
            handle_expires_at=result.expires_at,
            next_at=publishing.when_staged(item.due_at, now, result.expires_at),
            retries=0,
            error=None,
        )
        Target.reckon_holds(Target.id == item.ref.id)
    db.session.commit()


def _record_error(item: Loaded, error: PlatformAPIError) -> None:
    db.session.rollback()
    publishing.close_attempt(item, type(error).__name__, error=error.to_dict())
    state = refusals.refuse(item, error, before={"scheduled", "staging", "staged"})
    quotas.fill([(item, error)])
    db.session.commit()
    if state == "failed":
        settling.count_ending(item, state)
    if error.kind == "reauth":
        used, channel_id = item.token_refreshed_at, item.channel_id
        credentials.doubt(item.credential_id, error, used=used, channel_id=channel_id)


def _as_trouble(item: Loaded, error: AppException) -> PlatformAPIError:
    """Return trouble of our own (storage, database) as what it means for the target: try again, not for ever."""
    logger.error("staging target %s failed: %s", item.ref.id, error.message, exc_info=True)
    capture_error(error)
    kind = "transient" if item.retries < MAX_FAULTS else "config"
    return PlatformAPIError(error.message, error.details, platform=item.platform.name, kind=kind)  # type: ignore[arg-type]
