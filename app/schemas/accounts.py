"""Bodies of one's own account."""

from __future__ import annotations

from marshmallow import fields, validate

from app.schemas.auth import email_field, new_password_field, password_field
from app.schemas.base import Schema


class PasswordChangeSchema(Schema):
    current_password = password_field()
    new_password = new_password_field()


class ResetRequestSchema(Schema):
    email = email_field()


class ResetSchema(Schema):
    token = fields.String(required=True, load_only=True, validate=validate.Length(1, 1000))
    password = new_password_field()


class AccountDeletionSchema(Schema):
    password = password_field()
