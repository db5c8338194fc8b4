"""Looks up what went, or will go, to a channel with the same content, and refuses what is too near it."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, select, union_all

from app.domain import repost
from app.domain.target_state import IN_FLIGHT, WAITING
from app.extensions import db
from app.models import ChannelContent, Target
from app.models.base import new_id

# What certainly did not go out, and is not about to, stands in nobody's way.
COUNTS = WAITING | IN_FLIGHT | {"published", "awaiting_user", "unknown"}
MARGIN = timedelta(minutes=1)  # a time so near that it has passed when the request is answered helps nobody
Pair = tuple[uuid.UUID, str]


def check(targets: Sequence[Target]) -> None:
    """Raise RepostTooSoonError when one of these would go within 24 hours of the same content elsewhere.

    `due_at` of each is the time wanted; the targets themselves, if they are stored already, do not count.
    One query, whatever their number. The intent checks again, so two requests at once cannot both win.
    """
    due = [target for target in targets if target.due_at is not None]
    if not due:
        return
    others = _others(due)
    for target in due:
        wanted = target.due_at
        assert wanted is not None
        repost.check(wanted, others[target.channel_id, target.content_hash], platform=target.platform)


def next_allowed(went: Sequence[Target], *, wanted: datetime) -> dict[uuid.UUID, datetime]:
    """Return for each target's channel the first time from `wanted` on at which its content may go again."""
    again = [
        Target(id=new_id(), channel_id=t.channel_id, content_hash=t.content_hash, due_at=wanted) for t in went
    ]
    others = _others(again)
    return {t.channel_id: repost.next_allowed(wanted, others[t.channel_id, t.content_hash]) for t in again}


def _others(targets: Sequence[Target]) -> dict[Pair, list[datetime]]:
    earliest = min(target.due_at for target in targets if target.due_at is not None) - repost.GAP
    at = func.coalesce(Target.committed_at, Target.due_at)
    planned = select(Target.channel_id, Target.content_hash, at.label("at")).where(
        *_same(Target, Target.id, targets), Target.state.in_(COUNTS), at > earliest
    )
    went = select(ChannelContent.channel_id, ChannelContent.content_hash, ChannelContent.last_at).where(
        *_same(ChannelContent, ChannelContent.target_id, targets), ChannelContent.last_at > earliest
    )
    found: dict[Pair, list[datetime]] = defaultdict(list)
    for channel_id, content_hash, instant in db.session.execute(union_all(planned, went)):
        found[channel_id, content_hash].append(instant)
    return found


def _same(table: Any, target_id: Any, targets: Sequence[Target]) -> list[Any]:
    return [
        table.channel_id.in_({target.channel_id for target in targets}),
        table.content_hash.in_({target.content_hash for target in targets}),
        target_id.not_in({target.id for target in targets}),
    ]
