"""The intent: written down before the one call that publishes, so that a crash is asked about, never repeated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from app import clock
from app.domain.target_error import target_error
from app.exceptions import RepostTooSoonError
from app.extensions import db, settings
from app.models import ChannelContent, Target
from app.models.limits import REPOST_GAP
from app.monitoring import track_video_post
from app.services.publishing import Loaded, open_attempts


def write_intents(items: Sequence[Loaded]) -> list[Loaded]:
    """Write down that these targets are about to be published; return those that really may be. Commits.

    A target that was cancelled, held, or claimed by somebody else since drops out, and so does one whose
    channel had the same content within 24 hours. From here on only an answer, or asking, settles them.
    """
    now = clock.now()
    lease_until = now + timedelta(seconds=settings().commit_lease_seconds)
    patience = timedelta(seconds=max(item.commit_deadline for item in items) + settings().settle_seconds)
    moved = Target.move_many(
        [item.ref for item in items],
        before={"staged"},
        after="publishing",
        unheld=True,
        lease_until=lease_until,
        next_at=lease_until + patience,
        committed_at=now,
        asked=0,
        error=None,
    )
    held = [_under(item, lease_until, now) for item in items if item.ref.id in moved]
    clear = [item for item in held if _reserve_content(item, now)]
    Target.count_starts([item.ref for item in clear])
    ready = open_attempts(clear)
    db.session.commit()
    may_go = {item.ref.id for item in clear}
    for item in held:
        if item.ref.id not in may_go:
            track_video_post(platform=item.platform.name, status="failed")
    return ready


def _under(item: Loaded, lease_until: datetime, now: datetime) -> Loaded:
    ends = clock.monotonic() + (lease_until - now).total_seconds()
    return replace(item, lease_until=lease_until, lease_monotonic=ends, state="publishing", committed_at=now)


def _reserve_content(item: Loaded, now: datetime) -> bool:
    if ChannelContent.reserve(
        channel_id=item.channel_id, content_hash=item.content_hash, target_id=item.ref.id, at=now
    ):
        return True
    last = db.session.get_one(ChannelContent, (item.channel_id, item.content_hash))
    allowed_at, name = last.last_at + REPOST_GAP, item.platform.name
    hours = (allowed_at - now).total_seconds() / 3600
    error = RepostTooSoonError(platform=name, hours_remaining=hours, next_allowed_at=allowed_at)
    shown = target_error(error.code, error.message, platform=name, kind="content", details=error.details)
    Target.move(item.ref, before={"publishing"}, after="failed", error=shown, next_at=None, lease_until=None)
    return False
