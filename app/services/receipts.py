"""The proof of a post: which file went where, when, by whose wish, in which calls, and what is promised.

As JSON for programs, and as a page behind a signed link that a client may open without an account.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast

from sqlalchemy import select
from sqlalchemy.orm import joinedload

from app import clock
from app.domain.principal import Principal
from app.domain.target_state import STATUS, State
from app.exceptions import ResourceNotFoundError
from app.extensions import db, settings
from app.models import Attempt, Post, Rendition, Target, User, Video, Workspace
from app.platforms.base import GUARANTEES, Staged
from app.security import LinkSigner
from app.services.platforms import registry

PURPOSE = "receipt"
LINK_DAYS = 90  # a link works for, unless less is asked for
MOST_ATTEMPTS = 200  # a target has a dozen


@dataclass(frozen=True)
class ReceiptFile:
    """The bytes that go out; `original_sha256` are those of the upload, which differ when it was converted.

    None: not known any more.
    """

    video_id: uuid.UUID
    filename: str
    sha256: str | None
    size_bytes: int | None
    duration_seconds: float | None
    original_sha256: str


@dataclass(frozen=True)
class Receipt:
    """Everything that is known of one target. `lateness_seconds` is from its time to the call that posted."""

    target_id: uuid.UUID
    post_id: uuid.UUID
    workspace: str
    platform: str
    platform_label: str
    channel: str
    channel_name: str
    status: str
    stage: str
    title: str
    caption: str
    file: ReceiptFile
    ordered_by: str | None
    ordered_via: str
    ordered_at: datetime
    due_at: datetime | None
    committed_at: datetime | None
    lateness_seconds: float | None
    published_at: datetime | None
    remote_id: str | None
    permalink: str | None
    guarantee: str
    guarantee_text: str
    error: dict[str, Any] | None
    attempts: list[Attempt]
    issued_at: datetime
    page_url: str
    page_expires_at: datetime


def of_target(principal: Principal, target_id: uuid.UUID, *, link_days: int = LINK_DAYS) -> Receipt:
    """Return a target's receipt, with a link that opens its page for so many days. Raises ResourceNotFoundError."""
    return _receipt(target_id, Target.workspace_id == principal.workspace_id, link_days=link_days)


def by_link(token: str) -> Receipt:
    """Return the receipt a signed link opens, for anybody: it names people, but says no address of theirs.

    Raises AuthorizationError (forged, expired), ResourceNotFoundError.
    """
    payload = _signer().verify(token, purpose=PURPOSE, at=clock.now())
    return _receipt(uuid.UUID(payload["t"]), says_addresses=False)


def _receipt(
    target_id: uuid.UUID, *where: Any, link_days: int = LINK_DAYS, says_addresses: bool = True
) -> Receipt:
    target, post, video, rendition, workspace, user = _rows(target_id, *where)
    ledger = select(Attempt).where(Attempt.target_id == target_id).order_by(Attempt.id).limit(MOST_ATTEMPTS)
    attempts = list(db.session.scalars(ledger))
    called_at = _called_at(target, attempts)
    platform, now = registry().get(target.platform), clock.now()
    expires_at = now + timedelta(days=link_days)
    as_is = ("due_at", "published_at", "remote_id", "permalink", "error")
    return Receipt(
        target_id=target.id,
        post_id=post.id,
        workspace=workspace.name,
        platform=platform.name,
        platform_label=platform.label,
        channel=target.channel.username,
        channel_name=target.channel.display_name,
        status=STATUS[cast(State, target.state)],
        stage=target.state,
        title=post.title if target.title is None else target.title,
        caption=post.caption if target.caption is None else target.caption,
        file=_file(target, video, rendition, _staged(attempts)),
        ordered_by=_called(user, says_addresses=says_addresses),
        ordered_via=post.created_via,
        ordered_at=post.created_at,
        committed_at=called_at,
        lateness_seconds=_lateness(target, called_at),
        guarantee=platform.guarantee,
        guarantee_text=GUARANTEES[platform.guarantee],
        attempts=attempts,
        issued_at=now,
        page_url=_page_url(target.id, expires_at),
        page_expires_at=expires_at,
        **{name: getattr(target, name) for name in as_is},
    )


def _rows(
    target_id: uuid.UUID, *where: Any
) -> tuple[Target, Post, Video, Rendition | None, Workspace, User | None]:
    row = db.session.execute(
        select(Target, Post, Video, Rendition, Workspace, User)
        .join(Post, Post.id == Target.post_id)
        .join(Video, Video.id == Target.video_id)
        .outerjoin(Rendition, Rendition.id == Target.rendition_id)
        .join(Workspace, Workspace.id == Target.workspace_id)
        .outerjoin(User, User.id == Post.created_by)
        .where(Target.id == target_id, *where)
        .options(joinedload(Target.channel))
    ).first()
    if row is None:
        raise ResourceNotFoundError(resource_type="Target", resource_id=target_id)
    target, post, video, rendition, workspace, user = row
    return target, post, video, rendition, workspace, user


def _file(
    target: Target, video: Video, rendition: Rendition | None, staged: Mapping[str, Any] | None
) -> ReceiptFile:
    """Return what went out by the ledger; before it did, what will, by the rows."""
    now: Video | Rendition | None = rendition if target.rendition_id else video
    sent = staged or {"sha256": now and now.sha256, "size_bytes": now and now.size_bytes}
    return ReceiptFile(
        video_id=video.id,
        filename=video.filename,
        sha256=sent["sha256"],
        size_bytes=sent["size_bytes"],
        duration_seconds=((now.facts if now else None) or {}).get("duration_seconds"),
        original_sha256=target.content_hash,
    )


def _called(user: User | None, *, says_addresses: bool) -> str | None:
    """Return what to call a person; None: there is nothing, or they are not here any more."""
    if user is None or user.deleted_at is not None:
        return None
    return user.name or (user.email if says_addresses else None)


def _staged(attempts: Sequence[Attempt]) -> Mapping[str, Any] | None:
    """Return which bytes were brought to the platform last."""
    files = [attempt.details.get("file") for attempt in attempts if attempt.outcome == Staged.__name__]
    return files[-1] if files else None


def _called_at(target: Target, attempts: Sequence[Attempt]) -> datetime | None:
    """Return when the last call that posts was begun; if its answer never came, when it was written down."""
    if target.committed_at is None:
        return None
    calls = [attempt.called_at for attempt in attempts if attempt.operation == "commit"]
    return (calls[-1] if calls else None) or target.committed_at


def _lateness(target: Target, called_at: datetime | None) -> float | None:
    if called_at is None or target.due_at is None:
        return None
    return round((called_at - target.due_at).total_seconds(), 3)


def _page_url(target_id: uuid.UUID, expires_at: datetime) -> str:
    token = _signer().sign({"t": str(target_id)}, purpose=PURPOSE, expires_at=expires_at)
    return f"{settings().public_url.rstrip('/')}/receipts/{token}"


def _signer() -> LinkSigner:
    return LinkSigner(settings().secret_key)
