"""The intent: written down before the one call that publishes, so that a crash is asked about, never repeated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from app import clock
from app.domain.target_error import target_error
from app.domain.target_state import State
from app.exceptions import PlatformAPIError, RepostTooSoonError
from app.extensions import db, settings
from app.models import ChannelContent, Post, Target
from app.models.limits import REPOST_GAP, ContentUse
from app.monitoring import track_video_post
from app.services import ledger, quotas
from app.services.leases import FREE
from app.services.publishing import Loaded
from app.services.refusals import refuse


def write_intents(items: Sequence[Loaded]) -> list[Loaded]:
    """Write down that these targets are about to be published; return those that really may be. Commits.

    A target that was cancelled, held, or claimed by somebody else since drops out, and so does one whose
    channel had the same content within 24 hours, or for which no quota is left. From here on only an answer,
    or asking, settles them. They count as published at their due time or, once that has passed, now: the repost
    gap and quotas reckon from it, so those not due yet must be due at one instant. Locks posts, targets,
    contents, quotas, in this order (as services/settling does).
    """
    at = max([clock.now(), *(item.due_at for item in items)])
    Post.lock(item.ref.post_id for item in items)
    ours = Target.lock_many([item.ref for item in items], states={"staged"})
    once = {item.ref.id: item for item in items}  # a claim handed in twice is one claim
    held = [item for id_, item in once.items() if id_ in ours]
    fresh = _reserve_contents(held, at)
    over_quota = quotas.reserve_posts(fresh, at=at)
    ready = _write(at, [item for item in fresh if item.ref.id not in over_quota])
    kept = {item.ref.id for item in fresh}
    failed = [item for item in held if item.ref.id not in kept and _fail_repost(item, at)]
    for item in fresh:
        if error := over_quota.get(item.ref.id):
            failed += [item] if _refuse(item, error) == "failed" else []
    db.session.commit()
    for item in failed:
        track_video_post(platform=item.platform.name, status="failed")
    return ready


def _write(at: datetime, items: Sequence[Loaded]) -> list[Loaded]:
    """Move targets that are locked to `publishing`, count the start, open the ledger."""
    if not items:
        return []
    lease_until = at + timedelta(seconds=settings().commit_lease_seconds)
    patience = timedelta(seconds=max(item.commit_deadline for item in items) + settings().settle_seconds)
    moved = Target.move_many(
        [item.ref for item in items],
        before={"staged"},
        after="publishing",
        lease_until=lease_until,
        next_at=lease_until + patience,
        committed_at=at,
        asked=0,
        error=None,
        attempts=Target.attempts + 1,
    )
    return ledger.open_many([_under(item, lease_until, at) for item in items if item.ref.id in moved])


def _under(item: Loaded, lease_until: datetime, at: datetime) -> Loaded:
    ends = clock.monotonic() + (lease_until - clock.now()).total_seconds()
    return replace(item, lease_until=lease_until, lease_monotonic=ends, state="publishing", committed_at=at)


def _reserve_contents(items: Sequence[Loaded], at: datetime) -> list[Loaded]:
    uses = [ContentUse(item.channel_id, item.content_hash, item.ref.id) for item in items]
    taken = ChannelContent.reserve_many(uses, at=at)
    return [item for item in items if item.ref.id in taken]


def _fail_repost(item: Loaded, at: datetime) -> bool:
    last = db.session.get_one(ChannelContent, (item.channel_id, item.content_hash), populate_existing=True)
    allowed_at, name = last.last_at + REPOST_GAP, item.platform.name
    hours = (allowed_at - at).total_seconds() / 3600
    error = RepostTooSoonError(platform=name, hours_remaining=hours, next_allowed_at=allowed_at)
    shown = target_error(error.code, error.message, platform=name, kind="content", details=error.details)
    return Target.move(item.ref, before={"staged"}, after="failed", **FREE, error=shown, next_at=None)


def _refuse(item: Loaded, error: PlatformAPIError) -> State | None:
    """No quota is left: the channel may take the content later; the user chose what becomes of the target."""
    ChannelContent.release(channel_id=item.channel_id, content_hash=item.content_hash, target_id=item.ref.id)
    return refuse(item, error, before={"staged"})
