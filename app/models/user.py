"""People, their logins and the keys of their programs."""

from __future__ import annotations

import uuid
from datetime import datetime

from sqlalchemy import ForeignKey, Index, UniqueConstraint, select
from sqlalchemy.orm import Mapped, mapped_column

from app.extensions import db
from app.models.base import Json, Noun, UtcDateTime
from app.security import API_KEY_PREFIX


class User(Noun):
    """`email` is stored lower-case and is unique. A deleted user keeps the row, not the login."""

    __tablename__ = "users"
    __table_args__ = (UniqueConstraint("email"),)

    email: Mapped[str]
    name: Mapped[str] = mapped_column(default="")
    password_hash: Mapped[str | None] = mapped_column(default=None)
    deleted_at: Mapped[datetime | None] = mapped_column(UtcDateTime, default=None)

    @classmethod
    def lock_with(cls, user_id: uuid.UUID, *, password_hash: str) -> bool:
        """Lock a person until the transaction ends; False when they have another password by now, or are gone."""
        same = select(cls.id).where(
            cls.id == user_id, cls.password_hash == password_hash, cls.deleted_at.is_(None)
        )
        return db.session.scalar(same.with_for_update()) is not None


class LoginSession(Noun):
    """One login and its family of rotating refresh tokens: only the newest is accepted, an older one ends it."""

    __tablename__ = "login_sessions"
    __table_args__ = (Index(None, "user_id"),)

    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    refresh_hash: Mapped[str]
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)
    last_used_at: Mapped[datetime] = mapped_column(UtcDateTime)
    revoked_at: Mapped[datetime | None] = mapped_column(UtcDateTime, default=None)
    user_agent: Mapped[str] = mapped_column(default="")


class ApiKey(Noun):
    """A program's key to one workspace; shown once, stored as a hash, found by its public part."""

    __tablename__ = "api_keys"
    __table_args__ = (UniqueConstraint("public_id"), Index(None, "workspace_id"))

    workspace_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("workspaces.id", ondelete="CASCADE"))
    created_by: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("users.id"), default=None)
    name: Mapped[str]
    public_id: Mapped[str]
    secret_hash: Mapped[str]
    scopes: Mapped[list[str]] = mapped_column(Json, default=list)
    expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime, default=None)
    last_used_at: Mapped[datetime | None] = mapped_column(UtcDateTime, default=None)
    revoked_at: Mapped[datetime | None] = mapped_column(UtcDateTime, default=None)

    @property
    def prefix(self) -> str:
        """How the key begins, to recognise it."""
        return f"{API_KEY_PREFIX}_{self.public_id}_"
