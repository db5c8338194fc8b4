"""X-HTTP-Method-Override: what is meant counts, but only at an upload's address."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from app.models import Upload
from tests import factories
from tests.factories import Person
from tests.routes.conftest import code, count
from tests.routes.test_uploads import BYTES, TUS


@pytest.fixture
def path(client: FlaskClient, auth_headers: dict[str, str]) -> str:
    """The address of an upload of a hundred bytes."""
    said = auth_headers | TUS | {"Upload-Length": "100"}
    return str(client.post("/api/v1/uploads", headers=said).headers["Location"])


def post(client: FlaskClient, path: str, meant: str, headers: dict[str, str], **more: Any) -> Any:
    return client.post(path, headers=headers | TUS | {"X-HTTP-Method-Override": meant}, **more)


def test_bytes_come_by_post_where_no_patch_gets_through(
    client: FlaskClient, auth_headers: dict[str, str], path: str
) -> None:
    said = auth_headers | {"Upload-Offset": "0", "Content-Type": BYTES}

    answer = post(client, path, "PATCH", said, data=b"ftyp")

    assert (answer.status_code, answer.headers["Upload-Offset"]) == (204, "4")


def test_a_head_that_is_meant_answers_no_body_and_says_so(
    client: FlaskClient, auth_headers: dict[str, str], path: str
) -> None:
    answer = post(client, path, "head", auth_headers)

    assert (answer.status_code, answer.headers["Upload-Offset"], answer.data) == (200, "0", b"")
    assert answer.headers["Content-Length"] == "0"


def test_an_upload_ends_by_post(
    app: Flask, client: FlaskClient, auth_headers: dict[str, str], path: str
) -> None:
    assert post(client, path, "DELETE", auth_headers).status_code == 204
    assert count(app, Upload) == 0


def test_rights_go_by_what_is_meant(app: Flask, client: FlaskClient, owner: Person, path: str) -> None:
    with app.app_context():
        viewer = factories.make_person()
        factories.make_membership(owner.workspace_id, viewer.user_id, role="viewer")
        token = factories.make_access_token(viewer)
    said = {"Authorization": f"Bearer {token}", "X-Workspace-Id": str(owner.workspace_id)}

    assert post(client, path, "HEAD", said).status_code == 200
    assert code(post(client, path, "DELETE", said))[0] == 403
    assert count(app, Upload) == 1


@pytest.mark.parametrize("meant", ["GET", "PUT", "OPTIONS", ""])
def test_other_methods_are_not_taken_for_it(
    client: FlaskClient, auth_headers: dict[str, str], path: str, meant: str
) -> None:
    assert post(client, path, meant, auth_headers).status_code == 405


def test_other_addresses_know_nothing_of_it(
    app: Flask, client: FlaskClient, auth_headers: dict[str, str], path: str
) -> None:
    elsewhere = post(client, f"/api/v1/videos/{uuid.uuid4()}", "DELETE", auth_headers)
    parts = post(client, f"{path}/parts", "DELETE", auth_headers, json={"part_numbers": [1]})
    got = client.get(path, headers=auth_headers | {"X-HTTP-Method-Override": "DELETE"})

    assert (elsewhere.status_code, parts.status_code, got.status_code) == (405, 409, 200)
    assert count(app, Upload) == 1
