"""Answers about figures."""

from __future__ import annotations

from typing import Any

from marshmallow import fields

from app.schemas.base import Instant, Schema
from app.schemas.errors import TargetError

NOT_TOLD = {"description": "null: the platform does not tell it, or not yet. Never 0 instead."}


def _figure(field: type[fields.Field[Any]], name: str) -> fields.Field[Any]:
    return field(attribute=f"stats.{name}", required=True, allow_none=True, metadata=NOT_TOLD)


class FiguresSchema(Schema):
    """A post's figures as its platform counts them."""

    target_id = fields.UUID(required=True)
    measured_at = Instant(
        required=True,
        allow_none=True,
        metadata={"description": "When the platform told them; null: it has not yet."},
    )
    views = _figure(fields.Integer, "views")
    likes = _figure(fields.Integer, "likes")
    comments = _figure(fields.Integer, "comments")
    shares = _figure(fields.Integer, "shares")
    saves = _figure(fields.Integer, "saves")
    reach = _figure(fields.Integer, "reach")
    watch_seconds = _figure(fields.Float, "watch_seconds")
    average_watch_seconds = _figure(fields.Float, "average_watch_seconds")
    more = fields.Dict(
        attribute="stats.more",
        required=True,
        metadata={"description": "What else the platform tells, by its own names."},
    )
    error = TargetError(
        metadata={"description": "Why there are no newer figures, if the platform was asked in vain."}
    )
