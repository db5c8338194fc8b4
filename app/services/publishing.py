"""What happens to claimed targets in the database: load them, write the intent, write what came of a call.

No function here talks to a platform, and none leaves a transaction open. Every write carries the fence of the
claim; a write that finds another fence does nothing, because somebody else owns the row by now.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Literal

from sqlalchemy import Row, Select, select

from app import clock
from app.domain.target_state import IN_FLIGHT, WAITING, State
from app.extensions import db, key_ring, settings
from app.logging_config import get_logger
from app.models import Channel, Credential, Post, Rendition, Target, TargetRef, Video
from app.platforms.base import HANDLE_MARGIN, Account, Handle, Platform, PublishRequest, with_defaults
from app.services import originals
from app.services.credentials import reveal, reveal_own
from app.services.platforms import registry

logger = get_logger(__name__)
CallKind = Literal["stage", "preflight", "commit", "locate", "watch"]
PREFLIGHT_AHEAD = timedelta(seconds=60)
PREFLIGHT_GOOD_FOR = timedelta(minutes=3)
UPLINK_BYTES_PER_SECOND = 1_000_000  # the slowest uplink a commit's deadline allows for


@dataclass(frozen=True)
class Loaded:
    """A claimed target as the machinery needs it: detached, decrypted, frozen.

    `lease_monotonic` is when the lease ends on the clock that never steps; `attempt_id` is the ledger row of
    the call about to be made.
    """

    ref: TargetRef
    kind: CallKind
    state: State
    platform: Platform
    request: PublishRequest
    handle: Handle | None = field(repr=False)
    request_id: str | None
    credential_id: uuid.UUID
    token_expires_at: datetime | None
    token_refreshed_at: datetime | None
    channel_id: uuid.UUID
    content_hash: str
    due_at: datetime
    late_until: datetime | None
    lease_until: datetime
    lease_monotonic: float
    retries: int
    asked: int
    committed_at: datetime | None
    published_at: datetime | None
    if_over_quota: str
    commit_deadline: float  # seconds the commit call may take in all
    is_slow_commit: bool
    commit_bytes: int
    rendition_id: uuid.UUID | None = None  # what goes out instead of the original
    sent: Mapping[str, Any] | None = field(default=None, repr=False)  # sha256 and size_bytes of what goes out
    attempt_id: uuid.UUID | None = None
    called_at: datetime | None = None
    calls: tuple[Mapping[str, Any], ...] = ()

    def log_ids(self) -> dict[str, Any]:
        """Return what log lines about this target carry; the request id is that of whoever made the post."""
        ids = {"target_id": self.ref.id, "workspace_id": self.ref.workspace_id}
        return ids | ({"request_id": self.request_id} if self.request_id else {})

    def token_lasts(self, until: datetime) -> bool:
        """Does the access token outlive `until`? One that no longer serves does not."""
        return self.token_expires_at is None or self.token_expires_at > until

    def holds_lease(self) -> bool:
        """Is the lease still ours, on the wall clock and on the clock that never steps?"""
        return clock.monotonic() < self.lease_monotonic and clock.now() < self.lease_until


def next_call(target: Target, now: datetime) -> CallKind:
    """Return what a claimed target needs next; what is due follows from the row alone."""
    if target.state in ("scheduled", "staging"):
        return "stage"
    if target.state in ("publishing", "confirming"):
        return "locate"
    if target.state in ("published", "awaiting_user"):
        return "watch"
    if target.handle_encrypted is None or _handle_ends_too_soon(target, now):
        return "stage"
    if target.preflighted_at is None or target.preflighted_at < now - PREFLIGHT_GOOD_FOR:
        return "preflight"
    return "commit"


def _handle_ends_too_soon(target: Target, now: datetime) -> bool:
    return not handle_lasts(target.handle_expires_at, max(target.due_at or now, now))


def handle_lasts(handle_expires_at: datetime | None, commit_at: datetime) -> bool:
    """Does a handle outlive a commit at that time?"""
    return handle_expires_at is None or handle_expires_at >= commit_at + HANDLE_MARGIN


def when_staged(
    due_at: datetime, now: datetime, handle_expires_at: datetime | None, *, stage_ahead: timedelta
) -> datetime:
    """Return when a target just staged must be looked at: for its preflight, or earlier for a handle about to die.

    But not before staging for its due time would begin: a handle made sooner would die as well.
    """
    preflight_at = max(now, due_at - PREFLIGHT_AHEAD)
    if handle_expires_at is None or handle_lasts(handle_expires_at, due_at):
        return preflight_at
    return min(preflight_at, max(now, handle_expires_at - HANDLE_MARGIN, due_at - stage_ahead))


def load(claims: Sequence[tuple[uuid.UUID, int]]) -> list[Loaded]:
    """Return the claimed targets that still carry their fence; one query, then no transaction.

    One that cannot be read (its key is gone, its platform is switched off) is left out and counted as a start
    that failed, so that it neither stops the others nor comes back for ever.
    """
    fences = dict(claims)
    rows = db.session.execute(whole().where(Target.id.in_(fences))).all()
    claimed = [row for row in rows if row.Target.fence == fences[row.Target.id]]
    ours = {row.Target.ref: _try_to_load(row) for row in claimed if _has_its_video(row)}
    early = [row.Target.id for row in claimed if row.Target.ref not in ours]
    db.session.rollback()
    Target.count_starts([ref for ref, item in ours.items() if item is None])
    if early:
        Target.reckon_holds(Target.id.in_(early))
    db.session.commit()
    return [item for item in ours.values() if item is not None]


def whole() -> Select[*tuple[Any, ...]]:
    """Return the query of targets with all that is needed to deal with their platforms; see `request_of`."""
    return (
        select(Target, Post, Channel, Credential, Video, Rendition)
        .join(Post, Post.id == Target.post_id)
        .join(Channel, Channel.id == Target.channel_id)
        .join(Credential, Credential.id == Channel.credential_id)
        .join(Video, Video.id == Target.video_id)
        .outerjoin(Rendition, (Rendition.id == Target.rendition_id) & (Rendition.video_id == Target.video_id))
        .execution_options(populate_existing=True)
    )


def _has_its_video(row: Row[*tuple[Any, ...]]) -> bool:
    """Is what goes out there? A target that waits for its rendition is not worked on with the original."""
    needs_one = row.Target.rendition_id is not None and row.Target.state in WAITING
    return not needs_one or (row.Rendition is not None and row.Rendition.state == "ready")


def _try_to_load(row: Row[*tuple[Any, ...]]) -> Loaded | None:
    try:
        return _loaded(row)
    except Exception:  # whatever is wrong with one row is not the others' trouble
        logger.error("target %s cannot be loaded", row.Target.id, exc_info=True)
        return None


def _loaded(row: Row[*tuple[Any, ...]]) -> Loaded:
    target: Target = row.Target
    now, ticks = clock.now(), clock.monotonic()
    platform = registry().get(target.platform)
    lease_until = target.lease_until or now
    assert target.due_at is not None
    return Loaded(
        ref=target.ref,
        kind=next_call(target, now),
        state=target.state,  # type: ignore[arg-type]  # a plain string column
        platform=platform,
        request=request_of(row, platform),
        handle=open_handle(target),
        request_id=row.Post.request_id,
        credential_id=row.Credential.id,
        token_expires_at=row.Credential.expires_at if row.Credential.status == "active" else now,
        token_refreshed_at=row.Credential.refreshed_at,
        channel_id=target.channel_id,
        content_hash=target.content_hash,
        due_at=target.due_at,
        late_until=target.late_until,
        lease_until=lease_until,
        lease_monotonic=ticks + (lease_until - now).total_seconds(),
        retries=target.retries,
        asked=target.asked,
        committed_at=target.committed_at,
        published_at=target.published_at,
        if_over_quota=target.if_over_quota,
        commit_deadline=settings().commit_deadline_seconds + target.commit_bytes / UPLINK_BYTES_PER_SECOND,
        is_slow_commit=target.is_slow_commit,
        commit_bytes=target.commit_bytes,
        rendition_id=target.rendition_id,
        sent=_sent(row.Rendition or row.Video),
    )


def _sent(file: Video | Rendition) -> dict[str, Any]:
    return {"sha256": file.sha256, "size_bytes": file.size_bytes}


def request_of(row: Row[*tuple[Any, ...]], platform: Platform) -> PublishRequest:
    """Return what an adapter may know of one target; `row` comes from `whole`."""
    target, post, video, rendition = row.Target, row.Post, row.Video, row.Rendition
    facts = (rendition.facts if rendition else video.facts) or video.facts or {}
    return PublishRequest(
        target_id=str(target.id),
        account=account_of(row.Channel, row.Credential),
        source=originals.source(video, rendition),
        title=post.title if target.title is None else target.title,
        caption=post.caption if target.caption is None else target.caption,
        options=with_defaults(platform.options, effective_options(post, target)),
        duration_seconds=facts.get("duration_seconds"),
        width=facts.get("width"),
        height=facts.get("height"),
        due_at=target.due_at,
        attempt_key=f"{target.id}:{target.fence}",
        remote_id=target.remote_id,
        committed_at=target.committed_at,
        doubt=_doubt(target),
        thumbnail_at=originals.thumbnail_at(video, rendition),
        thumbnail=partial(originals.thumbnail_source, video),
        public_link=partial(originals.public_link, video, rendition=rendition),
    )


def _doubt(target: Target) -> str | None:
    """Return the platform's code of the answer that left a commit in doubt."""
    return (target.error or {}).get("platform_code") if target.state in IN_FLIGHT else None


