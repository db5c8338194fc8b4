"""What went wrong: the envelope of a refused request, and the same shown inside targets, steps and the rest.

Codes are in docs/errors.md; new ones may come, so they are no closed set here.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, get_args

from marshmallow import fields, validate

from app import clock
from app.exceptions import ErrorAction, ErrorKind
from app.schemas.base import Schema

EXAMPLE = {
    "code": "RESOURCE_NOT_FOUND",
    "message": "Video with ID 123 not found",
    "details": {"resource_type": "Video", "resource_id": "123"},
}
ACTION = "What a person can do; null: nothing is to be done."
KIND = "What sort of trouble it is."
RETRYABLE = "May it pass by itself?"
RETRY_AT = "Before this instant trying again is pointless; null: not known."
PLATFORM_CODE = "The platform's own code; null: it told none, or the trouble is not the platform's."


class ErrorFactsSchema(Schema):
    """An error as it is written down; what is not known of it is left out."""

    code = fields.String(metadata={"description": "What went wrong, for programs."})
    message = fields.String(required=True, metadata={"description": "What went wrong, for people."})
    details = fields.Dict(metadata={"description": "Facts; for invalid input, field -> problems."})
    platform = fields.String(metadata={"description": "This and what follows: of a platform's errors only."})
    platform_code = fields.String(allow_none=True, metadata={"description": PLATFORM_CODE})
    kind = fields.String(validate=validate.OneOf(get_args(ErrorKind)), metadata={"description": KIND})
    retryable = fields.Boolean(metadata={"description": RETRYABLE})
    retry_at = fields.String(allow_none=True, metadata={"format": "date-time", "description": RETRY_AT})
    action = fields.String(
        allow_none=True, validate=validate.OneOf(get_args(ErrorAction)), metadata={"description": ACTION}
    )


class ErrorBodySchema(ErrorFactsSchema):
    """The inner object of the envelope."""

    code = fields.String(required=True, metadata={"description": "What went wrong, for programs."})
    details = fields.Dict(
        required=True, metadata={"description": "Facts; for invalid input, field -> problems."}
    )


class ErrorSchema(Schema):
    """Every error there is."""

    error = fields.Nested(ErrorBodySchema, required=True, metadata={"example": EXAMPLE})


class AttemptErrorSchema(ErrorFactsSchema):
    """Why a dealing came to nothing. Only `message`: the platform did answer, and this is what it comes to."""


class TargetErrorSchema(Schema):
    """Why a target, or what follows it, did not go out or has to wait; see docs/errors.md."""

    code = fields.String(required=True, metadata={"description": "For programs.", "example": "MISSED"})
    message = fields.String(required=True, metadata={"description": "For people."})
    details = fields.Dict(required=True)
    platform = fields.String(required=True)
    platform_code = fields.String(required=True, allow_none=True, metadata={"description": PLATFORM_CODE})
    kind = fields.String(
        required=True, validate=validate.OneOf(get_args(ErrorKind)), metadata={"description": KIND}
    )
    retryable = fields.Boolean(required=True, metadata={"description": RETRYABLE})
    retry_at = fields.String(
        required=True, allow_none=True, metadata={"format": "date-time", "description": RETRY_AT}
    )
    retry_after = fields.Integer(
        required=True,
        allow_none=True,
        metadata={"description": "Seconds from now to `retry_at`; null: not known."},
    )
    action = fields.String(
        required=True,
        allow_none=True,
        validate=validate.OneOf(get_args(ErrorAction)),
        metadata={"description": ACTION},
    )


class TargetError(fields.Nested):
    """The error of a target or step as it is stored, with how many seconds to wait, if that is known."""

    def __init__(self, **options: Any) -> None:
        super().__init__(TargetErrorSchema, allow_none=True, required=True, **options)

    def get_value(self, obj: Any, attr: str, *args: Any, **kwargs: Any) -> Any:
        error = super().get_value(obj, attr, *args, **kwargs)
        if not isinstance(error, Mapping):
            return error
        retry_at = error.get("retry_at")
        return {**error, "retry_after": _seconds_until(retry_at) if retry_at else None}


def _seconds_until(instant: str) -> int:
    return max(0, round((datetime.fromisoformat(instant) - clock.now()).total_seconds()))
