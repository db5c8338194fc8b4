"""What an installation can publish to."""

from __future__ import annotations

from marshmallow import fields

from app.schemas.base import Schema


class PlatformLoginSchema(Schema):
    name = fields.String(required=True)
    label = fields.String(required=True)
    configured = fields.Boolean(required=True)


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
    callback_url = fields.String(
        required=True, metadata={"description": "Where people come back to from the platform's consent page."}
    )
    callbacks = fields.Dict(
        keys=fields.String(),
        values=fields.String(),
        required=True,
        metadata={"description": "Addresses to paste at the platform, by what it sends there."},
    )
    logins = fields.List(
        fields.Nested(PlatformLoginSchema),
        required=True,
        metadata={
            "description": "Ways to connect, for `login` of POST /connections; empty where there is one."
        },
    )
    steps = fields.List(
        fields.Dict(), required=True, metadata={"description": "What may be done once a post exists."}
    )
    can_remove = fields.Boolean(required=True)
    max_stats = fields.Integer(
        required=True, metadata={"description": "Posts whose figures one call tells; 0: it tells none."}
    )
    options = fields.List(fields.Dict(), required=True, metadata={"description": "For `options.<platform>`."})
    limits = fields.Dict(required=True, metadata={"description": "Of video, texts and quotas; with sources."})


class PlatformsSchema(Schema):
    data = fields.List(fields.Nested(PlatformSchema), required=True)
