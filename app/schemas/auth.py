"""Bodies of registering, logging in, refreshing, and of `me`."""

from __future__ import annotations

from typing import Any

import marshmallow
from marshmallow import fields, validate

from app.domain.principal import ROLES, SCOPES
from app.schemas.base import Instant, Schema

PASSWORD_MIN, PASSWORD_MAX = 10, 200  # characters
EMAIL_MAX = 254  # RFC 5321, 4.5.3.1.3, without the angle brackets


def _password_length(password: str) -> None:
    if not PASSWORD_MIN <= len(password) <= PASSWORD_MAX:
        raise marshmallow.ValidationError(
            f"Found {len(password)} characters, allowed are {PASSWORD_MIN} to {PASSWORD_MAX}."
        )


class Email(fields.Email):
    """An address, in lower case and without space around it."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        text = super()._deserialize(value, *args, **kwargs)
        return text.strip().lower() if isinstance(text, str) else text


def email_field() -> Email:
    return Email(
        required=True, validate=validate.Length(max=EMAIL_MAX), metadata={"example": "ada@example.com"}
    )


def new_password_field() -> fields.String:
    return fields.String(
        required=True,
        load_only=True,
        validate=_password_length,
        metadata={
            "description": f"{PASSWORD_MIN} to {PASSWORD_MAX} characters.",
            "format": "password",
            "minLength": PASSWORD_MIN,
            "maxLength": PASSWORD_MAX,
        },
    )


def password_field() -> fields.String:
    return fields.String(
        required=True, load_only=True, validate=validate.Length(max=1000), metadata={"format": "password"}
    )


class RegisterSchema(Schema):
    email = email_field()
    password = new_password_field()
    name = fields.String(load_default="", validate=validate.Length(max=200))
    invitation_token = fields.String(load_default=None, allow_none=True, validate=validate.Length(max=200))


class LoginSchema(Schema):
    email = fields.String(required=True, validate=validate.Length(max=EMAIL_MAX))
    password = password_field()


class RefreshSchema(Schema):
    refresh_token = fields.String(required=True, validate=validate.Length(1, 200))


class TokensSchema(Schema):
    """`access_token` goes into `Authorization: Bearer ...`; `refresh_token` is good for one exchange."""

    access_token = fields.String(required=True)
    refresh_token = fields.String(required=True)
    token_type = fields.String(required=True, metadata={"description": "Always Bearer."})
    expires_in = fields.Integer(required=True, metadata={"description": "Seconds the access token lives."})
    refresh_expires_in = fields.Integer(
        required=True, metadata={"description": "Seconds an unused refresh token lives."}
    )
    user_id = fields.UUID(required=True)


class UserSchema(Schema):
    id = fields.UUID(required=True)
    email = fields.String(required=True)
    name = fields.String(required=True)
    created_at = Instant(required=True)


class BelongingSchema(Schema):
    id = fields.UUID(required=True)
    name = fields.String(required=True)
    role = fields.String(required=True, validate=validate.OneOf(ROLES))
    is_personal = fields.Boolean(required=True)


class MeSchema(Schema):
    """Who the request's token or key stands for, and where."""

    user = fields.Nested(UserSchema, allow_none=True, required=True)
    workspaces = fields.List(fields.Nested(BelongingSchema), required=True)
    workspace_id = fields.UUID(required=True, metadata={"description": "The workspace of this request."})
    role = fields.String(required=True, validate=validate.OneOf(ROLES))
    scopes = fields.List(fields.String(validate=validate.OneOf(SCOPES)), required=True)
    via = fields.String(required=True, validate=validate.OneOf(("session", "api_key")))
