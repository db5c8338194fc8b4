"""A post: one video and its words, for one or more targets."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import ForeignKey, Index, select, update
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.domain.target_state import post_status
from app.extensions import db
from app.logging_config import current_context
from app.models.base import Json, JsonObject, Owned, UtcDateTime


class Post(Owned):
    """`status` is stored, and written only together with a target's change (see Target.move)."""

    __tablename__ = "posts"
    __table_args__ = (Index(None, "workspace_id", "id"), Index(None, "workspace_id", "status", "id"))

    workspace_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("workspaces.id", ondelete="CASCADE"))
    video_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("videos.id"), default=None)
    title: Mapped[str] = mapped_column(default="")
    caption: Mapped[str] = mapped_column(default="")
    options: Mapped[JsonObject] = mapped_column(Json, default=dict)
    labels: Mapped[list[str]] = mapped_column(Json, default=list)
    details: Mapped[JsonObject] = mapped_column("metadata", Json, default=dict)
    fit: Mapped[JsonObject | None] = mapped_column(Json, default=None)  # see domain/wish
    status: Mapped[str] = mapped_column(default="draft")
    scheduled_at: Mapped[datetime | None] = mapped_column(UtcDateTime, default=None)
    timezone: Mapped[str | None] = mapped_column(default=None)
    scheduled_local: Mapped[str | None] = mapped_column(default=None)
    late_until: Mapped[datetime | None] = mapped_column(UtcDateTime, default=None)
    created_by: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("users.id"), default=None)
    created_via: Mapped[str] = mapped_column(default="api")
    request_id: Mapped[str | None] = mapped_column(default=lambda: current_context().get("request_id"))
    version: Mapped[int] = mapped_column(default=1)

    targets = relationship("Target", back_populates="post", order_by="Target.id", lazy="raise")
    video = relationship("Video", lazy="raise")

    @classmethod
    def lock(cls, post_ids: Iterable[uuid.UUID]) -> None:
        """Hold the posts' rows, in id order, until the transaction ends."""
        db.session.execute(
            select(cls.id).where(cls.id.in_(sorted(set(post_ids)))).order_by(cls.id).with_for_update()
        )

    @classmethod
    def refresh_status(cls, post_ids: Iterable[uuid.UUID]) -> None:
        """Store what the targets' states add up to. The rows must be locked by `lock`."""
        from app.models.target import Target

        states: dict[uuid.UUID, set[str]] = {}
        rows = db.session.execute(
            select(Target.post_id, Target.state).where(Target.post_id.in_(set(post_ids))).distinct()
        )
        for post_id, state in rows:
            states.setdefault(post_id, set()).add(state)
        by_status: dict[str, list[uuid.UUID]] = {}
        for post_id, found in states.items():
            by_status.setdefault(post_status(found), []).append(post_id)  # type: ignore[arg-type]
        for status, ids in by_status.items():
            db.session.execute(
                update(cls)
                .where(cls.id.in_(ids), cls.status != status)
                .values(status=status)
                .execution_options(synchronize_session=False)
            )
