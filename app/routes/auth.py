"""Registering, logging in and out, and who one is."""

from __future__ import annotations

from typing import Any, cast

from flask import request

from app.domain.principal import SCOPES
from app.routes.base import Blueprint, principal
from app.routes.limits import know_address, throttled
from app.schemas.auth import (
    LoginSchema,
    MeSchema,
    RefreshSchema,
    RegisterSchema,
    TokensSchema,
)
from app.services import auth, people

blp = Blueprint("auth", __name__, description="Registering, logging in and out, and who one is.")


@blp.post("/auth/register")
@blp.public()
@blp.arguments(RegisterSchema)
@blp.response(201, TokensSchema)
@blp.alt_response(401, "UNAUTHORIZED")
@blp.alt_response(403, "FORBIDDEN")
@throttled
def register(body: dict[str, Any]) -> auth.Login:
    """Register, get a workspace of one's own, and be logged in.

    The first user may always register; afterwards the installation decides whether registration is open, by
    invitation or closed.
    """
    user_id = people.register(**body)
    return auth.begin_session(user_id, user_agent=request.user_agent.string)


@blp.post("/auth/login")
@blp.public()
@blp.arguments(LoginSchema)
@blp.response(200, TokensSchema)
@blp.alt_response(401, "UNAUTHORIZED")
@throttled
def login(body: dict[str, Any]) -> auth.Login:
    """Log in with e-mail and password."""
    tokens = auth.log_in(**body, user_agent=request.user_agent.string)
    know_address(body["email"])
    return tokens


@blp.post("/auth/refresh")
@blp.public()
@blp.arguments(RefreshSchema)
@blp.response(200, TokensSchema)
@blp.alt_response(401, "UNAUTHORIZED")
def refresh(body: dict[str, Any]) -> auth.Login:
    """Exchange a refresh token for new tokens.

    Each refresh token is good for one exchange. One that comes back a second time ends the login.
    """
    return auth.refresh(body["refresh_token"])


@blp.post("/auth/logout")
@blp.requires(role="viewer", scope=None)
@blp.response(204)
def logout() -> None:
    """Log out: the login's tokens stop working at once."""
    auth.log_out(cast(Any, principal().session_id))


@blp.get("/auth/me")
@blp.requires(role="viewer", scope="read")
@blp.response(200, MeSchema)
def get_me() -> dict[str, Any]:
    """Say who the request's token or key stands for, and in which workspace."""
    who = principal()
    return {
        "user": people.get_user(who.user_id),
        "workspaces": people.workspaces_of(who),
        "workspace_id": who.workspace_id,
        "role": who.role,
        "scopes": [scope for scope in SCOPES if scope in who.scopes],
        "via": who.via,
    }
