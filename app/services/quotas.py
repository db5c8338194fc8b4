"""What platforms allow in a time: counted by us before each call, so that nobody runs into a limit we know.

A window is a row (see models/limits); a unit is taken by one conditional statement, so that workers in
parallel never take more than there are. `stage` quotas are taken by the adapter, each right before its call, in
a transaction of their own; `commit` quotas with the intent, in its transaction. What the platform itself reports
as used up fills the window for everybody.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import Select, func, literal, select, union_all

from app import clock
from app.domain.quota_window import Span, window_at
from app.domain.target_state import OPEN, State
from app.exceptions import PlatformAPIError, PlatformRateLimitError
from app.extensions import db
from app.models import QuotaWindow, Target
from app.models.limits import QuotaKey, QuotaUse
from app.platforms.base import UNTOLD, Platform, Quota
from app.services.platforms import registry
from app.services.publishing import Loaded

OWN = "own_quota"  # platform_code of a refusal that is ours: the platform was not even asked
RATE = timedelta(hours=1)  # a window up to this long is a rate: it is waited for; a longer one is a quota
USES_A_POST: frozenset[State] = OPEN - {"draft"} | {"published", "awaiting_user", "removed", "unknown"}
MAX_COUNTS = 300  # SQLite takes 500 parts in one compound query


# -- staging: each call by itself


def reserving(
    platform: Platform, channel_id: uuid.UUID, *, due_at: datetime | None = None
) -> Callable[[str, int], None]:
    """Return what adapters get as `PublishRequest.reserve`, or with `due_at` as `reserve_ahead`.

    It needs an application context when called.
    """
    return partial(_reserve, platform, channel_id, due_at)


def _reserve(
    platform: Platform, channel_id: uuid.UUID, due_at: datetime | None, bucket: str, cost: int
) -> None:
    """Take `cost` units, in a transaction of its own. Raises PlatformRateLimitError when they are not left.

    A day of the calendar is known ahead; a window that begins with its first use is not.
    """
    now = clock.now()
    (quota,) = (quota for quota in platform.quotas if quota.bucket == bucket)
    at = max(now, due_at) if due_at and quota.timezone else now
    use = _use(platform, quota, channel_id, at=at, units=cost)
    if QuotaWindow.reserve_many([use], at=now):
        db.session.commit()
        return
    ends_at = _ends_at(use, QuotaWindow.look([use], at=now))
    db.session.rollback()
    raise _used_up(platform, quota, ends_at)


# -- commits: together with their intents


def reserve_posts(items: Sequence[Loaded], *, at: datetime) -> dict[uuid.UUID, PlatformRateLimitError]:
    """Take a unit of each commit quota for each target, oldest first; return why the others may not go.

    In the caller's transaction. A target gets all of its units or none.
    """
    needs = {item.ref.id: _needs(item.platform, item.channel_id, at) for item in items}
    wanted = Counter(use for uses in needs.values() for _, use in uses)
    if not wanted:
        return {}
    granted, ends = _reserve_up_to(wanted, at)
    refused: dict[uuid.UUID, PlatformRateLimitError] = {}
    for item in sorted(items, key=lambda item: item.due_at):
        short = [(quota, use) for quota, use in needs[item.ref.id] if not granted[use.key]]
        if short:
            quota, use = max(short, key=lambda pair: ends[pair[1].key])
            refused[item.ref.id] = _used_up(item.platform, quota, ends[use.key])
        else:
            granted.subtract(use.key for _, use in needs[item.ref.id])
    _return_unneeded(wanted, granted, at)
    return refused


def _needs(platform: Platform, channel_id: uuid.UUID, at: datetime) -> list[tuple[Quota, QuotaUse]]:
    quotas = (quota for quota in platform.quotas if quota.phase == "commit")
    return [(quota, _use(platform, quota, channel_id, at=at)) for quota in quotas]


def _reserve_up_to(
    wanted: Counter[QuotaUse], at: datetime
) -> tuple[Counter[QuotaKey], dict[QuotaKey, datetime]]:
    """Take as much of each window as is wanted and there; return how much, and when each window ends."""
    uses = [use._replace(used=count) for use, count in wanted.items()]
    done = QuotaWindow.reserve_many(uses, at=at)
    granted = Counter({use.key: use.used for use in uses if use.key in done})
    ends = {use.key: use.ends_at for use in uses}
    if scarce := [use for use in uses if use.key not in done]:
        open_now = QuotaWindow.look(scarce, at=at)
        ends |= {use.key: _ends_at(use, open_now) for use in scarce}
        left = {use: _left(use, open_now) for use in scarce}
        rest = [use._replace(used=units) for use, units in left.items() if units > 0]
        done = QuotaWindow.reserve_many(rest, at=at)
        granted.update({use.key: use.used for use in rest if use.key in done})
    return granted, ends


def _left(use: QuotaUse, windows: Mapping[QuotaKey, QuotaWindow]) -> int:
    window = windows.get(use.key)
    return use.maximum - (window.used if window else 0)


def _ends_at(use: QuotaUse, windows: Mapping[QuotaKey, QuotaWindow]) -> datetime:
    window = windows.get(use.key)
    return window.ends_at if window else use.ends_at


def _return_unneeded(wanted: Iterable[QuotaUse], left_over: Counter[QuotaKey], at: datetime) -> None:
    """Give back units whose targets did not get a unit of another quota they need as well."""
    for use in sorted(wanted):
        if left_over[use.key]:
            unneeded = use._replace(used=left_over[use.key])
            QuotaWindow.give_back(unneeded, used_at=at, length=use.ends_at - at)


def give_back(items: Iterable[Loaded]) -> None:
    """These targets' posts certainly do not exist: their units are free again. In the caller's transaction.

    Call it once for each intent: with the move that ends it.
    """
    _give_back((item.platform, item.channel_id, item.committed_at) for item in items)


def give_back_resolved(target: Target) -> None:
    """As `give_back`, for one of which a person says so; `committed_at` is still that of its intent."""
    _give_back([(registry().get(target.platform), target.channel_id, target.committed_at)])


def _give_back(intents: Iterable[tuple[Platform, uuid.UUID, datetime | None]]) -> None:
    uses = [
        (use, quota.window, at)
        for platform, channel_id, at in intents
        if at is not None
        for quota, use in _needs(platform, channel_id, at)
    ]
    for use, length, used_at in sorted(uses):  # two workers never wait for each other
        QuotaWindow.give_back(use, used_at=used_at, length=length)


def fill(refusals: Iterable[tuple[Loaded, PlatformAPIError]]) -> None:
    """The platform says that a quota is used up: nobody else runs into it. In the caller's transaction.

    Which quota an error means is said by its details' `bucket`. Without one, a channel's own daily posts are
    meant; a limit of the whole app is never closed on a guess.
    """
    now = clock.now()
    full = {
        _use(item.platform, quota, item.channel_id, at=now): error.retry_at
        for item, error in refusals
        if error.platform_code != OWN
        for quota in item.platform.quotas
        if _is_meant(quota, error)
    }
    for use in sorted(full):
        until = full[use]
        QuotaWindow.fill(use if until is None or until <= now else use._replace(ends_at=until))


def _is_meant(quota: Quota, error: PlatformAPIError) -> bool:
    if bucket := error.details.get("bucket"):
        return bool(quota.bucket == bucket and error.kind in ("quota", "rate"))
    return error.kind == "quota" and quota.scope == "channel" and quota.posts and quota.window > RATE


# -- shapes


def _use(
    platform: Platform, quota: Quota, channel_id: uuid.UUID, *, at: datetime, units: int = 1
) -> QuotaUse:
    span = window_at(at, length=quota.window, timezone=quota.timezone)
    return QuotaUse(platform.name, quota.bucket, _scope(quota, channel_id), *span, quota.limit, units)


def _scope(quota: Quota, channel_id: uuid.UUID) -> str:
    return "app" if quota.scope == "app" else str(channel_id)


def _used_up(platform: Platform, quota: Quota, ends_at: datetime) -> PlatformRateLimitError:
    whose = "this channel" if quota.scope == "channel" else "the whole installation"
    limit = None if quota.limit == UNTOLD else quota.limit
    shown = quota.bucket if limit is None else f"{quota.bucket}: {limit}"
    return PlatformRateLimitError(
        f"What {platform.label} allows {whose} for now is used up ({shown}).",
        {"bucket": quota.bucket, "limit": limit, "scope": quota.scope},
        platform=platform.name,
        kind="rate" if quota.window <= RATE else "quota",
        platform_code=OWN,
        retry_at=ends_at,
    )


# -- looking ahead


def promised_away(targets: Sequence[Target]) -> dict[uuid.UUID, dict[str, Any]]:
    """Return which of these targets fall into a window whose posts are all promised to others already.

    The targets may be stored or not; values are {bucket, limit, promised, window: {starts_at, ends_at}}. Of a
    window that begins with its first use, the posts due in that time before the target count, as on the
    platform. One query for 300 targets.
    """
    asked = [
        (target, quota, QuotaUse(*_window(target, quota), quota.limit))
        for target in targets
        if target.due_at is not None
        for quota in registry().get(target.platform).quotas
        if quota.posts and quota.window > RATE
    ]
    promised = _count({use: target for target, _, use in asked}, [target.id for target in targets])
    found: dict[uuid.UUID, dict[str, Any]] = {}
    for target, quota, use in sorted(asked, key=lambda one: (one[0].due_at, one[0].id)):
        if promised[use] >= quota.limit:
            window = {"starts_at": clock.isoformat(use.starts_at), "ends_at": clock.isoformat(use.ends_at)}
            facts = {"bucket": quota.bucket, "limit": quota.limit, "promised": promised[use]}
            found.setdefault(target.id, facts | {"window": window})
        promised[use] += 1
    return found


def _window(target: Target, quota: Quota) -> tuple[str, str, str, datetime, datetime]:
    assert target.due_at is not None
    span = window_at(target.due_at, length=quota.window, timezone=quota.timezone)
    if quota.timezone is None:
        until = target.due_at + timedelta(microseconds=1)
        span = Span(until - quota.window, until)
    return target.platform, quota.bucket, _scope(quota, target.channel_id), *span


def _count(uses: Mapping[QuotaUse, Target], leave_out: Sequence[uuid.UUID]) -> Counter[QuotaUse]:
    """Count the other targets that are to use each window, or have used it."""
    keys = list(uses)
    found: Counter[QuotaUse] = Counter()
    for start in range(0, len(keys), MAX_COUNTS):
        part = keys[start : start + MAX_COUNTS]
        counts = [_counted(number, use, uses[use], leave_out) for number, use in enumerate(part)]
        for row in db.session.execute(union_all(*counts)):
            found[part[row[0]]] = row[1]
    return found


def _counted(number: int, use: QuotaUse, target: Target, leave_out: Sequence[uuid.UUID]) -> Select[int, int]:
    """Count by an index: a channel's targets by its workspace and time, an app's by platform and time."""
    whose = (
        (Target.platform == use.platform,)
        if use.scope == "app"
        else (Target.workspace_id == target.workspace_id, Target.channel_id == target.channel_id)
    )
    return select(literal(number), func.count()).where(
        *whose,
        Target.due_at >= use.starts_at,
        Target.due_at < use.ends_at,
        Target.state.in_(sorted(USES_A_POST)),
        Target.id.not_in(leave_out),
    )


# -- for the metrics


def left() -> dict[tuple[str, str], int]:
    """Return what is left of the tightest window of each (platform, bucket) now."""
    now = clock.now()
    adapters = [registry().get(name) for name in registry().names()]
    unused = {
        (adapter.name, quota.bucket): quota.limit
        for adapter in adapters
        if adapter.configured(adapter.config.settings)
        for quota in adapter.quotas
        if quota.scope == "app" and quota.limit != UNTOLD
    }
    is_told = (QuotaWindow.maximum != UNTOLD) | (QuotaWindow.used >= QuotaWindow.maximum)
    rows = db.session.execute(
        select(QuotaWindow.platform, QuotaWindow.bucket, func.min(QuotaWindow.maximum - QuotaWindow.used))
        .where(QuotaWindow.starts_at <= now, QuotaWindow.ends_at > now, is_told)
        .group_by(QuotaWindow.platform, QuotaWindow.bucket)
    )
    return unused | {(platform, bucket): units for platform, bucket, units in rows}
