"""A post's figures as its platform counts them: collected by themselves, often at first, and when asked for.

Each published target of a platform that tells figures has a step of the kind `figures`, which comes due an
hour, six hours and a day after publication, then daily for a month. One call asks for many posts of a channel.
What a platform does not tell is None, never 0.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, select, update

from app import clock
from app.domain.principal import Principal
from app.domain.retry import backoff
from app.exceptions import PlatformAPIError, ResourceNotFoundError
from app.extensions import db
from app.logging_config import get_logger
from app.models import Channel, Credential, Step, Target
from app.models.base import JsonObject
from app.models.step import FIGURES
from app.platforms.base import Stats
from app.services import credentials, leases, publishing
from app.services.platforms import registry

logger = get_logger(__name__)
LOOKS = (timedelta(hours=1), timedelta(hours=6), *(timedelta(days=day) for day in range(1, 31)))
TOGETHER = timedelta(minutes=10)  # posts of a channel that are due this soon are asked about in one call
FRESH = timedelta(minutes=10)  # figures younger than this are not asked for again
TOKEN_MARGIN = timedelta(minutes=5)
FIRST_PAUSE, LONGEST_PAUSE = 60.0, timedelta(hours=6).total_seconds()


@dataclass(frozen=True)
class Figures:
    """A post's last figures; `measured_at` None: there are none. `error`: why there are no newer ones."""

    target_id: uuid.UUID
    measured_at: datetime | None
    stats: Mapping[str, Any]
    error: JsonObject | None = None


def next_look(now: datetime, *, published_at: datetime) -> datetime | None:
    """Return when figures are collected next, None when the post is too old."""
    return next((published_at + look for look in LOOKS if published_at + look > now), None)


# -- asked for


def get(principal: Principal, target_id: uuid.UUID) -> Figures:
    """Return a target's figures, asked from the platform unless they are fresh.

    When the platform does not answer, older figures are returned together with the error; without any, the
    error is raised. Raises ResourceNotFoundError.
    """
    row = _row(Target.id == target_id, Target.workspace_id == principal.workspace_id)
    if row is None:
        raise ResourceNotFoundError(resource_type="Target", resource_id=target_id)
    if not _can_be_asked(row):
        return _stored(row.Target)
    try:
        _collect([row])
    except PlatformAPIError as error:
        if row.Target.stats is None:
            raise
        return _stored(row.Target, error.to_dict())
    fresh = _row(Target.id == target_id)
    return _stored(row.Target if fresh is None else fresh.Target)


def _can_be_asked(row: Row[*tuple[Any, ...]]) -> bool:
    target: Target = row.Target
    known = target.remote_id is not None and target.state == "published"
    told = registry().get(target.platform).max_stats > 0 and row.Channel.status != "disconnected"
    return known and told and (target.stats_at is None or target.stats_at < clock.now() - FRESH)


def _stored(target: Target, error: JsonObject | None = None) -> Figures:
    return Figures(target.id, target.stats_at, {**asdict(Stats()), **(target.stats or {})}, error)


# -- by themselves


def collect(step_id: uuid.UUID, fence: int) -> None:
    """Collect the figures one claimed step is for, and those of the channel's posts that are due soon. Commits."""
    if not leases.begin(Step, step_id, fence):
        return
    row = _row(Step.id == step_id, Step.fence == fence, Step.state == "recurring")
    if row is None:
        return
    if row.Target.state != "published" or not registry().get(row.Target.platform).max_stats:
        _write([row], {"state": "done", "next_at": None})
        return
    rows = _together(row)
    try:
        if row.Channel.status == "active" and row.Channel.paused_at is None:
            _collect(rows)
    except PlatformAPIError as error:
        _try_later(row, error)
        return
    now = clock.now()
    for item in rows:
        look = next_look(now, published_at=item.Target.published_at or now)
        _write([item], {"next_at": look, "retries": 0, "error": None} | ({} if look else {"state": "done"}))


