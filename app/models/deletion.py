"""A person's wish, told by a platform, that everything kept of them is deleted."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Noun, UtcDateTime


class DeletionRequest(Noun):
    """`code` is what the person may ask after it with; whom it is about is kept as a hash only."""

    __tablename__ = "deletion_requests"
    __table_args__ = (UniqueConstraint("code"),)

    platform: Mapped[str]
    code: Mapped[str]
    remote_user_hash: Mapped[str]
    done_at: Mapped[datetime | None] = mapped_column(UtcDateTime, default=None)
