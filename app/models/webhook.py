"""Where a workspace wants to be told what happens, and each telling."""

from __future__ import annotations

import uuid
from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Json, JsonObject, Owned, UtcDateTime, WorkMixin, work_index


class Webhook(WorkMixin, Owned):
    """An endpoint. `status`: active, disabled. `next_at` is when the outbox must be read for it.

    `after_seq` is the last event that was looked at. `old_secret_encrypted` signs along until
    `old_secret_until`. `failures` counts failed tries since the last success;
    after one nothing is sent before `rest_until`.
    """

    __tablename__ = "webhooks"
    __table_args__ = (Index(None, "workspace_id", "id"), work_index("webhooks"))

    workspace_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("workspaces.id", ondelete="CASCADE"))
    created_by: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("users.id"), default=None)
    url: Mapped[str]
    description: Mapped[str] = mapped_column(default="")
    events: Mapped[list[str]] = mapped_column(Json, default=list)
    status: Mapped[str] = mapped_column(default="active")
    secret_encrypted: Mapped[str]
    old_secret_encrypted: Mapped[str | None] = mapped_column(default=None)
    old_secret_until: Mapped[datetime | None] = mapped_column(UtcDateTime, default=None)
    after_seq: Mapped[int] = mapped_column(BigInteger, default=0)
    failures: Mapped[int] = mapped_column(default=0)
    failing_since: Mapped[datetime | None] = mapped_column(UtcDateTime, default=None)
    rest_until: Mapped[datetime | None] = mapped_column(UtcDateTime, default=None)
    disabled_reason: Mapped[str | None] = mapped_column(default=None)


class Delivery(WorkMixin, Owned):
    """One event on its way to one endpoint. `state`: pending, delivered, failed."""

    __tablename__ = "deliveries"
    __table_args__ = (
        UniqueConstraint("webhook_id", "event_seq"),
        Index(None, "webhook_id", "id"),
        Index(None, "webhook_id", "state", "id"),
        work_index("deliveries"),
    )

    workspace_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("workspaces.id", ondelete="CASCADE"))
    webhook_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("webhooks.id", ondelete="CASCADE"))
    event_seq: Mapped[int | None] = mapped_column(BigInteger, default=None)
    type: Mapped[str]
    payload: Mapped[JsonObject] = mapped_column(Json, default=dict)
    state: Mapped[str] = mapped_column(default="pending")
    tries: Mapped[int] = mapped_column(default=0)
    status: Mapped[int | None] = mapped_column(default=None)
    error: Mapped[str | None] = mapped_column(default=None)
    tried_at: Mapped[datetime | None] = mapped_column(UtcDateTime, default=None)
    delivered_at: Mapped[datetime | None] = mapped_column(UtcDateTime, default=None)
