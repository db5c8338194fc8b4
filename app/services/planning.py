"""Turns what a user asked for into a post and its targets, or into every reason why not. Writes nothing.

The rows a plan is built on are locked against change (not against reading) until the transaction ends: a
video that becomes ready, or a channel that is paused meanwhile, must see the new targets or be seen by them.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, TypedDict, TypeVar

from sqlalchemy import select

from app import clock
from app.domain import schedule
from app.domain.principal import Principal
from app.domain.schedule import Schedule
from app.exceptions import ResourceNotFoundError, ValidationError
from app.extensions import db, settings
from app.models import Channel, Post, Target, Video, Workspace
from app.models.base import Owned, new_id
from app.services.platforms import registry
from app.services.validation import Placed, check

TIMES = ("scheduled_at", "scheduled_local", "publish_now", "draft")
Row = TypeVar("Row", bound=Owned)


class TargetInput(TypedDict, total=False):
    """One target as a user asks for it; what is absent or None falls back to the post."""

    channel_id: uuid.UUID
    video_id: uuid.UUID | None
    title: str | None
    caption: str | None
    scheduled_at: str | None
    options: dict[str, Any]
    fit: dict[str, Any] | None


class PostInput(TypedDict, total=False):
    """A post as a user asks for it. Times are texts, read by domain/schedule."""

    video_id: uuid.UUID | None
    video: dict[str, str] | None  # instead of video_id: url, and texts of the video it will be
    title: str | None
    caption: str | None
    scheduled_at: str | None
    scheduled_local: str | None
    timezone: str | None
    publish_now: bool
    draft: bool
    late_until: str | None
    if_over_quota: str
    options: dict[str, dict[str, Any]]
    fit: dict[str, Any] | None
    labels: list[str]
    metadata: dict[str, Any]
    targets: list[TargetInput]
    add_targets: list[TargetInput]  # of a change
    remove_targets: list[uuid.UUID]  # of a change: ids of targets


@dataclass(frozen=True)
class Plan:
    """A post and its targets as they would be stored."""

    post: Post
    placed: Sequence[Placed]

    @property
    def targets(self) -> list[Target]:
        return [item.target for item in self.placed]


def plan(given: PostInput, principal: Principal) -> Plan:
    """Return the post as it would be stored. Raises the error that says everything that is wrong with it."""
    now = clock.now()
    when = read_time(given, now=now)
    if (
        when is None
        and not given.get("draft")
        and not all(item.get("scheduled_at") for item in given["targets"])
    ):
        raise schedule.contradiction([])
    check_options(given.get("options") or {})
    patience = late_after(principal.workspace_id)
    channels, videos = _rows(given, principal)
    post = _post(given, when, principal, videos)
    found = [
        placed(post, given, index, channels[item["channel_id"]], videos, now=now)
        for index, item in enumerate(given["targets"])
    ]
    set_lateness(post, [item.target for item in found], late_after=patience, text=given.get("late_until"))
    check(post, found)
    return Plan(post, found)


# -- when


def read_time(given: PostInput, *, now: datetime) -> Schedule | None:
    """Return when the post is wanted; None: as a draft, or each target names its own time.

    Raises InvalidScheduleTimeError for more than one answer and for what cannot be meant.
    """
    said = [name for name in TIMES if given.get(name)]
    if len(said) > 1:
        raise schedule.contradiction(said)
    zone = given.get("timezone")
    if given.get("publish_now"):
        return Schedule(now)
    if text := given.get("scheduled_at"):
        return schedule.from_instant(text, timezone=zone, now=now)
    if text := given.get("scheduled_local"):
        return schedule.from_wall_clock(text, timezone=zone, now=now)
    return None


def late_after(workspace_id: uuid.UUID) -> timedelta:
    """Return how long after its time a post of this workspace is still worth publishing."""
    query = select(Workspace.late_after_seconds).where(Workspace.id == workspace_id)
    seconds = db.session.scalar(query.with_for_update(read=True))
    return timedelta(seconds=seconds or settings().late_after_seconds)


def set_lateness(
    post: Post, targets: Iterable[Target], *, late_after: timedelta, text: str | None = None
) -> None:
    """Set until when each target may be late: the post's own limit (`text`, if it is given now) or the usual.

    The usual counts from when a quota that the target waits for is new.
    """
    if text is not None:
        post.late_until = schedule.later_than(text, due_at=post.scheduled_at or clock.now())
    for target in targets:
        if target.due_at is None:
            target.late_until = None
        elif post.late_until is None or _outlives(target, post, text):
            target.late_until = max(target.due_at, target.hold_until or target.due_at) + late_after
        else:
            schedule.check_late_until(post.late_until, due_at=target.due_at)
            target.late_until = post.late_until


def _outlives(target: Target, post: Post, text: str | None) -> bool:
    """Was this target given a time of its own after the post's limit had been set, e.g. for another try?"""
    assert target.due_at is not None and post.late_until is not None
    return text is None and target.own_time and target.due_at >= post.late_until


