"""Files: an upload on its way in, the video it becomes, and the renditions made from it."""

from __future__ import annotations

import uuid
from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, Index, UniqueConstraint, select
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.extensions import db
from app.models.base import Json, JsonObject, Owned, UtcDateTime, WorkMixin, work_index


class Upload(WorkMixin, Owned):
    """Bytes on their way in. `next_at` is when an abandoned one is cleared away, or its work goes on.

    `state`: receiving, importing, finishing, done, failed. `offset_bytes` counts what is kept for good, and `parts`
    is what the store must know to write on from there; `source` says the same of where an import comes from.
    """

    __tablename__ = "uploads"
    __table_args__ = (Index(None, "workspace_id", "id"), work_index("uploads"))

    workspace_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("workspaces.id", ondelete="CASCADE"))
    created_by: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("users.id"), default=None)
    kind: Mapped[str]
    state: Mapped[str] = mapped_column(default="receiving")
    backend: Mapped[str]
    key: Mapped[str]
    filename: Mapped[str] = mapped_column(default="")
    title: Mapped[str] = mapped_column(default="")
    description: Mapped[str] = mapped_column(default="")
    content_type: Mapped[str] = mapped_column(default="")
    total_bytes: Mapped[int | None] = mapped_column(BigInteger, default=None)
    offset_bytes: Mapped[int] = mapped_column(BigInteger, default=0)
    reserved_bytes: Mapped[int] = mapped_column(BigInteger, default=0)  # held of the workspace's quota
    parts: Mapped[JsonObject] = mapped_column(Json, default=dict)
    source: Mapped[JsonObject] = mapped_column(Json, default=dict)
    url_encrypted: Mapped[str | None] = mapped_column(default=None)
    error: Mapped[JsonObject | None] = mapped_column(Json, default=None)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)
    video_id: Mapped[uuid.UUID | None] = mapped_column(
        ForeignKey("videos.id", ondelete="SET NULL"), default=None
    )


class Video(WorkMixin, Owned):
    """The original as it arrived. `state`: processing, ready, rejected, archived (see domain/video_state)."""

    __tablename__ = "videos"
    __table_args__ = (
        Index(None, "workspace_id", "id"),
        Index(None, "workspace_id", "state", "id"),
        Index(None, "workspace_id", "sha256"),
        work_index("videos"),
    )

    workspace_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("workspaces.id", ondelete="CASCADE"))
    created_by: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("users.id"), default=None)
    title: Mapped[str] = mapped_column(default="")
    description: Mapped[str] = mapped_column(default="")
    filename: Mapped[str] = mapped_column(default="")
    content_type: Mapped[str] = mapped_column(default="")
    backend: Mapped[str]
    key: Mapped[str]
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str]
    state: Mapped[str] = mapped_column(default="processing")
    facts: Mapped[JsonObject | None] = mapped_column(Json, default=None)
    error: Mapped[JsonObject | None] = mapped_column(Json, default=None)
    thumbnail_key: Mapped[str | None] = mapped_column(default=None)
    thumbnail_backend: Mapped[str | None] = mapped_column(default=None)
    thumbnail_bytes: Mapped[int | None] = mapped_column(BigInteger, default=None)
    thumbnail_wanted: Mapped[float | None] = mapped_column(default=None)  # seconds; below 0: a good one
    thumbnail_at: Mapped[float | None] = mapped_column(default=None)  # seconds; None: an image that was sent
    archived_at: Mapped[datetime | None] = mapped_column(UtcDateTime, default=None)
    ready_at: Mapped[datetime | None] = mapped_column(UtcDateTime, default=None)
    version: Mapped[int] = mapped_column(default=1)

    @classmethod
    def locked(cls, video_id: uuid.UUID) -> Video | None:
        """Return the row as it is now, held until the transaction ends; None when there is none."""
        query = select(cls).where(cls.id == video_id).with_for_update()
        found: Video | None = db.session.scalar(query.execution_options(populate_existing=True))
        return found

    @property
    def has_bytes(self) -> bool:
        """Is its file there? Not while it is still fetched from an address, and not once it was deleted."""
        return self.size_bytes > 0 and self.state != "archived"

    @property
    def content_hash(self) -> str:
        """What tells its content from any other: its SHA-256, until that is known a name of its own."""
        return self.sha256 or f"unknown-{self.id}"


class Rendition(WorkMixin, Owned):
    """A converted file; found again by what was done to which video.

    `state`: processing, ready, failed, removed (no target needs it; it is made anew when one does). `progress`
    is the share that is done, `remaining_seconds` about what is left; `retries` counts troubles of ours.
    """

    __tablename__ = "renditions"
    __table_args__ = (UniqueConstraint("video_id", "recipe_hash"), work_index("renditions"))

    workspace_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("workspaces.id", ondelete="CASCADE"))
    video_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("videos.id", ondelete="CASCADE"))
    recipe_hash: Mapped[str]
    recipe: Mapped[JsonObject] = mapped_column(Json, default=dict)
    state: Mapped[str] = mapped_column(default="processing")
    backend: Mapped[str] = mapped_column(default="")
    key: Mapped[str | None] = mapped_column(default=None)
    size_bytes: Mapped[int | None] = mapped_column(BigInteger, default=None)
    sha256: Mapped[str | None] = mapped_column(default=None)
    progress: Mapped[float] = mapped_column(default=0.0)
    remaining_seconds: Mapped[float | None] = mapped_column(default=None)
    retries: Mapped[int] = mapped_column(default=0)
    facts: Mapped[JsonObject | None] = mapped_column(Json, default=None)
    error: Mapped[JsonObject | None] = mapped_column(Json, default=None)

    video = relationship("Video", lazy="raise", viewonly=True)
