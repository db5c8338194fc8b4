"""What all views share: a blueprint under /api/v1 on which each view says who may use it.

    blp = Blueprint("posts", __name__, description="...")

    @blp.get("/posts")
    @blp.requires(role="viewer", scope="read")
    @blp.arguments(PostsQuerySchema, location="query")
    @blp.response(200, page_schema(PostSchema))
    def list_posts(query): ...

`requires` or `public` stands directly below the route, so that nothing is read before the caller is known. The
name of the view is its operationId, the first line of its docstring its summary.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast

import flask
import flask_smorest
import marshmallow
from flask import Request, current_app, g, request
from webargs import missing
from webargs.flaskparser import FlaskParser
from werkzeug.exceptions import UnsupportedMediaType

from app.domain.principal import Principal, Role, Scope
from app.exceptions import AppException, AuthenticationError, ResourceNotFoundError, ValidationError
from app.logging_config import bind_context
from app.routes import crowding
from app.services import auth

API_PREFIX = "/api/v1"
JSON_BODY_BYTES = 1024 * 1024
FORM_BODY_BYTES = 64 * 1024  # of pages, which are not counted as requests to the API are
View = Callable[..., Any]
Decorator = Callable[[View], View]


@dataclass(frozen=True)
class Classification:
    """Who may use a view. `role` None: anybody. `scope` None: people only. `body_limit` in bytes, None: any."""

    role: Role | None = None
    scope: Scope | None = None
    body_limit: int | None = JSON_BODY_BYTES

    @property
    def is_public(self) -> bool:
        return self.role is None


class Parser(FlaskParser):
    """Reads arguments; unlike webargs' own it refuses unknown query parameters and bodies that are not JSON."""

    DEFAULT_UNKNOWN_BY_LOCATION = FlaskParser.DEFAULT_UNKNOWN_BY_LOCATION | {"query": marshmallow.RAISE}

    def _raw_load_json(self, req: Request) -> Any:
        if not req.is_json and (req.content_length or "Transfer-Encoding" in req.headers):
            raise UnsupportedMediaType
        return req.get_json() if req.is_json and req.get_data() else missing


if TYPE_CHECKING:

    class _Blueprint(flask.Blueprint):
        """flask-smorest's blueprint as far as we use it: the package has no types."""

        def __init__(self, name: str, import_name: str, *, description: str, url_prefix: str) -> None: ...
        def get(self, rule: str, **options: Any) -> Decorator: ...  # type: ignore[override]
        def post(self, rule: str, **options: Any) -> Decorator: ...  # type: ignore[override]
        def put(self, rule: str, **options: Any) -> Decorator: ...  # type: ignore[override]
        def patch(self, rule: str, **options: Any) -> Decorator: ...  # type: ignore[override]
        def delete(self, rule: str, **options: Any) -> Decorator: ...  # type: ignore[override]
        def route(self, rule: str, **options: Any) -> Decorator: ...  # type: ignore[override]
        def arguments(self, schema: Any, *, location: str = "json", **options: Any) -> Decorator: ...
        def response(self, status: int, schema: Any = None, **options: Any) -> Decorator: ...
        def alt_response(self, status: int, response: Any = None, **options: Any) -> Decorator: ...
        def doc(self, **options: Any) -> Decorator: ...

else:
    _Blueprint = flask_smorest.Blueprint


class Blueprint(_Blueprint):
    """flask-smorest's blueprint, at /api/v1, that refuses a view nobody has classified."""

    ARGUMENTS_PARSER = Parser()

    def __init__(
        self, name: str, import_name: str, *, description: str, url_prefix: str = API_PREFIX
    ) -> None:
        super().__init__(name, import_name, description=description, url_prefix=url_prefix)

    def requires(
        self, *, role: Role, scope: Scope | None, body_limit: int | None = JSON_BODY_BYTES
    ) -> Decorator:
        """Let in people with at least the role and keys with the scope; `scope` None: people only."""
        return self._classified(Classification(role, scope, body_limit))

    def public(self, *, body_limit: int | None = JSON_BODY_BYTES) -> Decorator:
        """Let in anybody."""
        return self._classified(Classification(body_limit=body_limit))

    def add_url_rule(
        self,
        rule: str,
        endpoint: str | None = None,
        view_func: View | None = None,
        *args: Any,
        **options: Any,
    ) -> None:
        if view_func is not None and getattr(view_func, "__guard__", None) is not view_func:
            raise TypeError(f"{rule}: `requires` or `public` must stand directly below the route")
        super().add_url_rule(rule, endpoint, view_func, *args, **options)

    def _classified(self, classification: Classification) -> Decorator:
        def decorator(view: View) -> View:
            @wraps(view)
            def guarded(*args: Any, **kwargs: Any) -> Any:
                _admit(classification)
                with crowding.place_for(classification.body_limit):
                    return view(*args, **kwargs)

            guarded.__classification__ = classification  # type: ignore[attr-defined]
            guarded.__guard__ = guarded  # type: ignore[attr-defined]
            _document(guarded, classification)
            return guarded

        return decorator