def first_action(target: Target, *, now: datetime) -> datetime | None:
    """Return when the machine must begin to work on a target: ahead of its time by what its platform needs."""
    if target.due_at is None:
        return None
    return max(now, target.due_at - registry().get(target.platform).stage_ahead)


def check_options(options: Mapping[str, Any]) -> None:
    """Raise ValidationError for options of platforms there are none of: a misspelt name would be lost."""
    known = registry().names()
    problem = f"Not a platform. Known: {', '.join(known)}."
    details = {f"options.{name}": [problem] for name in options if name not in known}
    if details:
        raise ValidationError(details=details)


# -- what it stands on


def _rows(given: PostInput, principal: Principal) -> tuple[dict[uuid.UUID, Channel], dict[uuid.UUID, Video]]:
    wanted = [item["channel_id"] for item in given["targets"]]
    twice = [index for index, id_ in enumerate(wanted) if id_ in wanted[:index]]
    if twice:
        problem = "This channel is named twice. A post goes to each channel once; remove one."
        raise ValidationError(details={f"targets.{index}.channel_id": [problem] for index in twice})
    videos = [given.get("video_id"), *(item.get("video_id") for item in given["targets"])]
    missing = [index for index, id_ in enumerate(videos[1:]) if id_ is None and given.get("video_id") is None]
    if missing:
        problem = "A video is needed. Name one here or for the whole post."
        raise ValidationError(details={f"targets.{index}.video_id": [problem] for index in missing})
    return owned(Channel, wanted, principal), owned(Video, videos, principal)


def owned(model: type[Row], ids: Iterable[uuid.UUID | None], principal: Principal) -> dict[uuid.UUID, Row]:
    """Return the workspace's rows by id, locked against change. Raises ResourceNotFoundError for any other."""
    wanted = {id_ for id_ in ids if id_ is not None}
    query = (
        select(model)
        .where(model.id.in_(wanted), model.workspace_id == principal.workspace_id)
        .order_by(model.id)
        .with_for_update(read=True)
        .execution_options(populate_existing=True)
    )
    found = {row.id: row for row in db.session.scalars(query)} if wanted else {}
    for id_ in sorted(wanted - found.keys()):
        raise ResourceNotFoundError(resource_type=model.__name__, resource_id=id_)
    return found


# -- the rows to be


def _post(
    given: PostInput, when: Schedule | None, principal: Principal, videos: Mapping[uuid.UUID, Video]
) -> Post:
    """Return the post; texts it does not have are its video's."""
    video = videos.get(given["video_id"]) if given.get("video_id") else None  # type: ignore[arg-type]
    return Post(
        id=new_id(),
        workspace_id=principal.workspace_id,
        video_id=video.id if video else None,
        title=_first(given.get("title"), video.title if video else ""),
        caption=_first(given.get("caption"), video.description if video else ""),
        options=given.get("options") or {},
        fit=given.get("fit"),
        labels=list(dict.fromkeys(given.get("labels") or [])),
        details=given.get("metadata") or {},
        scheduled_at=when.at if when else None,
        timezone=when.timezone if when else None,
        scheduled_local=when.local if when else None,
        created_by=principal.user_id,
        created_via="api_key" if principal.via == "api_key" else "api",
        status="draft" if given.get("draft") else "scheduled",
    )


def placed(
    post: Post,
    given: PostInput,
    index: int,
    channel: Channel,
    videos: Mapping[uuid.UUID, Video],
    *,
    now: datetime,
    prefix: str | None = None,
) -> Placed:
    """Return the target `given` asks for at `index`, on rows that are the workspace's."""
    item, prefix = given["targets"][index], prefix or f"targets.{index}."
    video_id = item.get("video_id") or post.video_id
    if video_id is None:
        raise ValidationError(details={f"{prefix}video_id": ["A video is needed. Name one."]})
    video = videos[video_id]
    own = item.get("scheduled_at")
    target = Target(
        id=new_id(),
        workspace_id=post.workspace_id,
        post_id=post.id,
        channel_id=channel.id,
        video_id=video.id,
        platform=channel.platform,
        content_hash=video.content_hash,
        title=_own_text(item, given, "title", video.title if video_id != post.video_id else None),
        caption=_own_text(item, given, "caption", video.description if video_id != post.video_id else None),
        options=item.get("options") or {},
        fit=item.get("fit"),
        state="draft" if given.get("draft") else "scheduled",
        due_at=schedule.from_instant(own, now=now, field=f"{prefix}scheduled_at").at
        if own
        else post.scheduled_at,
        own_time=own is not None,
        if_over_quota=given.get("if_over_quota") or "fail",
    )
    target.next_at = None if target.state == "draft" else first_action(target, now=now)
    return Placed(target, channel, video, prefix)


def _own_text(
    item: TargetInput, given: PostInput, name: Literal["title", "caption"], of_own_video: str | None
) -> str | None:
    """Return what a target says for itself, or None: then the post speaks for it."""
    own = item.get(name)
    return of_own_video if own is None and given.get(name) is None else own


def _first(given: str | None, fallback: str) -> str:
    return fallback if given is None else given
