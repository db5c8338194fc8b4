from __future__ import annotations

import pytest
from flask import Flask

# Everything that answers without knowing who asks. A new line here is a decision.
PUBLIC = {
    "GET /",
    "GET /docs",
    "GET /openapi.json",
    "GET /health",
    "GET /health/detailed",
    "GET /health/live",
    "GET /health/ready",
    "GET /metrics",
    "GET /files/<token>/<name>",  # the token is the permission
    "POST /api/v1/auth/register",
    "POST /api/v1/auth/login",
    "POST /api/v1/auth/refresh",
    "POST /api/v1/auth/password-reset",
    "POST /api/v1/auth/password-reset/confirm",  # the mailed token is the permission
    "GET /receipts/<token>",  # the token is the permission
    "GET /reset-password",
    "POST /reset-password",
    "GET /invitation",
    "POST /invitation",
    "GET /api/v1/connections/callback",
    "GET /api/v1/platforms/<name>/webhook",  # what platforms send proves itself by a signature
    "POST /api/v1/platforms/<name>/webhook",
    "POST /api/v1/platforms/<name>/deauthorize",
    "POST /api/v1/platforms/<name>/data-deletion",
    "GET /data-deletion/<code>",  # the code is the permission
    "GET /privacy",
    "GET /terms",
}


def classifications(app: Flask) -> dict[str, object]:
    """Return each route's classification by `METHOD rule`; None where a view has none."""
    return {
        f"{method} {rule.rule}": _of(app, rule.endpoint, method)
        for rule in app.url_map.iter_rules()
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"})
    }


def _of(app: Flask, endpoint: str, method: str) -> object:
    view = app.view_functions[endpoint]
    by_class = getattr(view, "view_class", None)
    handler = getattr(by_class, method.lower(), None) if by_class else view
    return getattr(handler, "__classification__", getattr(view, "__classification__", None))


def is_public(classification: object) -> bool:
    """Views outside the API carry no classification: they must stand in the table."""
    return classification is None or bool(getattr(classification, "is_public", False))


def test_what_is_public_is_in_the_table_and_nothing_else(app: Flask) -> None:
    found = classifications(app)

    public = {route for route, classification in found.items() if is_public(classification)}

    assert len(found) > 20
    assert public - PUBLIC == set()
    assert PUBLIC - public == set()


def test_what_is_not_public_asks_who_you_are(app: Flask) -> None:
    client = app.test_client()
    protected = [route for route, found in classifications(app).items() if not is_public(found)]

    answers = {}
    for route in protected:
        method, rule = route.split(" ")
        path = "".join(_filled(part) for part in rule.split("/"))
        answers[route] = client.open(path, method=method).status_code

    assert len(protected) > 15
    assert {route: status for route, status in answers.items() if status != 401} == {}


def _filled(part: str) -> str:
    """Return a path's part with something of the right kind in place of its parameter."""
    if not part:
        return ""
    if part.startswith("<"):
        return "/00000000-0000-7000-8000-000000000000" if "uuid" in part or "id" in part else "/1"
    return f"/{part}"


@pytest.mark.parametrize("path", ["/health", "/health/live"])
def test_liveness_is_public(app: Flask, path: str) -> None:
    assert app.test_client().get(path).status_code == 200