def principal() -> Principal:
    """Return who is asking. Only in views that `requires` guards."""
    return cast(Principal, g.principal)


def classification_of(endpoint: str | None) -> Classification | None:
    """Return what was said about a view; None when it is not one of ours (health, metrics, pages)."""
    view = current_app.view_functions.get(endpoint or "")
    return cast(Classification | None, getattr(view, "__classification__", None))


# -- before each request


def identify() -> None:
    """Find out who is asking, before rates are counted. What is wrong with it is told by the view's guard."""
    g.principal, g.auth_error, g.rate_key = None, None, None
    classification = classification_of(request.endpoint)
    if classification is None:
        request.max_content_length = FORM_BODY_BYTES
        return
    request.max_content_length = classification.body_limit
    g.rate_key = f"address:{request.remote_addr}"
    if classification.is_public or request.method == "OPTIONS":
        return
    try:
        g.principal = _authenticate()
    except AppException as error:
        g.auth_error = error
    else:
        g.rate_key = g.principal.name
        bind_context(user_id=g.principal.user_id, workspace_id=g.principal.workspace_id)


def _admit(classification: Classification) -> None:
    if classification.role is None:
        return
    if g.auth_error is not None:
        raise g.auth_error
    principal().check(role=classification.role, scope=classification.scope)


def _authenticate() -> Principal:
    key, token = _credentials()
    workspace_id = _asked_workspace()
    if key is None:
        return auth.authenticate_token(token, workspace_id=workspace_id)
    found = auth.authenticate_key(key)
    if workspace_id not in {None, found.workspace_id}:
        raise ResourceNotFoundError(resource_type="Workspace", resource_id=workspace_id)
    return found


def _credentials() -> tuple[str | None, str]:
    """Return the API key, if it is one, else the access token."""
    header = request.headers.get("Authorization", "")
    scheme, _, value = header.partition(" ")
    if not header:
        key = request.headers.get("X-API-Key")
        if not key:
            raise AuthenticationError
        return key.strip(), ""
    if scheme.lower() != "bearer" or not value.strip():
        raise AuthenticationError("Send the token or API key as `Authorization: Bearer ...`.")
    value = value.strip()
    return (value, "") if value.startswith("vsk_") else (None, value)


def _asked_workspace() -> uuid.UUID | None:
    """Return the workspace the path names, else the header; None: the person's own, or the key's."""
    raw, named = request.headers.get("X-Workspace-Id"), (request.view_args or {}).get("workspace_id")
    if raw is None:
        return cast(uuid.UUID | None, named)
    try:
        asked = uuid.UUID(raw)
    except ValueError:
        raise ValidationError(details={"X-Workspace-Id": ["Must be a workspace's id (a UUID)."]}) from None
    if named not in {None, asked}:
        raise ValidationError(details={"X-Workspace-Id": [f"The path names {named}. Leave the header out."]})
    return asked


# -- in the documentation


def describe_security(api: flask_smorest.Api) -> None:
    """Say in the OpenAPI document how a caller proves who they are."""
    bearer = "An access token of `POST /auth/login`, or an API key (`vsk_...`)."
    scheme = api.spec.components.security_scheme
    scheme("bearer", {"type": "http", "scheme": "bearer", "description": bearer})
    scheme("api_key", {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "An API key."})


_SECURITY: list[dict[str, list[str]]] = [{"bearer": []}, {"api_key": []}]


def _document(view: View, classification: Classification) -> None:
    docs = view.__dict__.setdefault("_apidoc", {})
    manual = docs.setdefault("manual_doc", {})
    manual["operationId"] = view.__name__
    manual["security"] = _security(classification)
    responses = docs.setdefault("response", {}).setdefault("responses", {})
    for status in (422, 429) if classification.is_public else (401, 403, 404, 422, 429):
        responses.setdefault(status, []).append(HTTPStatus(status).name)


def _security(classification: Classification) -> list[dict[str, list[str]]]:
    if classification.is_public:
        return []
    return _SECURITY if classification.scope else _SECURITY[:1]
