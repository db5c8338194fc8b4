"""One's own account: password and end."""

from __future__ import annotations

from typing import Any

from app.routes.base import Blueprint, principal
from app.routes.limits import throttled
from app.schemas.accounts import (
    AccountDeletionSchema,
    PasswordChangeSchema,
    ResetRequestSchema,
    ResetSchema,
)
from app.services import accounts, mails

blp = Blueprint("accounts", __name__, description="Your account: its password and its end.")


@blp.put("/auth/password")
@blp.requires(role="viewer", scope=None)
@blp.arguments(PasswordChangeSchema)
@blp.response(204)
@throttled
def change_password(body: dict[str, Any]) -> None:
    """Change your password. Your other logins end."""
    accounts.change_password(principal(), **body)


@blp.post("/auth/password-reset")
@blp.public()
@blp.arguments(ResetRequestSchema)
@blp.response(202)
@throttled
def request_password_reset(body: dict[str, Any]) -> None:
    """Have a link mailed with which a new password can be chosen. The answer never says whether there is an account."""
    mails.check_possible()
    accounts.request_reset(**body)


@blp.post("/auth/password-reset/confirm")
@blp.public()
@blp.arguments(ResetSchema)
@blp.response(204)
@blp.alt_response(401, "UNAUTHORIZED")
@throttled
def reset_password(body: dict[str, Any]) -> None:
    """Choose a new password with a mailed token. Every login of the account ends."""
    accounts.reset_password(**body)


@blp.post("/auth/delete-account")
@blp.requires(role="viewer", scope=None)
@blp.arguments(AccountDeletionSchema)
@blp.response(204)
@throttled
def delete_account(body: dict[str, Any]) -> None:
    """End your account: logins and keys stop at once, your name and address are forgotten.

    Your own workspace is paused; make somebody else the owner of shared ones first.
    """
    accounts.delete(principal(), **body)
