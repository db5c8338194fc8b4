"""Every POST that creates or triggers takes effect once under one Idempotency-Key, whatever it is."""

from __future__ import annotations

from typing import Any

import pytest
import time_machine
from flask import Flask
from sqlalchemy import select

from app import clock
from app.extensions import db
from app.models import IdempotencyKey, Post
from app.routes import openapi
from tests.factories import Person
from tests.fuzz.good import good_requests, operations
from tests.fuzz.parallel import new_post, posts_with_one_key
from tests.fuzz.world import Installation, World

# The design leaves these out: what they answer is a way in, and platforms repeat their calls as they like. Signing
# addresses of parts changes nothing either, and asked again it must give new ones.
WITHOUT = ("/api/v1/auth/", "/api/v1/api-keys", "/api/v1/platforms/")
# Answered item by item (see tests/routes/test_bulk), and one that ends the right to ask for it again.
OTHERWISE = {"create_posts", "import_posts", "transfer_workspace"}
SECRETS = ("token", "secret", "authorize_url", "nonce", "file_url", "thumbnail_url")


def triggering(document: Any) -> dict[str, Any]:
    """Return the POSTs of a document by operationId."""
    return {
        operation["operationId"]: operation
        for method, path, operation in operations(document)
        if method == "post" and not path.startswith(WITHOUT) and not path.endswith("/parts")
    }


def takes_a_key(operation: Any) -> bool:
    return any(each.get("name") == "Idempotency-Key" for each in operation.get("parameters", ()))


def send_good(place: Installation, world: World, name: str) -> Any:
    with place.app.app_context():
        request = good_requests(openapi.document(place.app), world)[name]
    is_json = request.content_type == "application/json"
    options: dict[str, Any] = {"json": request.body} if is_json else {"data": request.body}
    headers = {**world.headers, **request.headers, "Idempotency-Key": "k1"}
    if request.content_type:
        options["content_type"] = request.content_type
    return place.app.test_client().open(request.path, method="POST", headers=headers, **options)


def test_every_post_that_creates_or_triggers_takes_a_key(app: Flask) -> None:
    with app.app_context():
        found = triggering(openapi.document(app))

    assert len(found) > 20
    assert [name for name, operation in found.items() if not takes_a_key(operation)] == []


def test_the_same_request_again_is_answered_with_the_same(place: Installation) -> None:
    with place.app.app_context():
        names = triggering(openapi.document(place.app)).keys() - OTHERWISE
    wrong = {}
    for name in sorted(names):
        world = place.renew()
        with time_machine.travel(clock.now(), tick=False):
            first, again = (send_good(place, world, name) for _ in range(2))
        same = (first.status_code, first.json) == (again.status_code, again.json)
        if not (same and first.status_code < 300 and again.headers.get("Idempotency-Replayed") == "true"):
            wrong[name] = (first.status_code, again.status_code, first.json, again.json)

    assert wrong == {}


def test_stored_answers_hold_no_secret_in_clear(place: Installation) -> None:
    with place.app.app_context():
        names = triggering(openapi.document(place.app)).keys() - OTHERWISE
    for name in sorted(names):
        world = place.renew()
        answer = send_good(place, world, name).json
        with place.app.app_context():
            stored = db.session.scalars(select(IdempotencyKey)).all()
            text = str([(row.body, row.body_encrypted) for row in stored])

        shown = [answer[secret] for secret in SECRETS if answer.get(secret)]
        assert [secret for secret in shown if secret in text] == [], name
        assert stored, name


@pytest.mark.usefixtures("database_url")
def test_forty_at_once_with_one_key_make_one_post(
    app: Flask, owner: Person, auth_headers: dict[str, str]
) -> None:
    made, answers = posts_with_one_key(app, auth_headers, new_post(app, owner), requests=40)

    assert made == 1
    assert answers["made"] == 1
    assert set(answers) <= {"made", "replayed", "409"}
    with app.app_context():
        assert len(db.session.scalars(select(Post)).all()) == 1
