"""Limits kept as conditionally updated rows: the 24-hour repost gap, the platforms' quotas, repeated requests."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta

from sqlalchemy import ForeignKey, Index, UniqueConstraint, delete, or_
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Mapped, mapped_column

from app.extensions import Model, db
from app.models.base import Json, JsonObject, Noun, UtcDateTime

REPOST_GAP = timedelta(hours=24)  # the guide: too soon within 24 hours


class ChannelContent(Model):
    """When a content last went to a channel, and for which target."""

    __tablename__ = "channel_contents"

    channel_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("channels.id", ondelete="CASCADE"), primary_key=True
    )
    content_hash: Mapped[str] = mapped_column(primary_key=True)
    target_id: Mapped[uuid.UUID]
    last_at: Mapped[datetime] = mapped_column(UtcDateTime)

    @classmethod
    def reserve(cls, *, channel_id: uuid.UUID, content_hash: str, target_id: uuid.UUID, at: datetime) -> bool:
        """Take the channel for this content at `at`; False when another target took it less than 24 h before."""
        dialect = postgresql if db.engine.dialect.name == "postgresql" else sqlite
        statement = dialect.insert(cls).values(
            channel_id=channel_id, content_hash=content_hash, target_id=target_id, last_at=at
        )
        statement = statement.on_conflict_do_update(
            index_elements=[cls.channel_id, cls.content_hash],
            set_={"target_id": target_id, "last_at": at},
            where=or_(cls.last_at <= at - REPOST_GAP, cls.target_id == target_id),
        )
        return db.session.execute(statement.returning(cls.target_id)).first() is not None

    @classmethod
    def release(cls, *, channel_id: uuid.UUID, content_hash: str, target_id: uuid.UUID) -> None:
        """This target's post certainly does not exist: the channel may take the content again at once."""
        db.session.execute(
            delete(cls).where(
                cls.channel_id == channel_id, cls.content_hash == content_hash, cls.target_id == target_id
            )
        )


class QuotaWindow(Noun):
    """How much of a platform's quota is used in one window; reserved by conditional update before the call."""

    __tablename__ = "quota_windows"
    __table_args__ = (UniqueConstraint("platform", "bucket", "scope", "starts_at"),)

    platform: Mapped[str]
    bucket: Mapped[str]
    scope: Mapped[str]
    starts_at: Mapped[datetime] = mapped_column(UtcDateTime)
    ends_at: Mapped[datetime] = mapped_column(UtcDateTime)
    used: Mapped[int] = mapped_column(default=0)
    maximum: Mapped[int]


class IdempotencyKey(Noun):
    """The stored answer of a request that must not take effect twice; kept 24 hours."""

    __tablename__ = "idempotency_keys"
    __table_args__ = (UniqueConstraint("workspace_id", "principal", "key"), Index(None, "expires_at"))

    workspace_id: Mapped[uuid.UUID]
    principal: Mapped[str]
    key: Mapped[str]
    request_hash: Mapped[str]
    status: Mapped[int | None] = mapped_column(default=None)
    body: Mapped[JsonObject | None] = mapped_column(Json, default=None)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)
