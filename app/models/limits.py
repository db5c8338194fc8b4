"""Limits kept as conditionally updated rows: the 24-hour repost gap, the platforms' quotas, repeated requests."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    ForeignKey,
    Index,
    UniqueConstraint,
    and_,
    case,
    delete,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import InstrumentedAttribute, Mapped, mapped_column

from app import clock
from app.domain.quota_window import ANY_TIME
from app.extensions import Model, db
from app.models.base import Json, JsonObject, Noun, UtcDateTime, new_id

REPOST_GAP = timedelta(hours=24)  # the guide: too soon within 24 hours


QuotaKey = tuple[str, str, str, datetime]  # platform, bucket, scope, start of the window


class ContentUse(NamedTuple):
    """A target that is about to put a content on a channel."""

    channel_id: uuid.UUID
    content_hash: str
    target_id: uuid.UUID


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
    def reserve_many(cls, wanted: Sequence[ContentUse], *, at: datetime) -> set[uuid.UUID]:
        """Take channels for contents at `at`; return the target ids that may go.

        The others' channel had the same content, by another target, less than 24 hours before. In one
        statement, locking in one order; of two that want the same the first gets it.
        """
        first: dict[tuple[uuid.UUID, str], ContentUse] = {}
        for use in wanted:
            first.setdefault((use.channel_id, use.content_hash), use)
        if not first:
            return set()
        statement = (
            _dialect().insert(cls).values([first[key]._asdict() | {"last_at": at} for key in sorted(first)])
        )
        statement = statement.on_conflict_do_update(
            index_elements=[cls.channel_id, cls.content_hash],
            set_={"target_id": statement.excluded.target_id, "last_at": at},
            where=or_(cls.last_at <= at - REPOST_GAP, cls.target_id == statement.excluded.target_id),
        )
        return set(db.session.scalars(statement.returning(cls.target_id)))

    @classmethod
    def release(cls, *, channel_id: uuid.UUID, content_hash: str, target_id: uuid.UUID) -> None:
        """This target's post certainly does not exist: the channel may take the content again at once."""
        db.session.execute(
            delete(cls).where(
                cls.channel_id == channel_id, cls.content_hash == content_hash, cls.target_id == target_id
            )
        )


class QuotaUse(NamedTuple):
    """Units of one window to be reserved; the first four name the window. `scope`: "app" or a channel's id."""

    platform: str
    bucket: str
    scope: str
    starts_at: datetime
    ends_at: datetime
    maximum: int
    used: int = 1

    @property
    def key(self) -> QuotaKey:
        return self[:4]


class QuotaWindow(Noun):
    """How much of a platform's quota is used in one window; reserved by conditional update before the call.

    A window that begins with its first use is one row that begins anew once `ends_at` has passed
    (see domain/quota_window). All of this happens in the caller's transaction.
    """

    __tablename__ = "quota_windows"
    __table_args__ = (UniqueConstraint("platform", "bucket", "scope", "starts_at"),)

    platform: Mapped[str]
    bucket: Mapped[str]
    scope: Mapped[str]
    starts_at: Mapped[datetime] = mapped_column(UtcDateTime)
    ends_at: Mapped[datetime] = mapped_column(UtcDateTime)
    used: Mapped[int] = mapped_column(default=0)
    maximum: Mapped[int]

    @classmethod
    def reserve_many(cls, uses: Sequence[QuotaUse], *, at: datetime) -> set[QuotaKey]:
        """Take the units of each window that has them all; return those windows. One statement, one order."""
        asked = [use for use in sorted(uses) if use.used <= use.maximum]
        if not asked:
            return set()
        statement = _dialect().insert(cls).values([_with_id(use) for use in asked])
        new, is_over = statement.excluded, cls.ends_at <= at
        statement = statement.on_conflict_do_update(
            index_elements=cls._key(),
            set_={
                "used": case((is_over, new.used), else_=cls.used + new.used),
                "ends_at": case((is_over, new.ends_at), else_=cls.ends_at),
                "maximum": new.maximum,
                "updated_at": at,
            },
            where=or_(is_over, cls.used + new.used <= new.maximum),
        )
        return {(*row,) for row in db.session.execute(statement.returning(*cls._key()))}

    @classmethod
    def look(cls, uses: Sequence[QuotaUse], *, at: datetime) -> dict[QuotaKey, QuotaWindow]:
        """Lock these windows as far as they are open, and return them as they are."""
        query = (
            select(cls)
            .where(cls._among(uses), cls.ends_at > at)
            .order_by(*cls._key())
            .with_for_update()
            .execution_options(populate_existing=True)
        )
        return {
            (row.platform, row.bucket, row.scope, row.starts_at): row for row in db.session.scalars(query)
        }

    @classmethod
    def give_back(cls, use: QuotaUse, *, used_at: datetime, length: timedelta) -> None:
        """Take back units reserved at `used_at`, if their window is still the open one."""
        began_by_then = or_(cls.starts_at != ANY_TIME, cls.ends_at <= used_at + length)
        db.session.execute(
            update(cls)
            .where(cls._among([use]), cls.used >= use.used, cls.ends_at > used_at, began_by_then)
            .values(used=cls.used - use.used)
            .execution_options(synchronize_session=False)
        )

    @classmethod
    def fill(cls, use: QuotaUse) -> None:
        """The platform says that the window is used up, and until when (`use.ends_at`)."""
        statement = _dialect().insert(cls).values(_with_id(use._replace(used=use.maximum)))
        new = statement.excluded
        statement = statement.on_conflict_do_update(
            index_elements=cls._key(), set_={"used": new.used, "maximum": new.maximum, "ends_at": new.ends_at}
        )
        db.session.execute(statement)

    @classmethod
    def _key(cls) -> list[InstrumentedAttribute[Any]]:
        return [cls.platform, cls.bucket, cls.scope, cls.starts_at]

    @classmethod
    def _among(cls, uses: Sequence[QuotaUse]) -> ColumnElement[bool]:
        return or_(
            *(
                and_(*(column == value for column, value in zip(cls._key(), use, strict=False)))
                for use in uses
            )
        )


def _with_id(use: QuotaUse) -> dict[str, Any]:
    now = clock.now()
    return use._asdict() | {"id": new_id(), "created_at": now, "updated_at": now}


def _dialect() -> Any:
    return postgresql if db.engine.dialect.name == "postgresql" else sqlite


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
    body_encrypted: Mapped[str | None] = mapped_column(default=None)  # instead of it, where it holds a secret
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)