def effective_options(post: Post, target: Target) -> dict[str, Any]:
    """Return a target's options for its platform: its own over the post's."""
    shared = post.options.get(target.platform)
    return {**(shared if isinstance(shared, dict) else {}), **target.options}


def account_of(channel: Channel, credential: Credential) -> Account:
    """Return the channel as adapters see it, its token in clear."""
    return Account(
        remote_id=channel.remote_id,
        username=channel.username,
        access_token=_access_token(channel, credential),
        scopes=frozenset(credential.scopes),
        details=channel.details,
    )


def _access_token(channel: Channel, credential: Credential) -> str:
    """Return the token to post with: the channel's own where it has one."""
    if channel.access_token_encrypted is not None:
        return reveal_own(channel.id, channel.access_token_encrypted)
    return reveal(credential.id, "access_token", credential.access_token_encrypted)


def seal_handle(target_id: uuid.UUID, handle: Handle) -> str:
    """Return a handle as it is stored: it carries the platform's upload credentials."""
    return key_ring().encrypt(json.dumps(dict(handle)), context=f"targets:handle:{target_id}")


def open_handle(target: Target) -> Handle | None:
    if target.handle_encrypted is None:
        return None
    text = key_ring().decrypt(target.handle_encrypted, context=f"targets:handle:{target.id}")
    handle: Handle = json.loads(text)
    return handle
