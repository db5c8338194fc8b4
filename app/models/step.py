"""What follows a published target: first comment, thumbnail, permalink. Its failure never changes the target."""

from __future__ import annotations

import uuid
from datetime import datetime

from sqlalchemy import ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Json, JsonObject, Owned, UtcDateTime, WorkMixin, work_index


class Step(WorkMixin, Owned):
    """`state`: waiting, doing (its intent is written), done, failed, unknown."""

    __tablename__ = "steps"
    __table_args__ = (UniqueConstraint("target_id", "kind"), work_index("steps"))

    workspace_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("workspaces.id", ondelete="CASCADE"))
    target_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("targets.id", ondelete="CASCADE"))
    kind: Mapped[str]
    state: Mapped[str] = mapped_column(default="waiting")
    payload: Mapped[JsonObject] = mapped_column(Json, default=dict)
    retries: Mapped[int] = mapped_column(default=0)
    result: Mapped[JsonObject | None] = mapped_column(Json, default=None)
    error: Mapped[JsonObject | None] = mapped_column(Json, default=None)
    intent_at: Mapped[datetime | None] = mapped_column(UtcDateTime, default=None)
    done_at: Mapped[datetime | None] = mapped_column(UtcDateTime, default=None)
