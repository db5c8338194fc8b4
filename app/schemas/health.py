"""The bodies of the health endpoints."""

from __future__ import annotations

from marshmallow import fields

from app.schemas.base import Schema


class LivenessSchema(Schema):
    status = fields.String(required=True)
    timestamp = fields.String(required=True, metadata={"description": "UTC, whole seconds."})


class HealthSchema(LivenessSchema):
    service = fields.String(required=True)
    version = fields.String(required=True)


class CheckSchema(Schema):
    status = fields.String(required=True, metadata={"description": "healthy or unhealthy."})
    message = fields.String(metadata={"description": "Left out for outsiders when HEALTH_DETAILS is token."})
    details = fields.Dict()


class DetailedHealthSchema(HealthSchema):
    environment = fields.String(
        metadata={"description": "Left out for outsiders when HEALTH_DETAILS is token."}
    )
    checks = fields.Dict(keys=fields.String(), values=fields.Nested(CheckSchema), required=True)
