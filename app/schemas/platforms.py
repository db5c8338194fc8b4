"""What an installation can publish to."""

from __future__ import annotations

from marshmallow import fields

from app.schemas.base import Schema


class PlatformSchema(Schema):
    name = fields.String(required=True, metadata={"description": "Used as `platform` everywhere."})
    label = fields.String(required=True)
    configured = fields.Boolean(
        required=True, metadata={"description": "Has this installation what is needed to connect accounts?"}
    )
    sandbox = fields.Boolean(required=True, metadata={"description": "Is this a stand-in on this machine?"})
    guarantee = fields.String(required=True)
    guarantee_text = fields.String(required=True)
    stage_ahead = fields.Float(
        required=True, metadata={"description": "Seconds before its time at which a video is uploaded."}
    )
    scopes = fields.List(fields.String(), required=True)
    options = fields.List(fields.Dict(), required=True, metadata={"description": "For `options.<platform>`."})
    limits = fields.Dict(required=True, metadata={"description": "Of video, texts and quotas; with sources."})


class PlatformsSchema(Schema):
    data = fields.List(fields.Nested(PlatformSchema), required=True)
