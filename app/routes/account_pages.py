"""The pages mailed links lead to: choose a new password, accept an invitation. Plain forms, no script."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import marshmallow
from flask import Blueprint, Response, make_response, render_template, request

from app.exceptions import AppException, ValidationError
from app.routes.limits import throttled
from app.schemas.accounts import ResetSchema
from app.schemas.auth import RegisterSchema
from app.schemas.base import Schema
from app.services import accounts, people

blp = Blueprint("account_pages", __name__)


@blp.get("/reset-password")
def show_password_reset() -> Response:
    return _page("reset_password.html")


@blp.post("/reset-password")
@throttled
def take_password_reset() -> Response:
    return _take("reset_password.html", ResetSchema(), lambda given: accounts.reset_password(**given))


@blp.get("/invitation")
def show_invitation() -> Response:
    return _page("invitation.html")


@blp.post("/invitation")
@throttled
def take_invitation() -> Response:
    return _take("invitation.html", RegisterSchema(), lambda given: people.register(**given))


def _take(template: str, schema: Schema, act: Callable[[dict[str, Any]], object]) -> Response:
    """Do what the form asks; what is wrong with it is said above the form."""
    try:
        act(_loaded(schema))
    except ValidationError as error:
        problems = [problem for problems in error.details.values() for problem in problems]
        return _page(template, status=error.status, problems=problems)
    except AppException as error:
        return _page(template, status=error.status, problems=[error.message])
    return _page(template, done=True)


def _loaded(schema: Schema) -> dict[str, Any]:
    try:
        found: dict[str, Any] = schema.load(request.form.to_dict())
    except marshmallow.ValidationError as error:
        details: dict[str, Any] = error.normalized_messages()  # type: ignore[no-untyped-call]
        raise ValidationError(details=details) from None
    return found


def _page(template: str, *, status: int = 200, **facts: Any) -> Response:
    token = request.values.get("token") or request.values.get("invitation_token", "")
    response = make_response(render_template(template, token=token, given=request.form, **facts), status)
    response.headers["Cache-Control"] = "no-store"
    return response