def _together(row: Row[*tuple[Any, ...]]) -> Sequence[Row[*tuple[Any, ...]]]:
    """Return the row and what else of its channel fits into the same call."""
    most = registry().get(row.Target.platform).max_stats - 1
    others = _rows(
        Target.channel_id == row.Channel.id,
        Target.state == "published",
        Target.remote_id.is_not(None),
        Step.state == "recurring",
        Step.next_at <= clock.now() + TOGETHER,
        Step.id != row.Step.id,
        limit=most,
    )
    return [row, *others] if most else [row]


def _try_later(row: Row[*tuple[Any, ...]], error: PlatformAPIError) -> None:
    logger.warning("figures of target %s were not told: %s", row.Target.id, error.message)
    soon = clock.now() + backoff(row.Step.retries + 1, first=FIRST_PAUSE, ceiling=LONGEST_PAUSE)
    next_at = max(soon, error.retry_at) if error.retry_at else soon
    columns = {"next_at": next_at, "retries": row.Step.retries + 1, "error": error.to_dict()}
    _write([row], columns)


def _write(rows: Sequence[Row[*tuple[Any, ...]]], columns: JsonObject) -> None:
    """Write these steps if nobody took them meanwhile, and take them from whoever is about to. Commits."""
    for row in rows:
        db.session.execute(
            update(Step)
            .where(Step.id == row.Step.id, Step.fence == row.Step.fence)
            .values(fence=Step.fence + 1, **leases.FREE, **columns)
            .execution_options(synchronize_session=False)
        )
    db.session.commit()


# -- the call


def _collect(rows: Sequence[Row[*tuple[Any, ...]]]) -> None:
    """Ask one channel's platform for these posts and keep what it says. Commits. Raises PlatformAPIError."""
    first = rows[0]
    credentials.ensure_fresh(first.Credential.id, until=clock.now() + TOKEN_MARGIN)
    fresh = _row(Target.id == first.Target.id)
    ids = {row.Target.remote_id: row.Target.id for row in rows if row.Target.remote_id is not None}
    if fresh is None or not ids:
        return
    account = publishing.account_of(fresh.Channel, fresh.Credential)
    try:
        found = registry().get(first.Target.platform).stats(account, list(ids))
    except PlatformAPIError as error:
        if error.kind == "reauth":
            used, channel_id = fresh.Credential.refreshed_at, fresh.Channel.id
            credentials.doubt(fresh.Credential.id, error, used=used, channel_id=channel_id)
        raise
    now = clock.now()
    told = {ids[remote_id]: stats for remote_id, stats in found.items() if remote_id in ids}
    for target_id in sorted(told):  # who writes to many targets does it in one order
        _keep(target_id, told[target_id], now)
    db.session.commit()


def _keep(target_id: uuid.UUID, stats: Stats, now: datetime) -> None:
    db.session.execute(
        update(Target)
        .where(Target.id == target_id)
        .values(stats=asdict(stats), stats_at=now)
        .execution_options(synchronize_session=False)
    )


def _row(*where: Any) -> Row[*tuple[Any, ...]] | None:
    found = _rows(*where, limit=1)
    return found[0] if found else None


def _rows(*where: Any, limit: int) -> Sequence[Row[*tuple[Any, ...]]]:
    """Return targets with channel, credential and figures' step, detached; no transaction stays open."""
    query = (
        select(Target, Channel, Credential, Step)
        .join(Channel, Channel.id == Target.channel_id)
        .join(Credential, Credential.id == Channel.credential_id)
        .outerjoin(Step, (Step.target_id == Target.id) & (Step.kind == FIGURES))
        .where(*where)
        .order_by(Step.next_at, Target.id)
        .limit(limit)
        .execution_options(populate_existing=True)
    )
    rows = db.session.execute(query).all()
    db.session.expunge_all()
    db.session.rollback()
    return rows
