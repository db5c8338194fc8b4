"""A workspace owns everything; people belong to it by membership."""

from __future__ import annotations

import uuid
from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Noun, UtcDateTime


class Workspace(Noun):
    __tablename__ = "workspaces"
    __table_args__ = (UniqueConstraint("personal_user_id"),)  # one each; found by it at each request

    name: Mapped[str]
    personal_user_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("users.id"), default=None)
    paused_at: Mapped[datetime | None] = mapped_column(UtcDateTime, default=None)
    late_after_seconds: Mapped[int | None] = mapped_column(default=None)
    # What an operator allows it instead of WORKSPACE_STORAGE_BYTES; 0: as much as it likes.
    storage_limit_bytes: Mapped[int | None] = mapped_column(BigInteger, default=None)


class Membership(Noun):
    __tablename__ = "memberships"
    __table_args__ = (UniqueConstraint("workspace_id", "user_id"), Index(None, "user_id"))

    workspace_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("workspaces.id", ondelete="CASCADE"))
    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    role: Mapped[str]


class Invitation(Noun):
    __tablename__ = "invitations"
    __table_args__ = (UniqueConstraint("token_hash"), Index(None, "workspace_id"))

    workspace_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("workspaces.id", ondelete="CASCADE"))
    email: Mapped[str]
    role: Mapped[str]
    token_hash: Mapped[str]
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)
    accepted_at: Mapped[datetime | None] = mapped_column(UtcDateTime, default=None)
    invited_by: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("users.id"), default=None)
