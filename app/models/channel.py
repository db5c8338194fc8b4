"""A consent under way, the grant it ends in, and the accounts the grant opened."""

from __future__ import annotations

import uuid
from datetime import datetime

from sqlalchemy import ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Json, JsonObject, Owned, UtcDateTime, WorkMixin, work_index


class Connection(Owned):
    """A consent under way: single use, ten minutes.

    `status`: pending, authorized (choices are known), completed, failed. The state and the browser's nonce
    are kept as hashes, verifier and tokens encrypted.
    """

    __tablename__ = "connections"
    __table_args__ = (UniqueConstraint("state_hash"), Index(None, "workspace_id", "id"))

    workspace_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("workspaces.id", ondelete="CASCADE"))
    created_by: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("users.id"), default=None)
    platform: Mapped[str]
    server: Mapped[str] = mapped_column(default="")
    login: Mapped[str] = mapped_column(default="")
    status: Mapped[str] = mapped_column(default="pending")
    state_hash: Mapped[str]
    nonce_hash: Mapped[str]
    verifier_encrypted: Mapped[str] = mapped_column(default="")
    tokens_encrypted: Mapped[str | None] = mapped_column(default=None)
    choices: Mapped[list[JsonObject]] = mapped_column(Json, default=list)
    error: Mapped[JsonObject | None] = mapped_column(Json, default=None)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)
    completed_at: Mapped[datetime | None] = mapped_column(UtcDateTime, default=None)


class Credential(WorkMixin, Owned):
    """One grant, shared by the channels it opened. Its lease makes refreshing single-flight.

    `status`: active, needs_reconnect, revoked. `next_at` is when the tokens are refreshed ahead of expiry.
    """

    __tablename__ = "credentials"
    __table_args__ = (
        Index(None, "workspace_id", "id"),
        Index(None, "platform", "remote_user_id"),
        work_index("credentials"),
    )

    workspace_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("workspaces.id", ondelete="CASCADE"))
    platform: Mapped[str]
    server: Mapped[str] = mapped_column(default="")
    client_id: Mapped[str] = mapped_column(default="")
    environment: Mapped[str] = mapped_column(default="live")  # live or sandbox
    status: Mapped[str] = mapped_column(default="active")
    access_token_encrypted: Mapped[str]
    refresh_token_encrypted: Mapped[str | None] = mapped_column(default=None)
    scopes: Mapped[list[str]] = mapped_column(Json, default=list)
    expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime, default=None)
    refresh_expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime, default=None)
    refreshed_at: Mapped[datetime | None] = mapped_column(UtcDateTime, default=None)
    remote_user_id: Mapped[str | None] = mapped_column(default=None)
    end_told_at: Mapped[datetime | None] = mapped_column(UtcDateTime, default=None)
    retries: Mapped[int] = mapped_column(default=0)
    error: Mapped[JsonObject | None] = mapped_column(Json, default=None)


class Channel(Owned):
    """A connected account. `status`: active, needs_reconnect, disconnected.

    `access_token_encrypted` is the account's own token where it has one, else its credential's is used.
    `posting` is what it may post, as the platform said at `posting_at` (see PostingOptions).
    """

    __tablename__ = "channels"
    __table_args__ = (
        UniqueConstraint("workspace_id", "platform", "server", "remote_id"),
        Index(None, "platform", "remote_id"),
    )

    workspace_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("workspaces.id", ondelete="CASCADE"))
    credential_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("credentials.id"))
    platform: Mapped[str]
    server: Mapped[str] = mapped_column(default="")
    remote_id: Mapped[str]
    username: Mapped[str] = mapped_column(default="")
    display_name: Mapped[str] = mapped_column(default="")
    avatar_url: Mapped[str | None] = mapped_column(default=None)
    profile_url: Mapped[str | None] = mapped_column(default=None)
    status: Mapped[str] = mapped_column(default="active")
    paused_at: Mapped[datetime | None] = mapped_column(UtcDateTime, default=None)
    catch_up_at: Mapped[datetime | None] = mapped_column(UtcDateTime, default=None)
    access_token_encrypted: Mapped[str | None] = mapped_column(default=None)
    details: Mapped[JsonObject] = mapped_column(Json, default=dict)
    posting: Mapped[JsonObject | None] = mapped_column(Json, default=None)
    posting_at: Mapped[datetime | None] = mapped_column(UtcDateTime, default=None)
