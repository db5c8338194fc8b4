"""Bodies, headers and queries of uploads."""

from __future__ import annotations

from typing import Any

from marshmallow import ValidationError, fields, validate, validates_schema

from app.schemas.base import Instant, PageQuerySchema, Schema
from app.schemas.errors import ErrorBodySchema
from app.schemas.idempotency import IdempotencyHeaderSchema
from app.schemas.videos import VideoTextsSchema
from app.services.uploads_shown import KINDS, STATES

TUS_VERSION = "1.0.0"


class UploadsQuerySchema(PageQuerySchema):
    state = fields.String(
        load_default=None,
        validate=validate.OneOf(STATES),
        metadata={"description": "Only uploads in this state; without it all."},
    )


class NewUploadSchema(VideoTextsSchema):
    """What is wanted, but for tus clients, who say it in headers."""

    kind = fields.String(
        validate=validate.OneOf(("url", "multipart")),
        metadata={"description": "url: we fetch it; multipart: its parts go to the bucket directly."},
    )
    filename = fields.String(validate=validate.Length(1, 255))
    url = fields.String(
        validate=validate.Length(1, 2048), metadata={"description": "kind url: a public http(s) address."}
    )
    total_bytes = fields.Integer(
        validate=validate.Range(1), metadata={"description": "kind multipart: length of the whole file."}
    )

    @validates_schema
    def _require_what_the_kind_needs(self, data: dict[str, Any], **_: Any) -> None:
        needed = {"url": "url", "multipart": "total_bytes"}.get(data.get("kind", ""))
        if needed is not None and needed not in data:
            raise ValidationError({needed: [f"Needed for an upload of kind {data['kind']}."]})


class PartNumbersSchema(Schema):
    part_numbers = fields.List(
        fields.Integer(validate=validate.Range(1, 10_000)),
        required=True,
        validate=validate.Length(1, 100),
        metadata={"description": "Which parts are to be sent next, from 1."},
    )


class SignedPartSchema(Schema):
    part_number = fields.Integer(required=True)
    size_bytes = fields.Integer(required=True, metadata={"description": "How many bytes this part has."})
    url = fields.String(
        required=True, metadata={"description": "PUT exactly so many bytes here, without other headers."}
    )
    expires_at = Instant(required=True)


class SignedPartsSchema(Schema):
    data = fields.List(fields.Nested(SignedPartSchema), required=True)


class PartSchema(Schema):
    part_number = fields.Integer(required=True, attribute="number")
    size_bytes = fields.Integer(required=True, attribute="size")
    etag = fields.String(required=True)


class PartsSchema(Schema):
    data = fields.List(fields.Nested(PartSchema), required=True)


class NewUploadHeadersSchema(IdempotencyHeaderSchema):
    """What a tus client sends to begin an upload; without `Tus-Resumable` the body says what is wanted."""

    tus_resumable = fields.String(
        data_key="Tus-Resumable",
        load_default=None,
        metadata={"description": f"{TUS_VERSION}, by a tus client."},
    )
    upload_length = fields.String(
        data_key="Upload-Length", load_default=None, metadata={"description": "Of the whole file, in bytes."}
    )
    upload_metadata = fields.String(
        data_key="Upload-Metadata",
        load_default=None,
        metadata={
            "description": "`filename`, `title`, `description`, `filetype`, each with its value in Base64."
        },
    )


class TusHeadersSchema(Schema):
    tus_resumable = fields.String(
        data_key="Tus-Resumable", required=True, metadata={"description": f"Must be {TUS_VERSION}."}
    )
    upload_offset = fields.Integer(
        data_key="Upload-Offset",
        required=True,
        strict=False,
        validate=validate.Range(0, 2**62),
        metadata={"description": "Where these bytes belong: what HEAD has answered."},
    )
    upload_checksum = fields.String(
        data_key="Upload-Checksum",
        load_default=None,
        metadata={"description": "Such as `sha256 <Base64>`; then all of the bytes are kept or none."},
    )


class UploadSchema(Schema):
    """Bytes on their way in. How it ended can be read for a day."""

    id = fields.UUID(required=True)
    kind = fields.String(required=True, validate=validate.OneOf(KINDS))
    state = fields.String(
        required=True,
        validate=validate.OneOf(STATES),
        metadata={
            "description": "receiving, importing, finishing (all has come), done (see video_id), failed (see error)."
        },
    )
    offset_bytes = fields.Integer(
        required=True, metadata={"description": "How many bytes are kept for good."}
    )
    total_bytes = fields.Integer(required=True, allow_none=True)
    filename = fields.String(required=True)
    video_id = fields.UUID(required=True, allow_none=True)
    error = fields.Nested(ErrorBodySchema, required=True, allow_none=True)
    source_host = fields.String(
        required=True, allow_none=True, metadata={"description": "Where an import comes from."}
    )
    part_bytes = fields.Integer(
        required=True,
        allow_none=True,
        metadata={"description": "Length of each part but the last (multipart)."},
    )
    created_at = Instant(required=True)
    expires_at = Instant(required=True, metadata={"description": "When it is forgotten if nothing comes."})
