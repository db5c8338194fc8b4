"""Receipts as they are shown."""

from __future__ import annotations

from marshmallow import fields, validate

from app.schemas.base import Instant, Schema
from app.schemas.errors import TargetError
from app.schemas.targets import AttemptSchema
from app.services.receipts import LINK_DAYS


class ReceiptQuerySchema(Schema):
    link_days = fields.Integer(
        load_default=LINK_DAYS,
        validate=validate.Range(1, LINK_DAYS),
        metadata={
            "description": f"How long `page_url` works, 1 to {LINK_DAYS} days. It cannot be called back."
        },
    )


class ReceiptFileSchema(Schema):
    """The bytes that go out; `original_sha256` are those of the upload, which differ when it was converted."""

    video_id = fields.UUID(required=True)
    filename = fields.String(required=True)
    sha256 = fields.String(allow_none=True, required=True)
    size_bytes = fields.Integer(allow_none=True, required=True)
    duration_seconds = fields.Float(allow_none=True, required=True)
    original_sha256 = fields.String(required=True)


class ReceiptSchema(Schema):
    """What is known of one post on one channel, to be kept or passed on."""

    target_id = fields.UUID(required=True)
    post_id = fields.UUID(required=True)
    workspace = fields.String(required=True)
    platform = fields.String(required=True)
    platform_label = fields.String(required=True)
    channel = fields.String(required=True)
    channel_name = fields.String(required=True)
    status = fields.String(required=True)
    stage = fields.String(required=True)
    title = fields.String(required=True)
    caption = fields.String(required=True)
    file = fields.Nested(ReceiptFileSchema, required=True)
    ordered_by = fields.String(
        allow_none=True,
        required=True,
        metadata={
            "description": "Their name or, where they gave none, their e-mail address, which the page does not show."
        },
    )
    ordered_via = fields.String(required=True)
    ordered_at = Instant(required=True)
    due_at = Instant(allow_none=True, required=True)
    committed_at = Instant(
        allow_none=True, required=True, metadata={"description": "When the last call that posts was begun."}
    )
    lateness_seconds = fields.Float(allow_none=True, required=True)
    published_at = Instant(allow_none=True, required=True)
    remote_id = fields.String(allow_none=True, required=True)
    permalink = fields.String(allow_none=True, required=True)
    guarantee = fields.String(required=True)
    guarantee_text = fields.String(required=True)
    error = TargetError()
    attempts = fields.List(
        fields.Nested(AttemptSchema),
        required=True,
        metadata={"description": "Every dealing with the platform, with both sides' request ids."},
    )
    issued_at = Instant(required=True)
    page_url = fields.String(
        required=True,
        metadata={"format": "uri", "description": "The same as a page, for anybody who has it."},
    )
    page_expires_at = Instant(required=True)
