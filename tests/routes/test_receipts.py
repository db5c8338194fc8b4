from __future__ import annotations

from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import insert, update

from app import clock
from app.extensions import db
from app.models import Attempt, Rendition, Target, User
from tests.factories import Person
from tests.routes.conftest import Body, Send, code, row, set_state


@pytest.fixture
def target_id(app: Flask, send: Send, body: Body) -> str:
    """A target that was published 40 ms after its time, with one ledger row."""
    id_: str = send("POST", "/posts", body | {"caption": "<script>alert(1)</script>"}).get_json()["targets"][
        0
    ]["id"]
    found = row(app, id_)
    assert found.due_at is not None
    at = found.due_at + timedelta(milliseconds=40)
    set_state(
        app,
        id_,
        state="published",
        committed_at=found.due_at,
        published_at=at,
        permalink="https://example.com/p/1",
    )
    calls = [{"operation": "commit", "status": 201, "request_id": "req-1", "platform_log_id": "log-9"}]
    with app.app_context():
        db.session.execute(
            insert(Attempt).values(
                workspace_id=found.workspace_id, target_id=found.id, operation="commit", fence=1,
                outcome="Published", called_at=at, details={"calls": calls},
            )
        )  # fmt: skip
        db.session.commit()
    return id_


@pytest.mark.usefixtures("database_url")
def test_a_receipt_says_which_file_went_where_when_and_in_which_calls(
    app: Flask, send: Send, target_id: str
) -> None:
    receipt = send("GET", f"/targets/{target_id}/receipt").get_json()

    hash_ = row(app, target_id).content_hash
    assert (receipt["file"]["sha256"], receipt["file"]["original_sha256"]) == (hash_, hash_)
    assert (receipt["status"], receipt["lateness_seconds"]) == ("published", 0.04)
    assert receipt["permalink"] == "https://example.com/p/1"
    assert receipt["guarantee_text"].startswith("Exactly once")
    assert receipt["ordered_by"] and receipt["ordered_via"] == "api"
    (attempt,) = receipt["attempts"]
    assert attempt["details"]["calls"][0]["platform_log_id"] == "log-9"


def test_a_converted_video_has_the_hash_of_what_goes_out_beside_that_of_the_upload(
    app: Flask, client: FlaskClient, send: Send, target_id: str
) -> None:
    found = row(app, target_id)
    with app.app_context():
        made = Rendition(
            workspace_id=found.workspace_id, video_id=found.video_id, recipe={}, recipe_hash="r", state="ready",
            sha256="ab" * 32, size_bytes=1234, facts={"duration_seconds": 7.5},
        )  # fmt: skip
        db.session.add(made)
        db.session.flush()
        db.session.execute(update(Target).where(Target.id == found.id).values(rendition_id=made.id))
        db.session.commit()

    receipt = send("GET", f"/targets/{target_id}/receipt").get_json()

    sent = receipt["file"]
    assert (sent["sha256"], sent["size_bytes"], sent["duration_seconds"]) == ("ab" * 32, 1234, 7.5)
    assert sent["original_sha256"] == found.content_hash
    text = client.get(urlsplit(receipt["page_url"]).path).get_data(as_text=True)
    assert "ab" * 32 in text and found.content_hash in text and "1,234 bytes" in text


def test_a_file_made_anew_later_does_not_change_what_a_receipt_says_was_sent(
    app: Flask, send: Send, target_id: str
) -> None:
    found = row(app, target_id)
    with app.app_context():
        for outcome, sha256 in (
            ("Staged", "aa" * 32),
            ("Staged", "cd" * 32),
            ("PlatformAPIError", "ee" * 32),
        ):
            db.session.execute(
                insert(Attempt).values(
                    workspace_id=found.workspace_id, target_id=found.id, operation="stage", fence=1,
                    outcome=outcome, details={"calls": [], "file": {"sha256": sha256, "size_bytes": 77}},
                )
            )  # fmt: skip
        db.session.commit()

    sent = send("GET", f"/targets/{target_id}/receipt").get_json()["file"]

    assert (sent["sha256"], sent["size_bytes"]) == ("cd" * 32, 77)
    assert sent["original_sha256"] == found.content_hash


def test_its_page_opens_for_anybody_with_the_link_and_runs_nothing(
    client: FlaskClient, send: Send, target_id: str
) -> None:
    path = urlsplit(send("GET", f"/targets/{target_id}/receipt").get_json()["page_url"]).path

    page = client.get(path)

    text = page.get_data(as_text=True)
    assert page.status_code == 200
    assert "req-1" in text and "log-9" in text and "https://example.com/p/1" in text
    assert "<script" not in text and "&lt;script&gt;" in text


@pytest.mark.parametrize(
    ("columns", "program_reads", "page_shows"),
    [
        ({"name": ""}, "me@example.com", "via api"),
        ({"name": "Kim"}, "Kim", "by Kim, via api"),
        ({"name": "", "deleted_at": clock.now()}, None, "via api"),
    ],
)
def test_its_page_says_no_address_of_whoever_ordered_it(
    app: Flask, client: FlaskClient, owner: Person, send: Send, target_id: str,
    columns: Body, program_reads: str | None, page_shows: str,
) -> None:  # fmt: skip
    path = f"/targets/{target_id}/receipt"
    link = urlsplit(send("GET", path).get_json()["page_url"]).path
    with app.app_context():
        changed = {"email": "me@example.com"} | columns
        db.session.execute(update(User).where(User.id == owner.user_id).values(**changed))
        db.session.commit()

    page = client.get(link).get_data(as_text=True)

    assert "example.com</" not in page and "me@" not in page
    assert page_shows in page
    if program_reads is not None:  # whoever is gone reads nothing any more
        assert send("GET", path).get_json()["ordered_by"] == program_reads


def test_a_link_works_for_as_many_days_as_were_asked_for(
    client: FlaskClient, send: Send, target_id: str
) -> None:
    receipt = send("GET", f"/targets/{target_id}/receipt?link_days=2").get_json()
    path = urlsplit(receipt["page_url"]).path

    opened = []
    for hours in (47, 49):
        with time_machine.travel(clock.now() + timedelta(hours=hours)):
            opened.append(client.get(path).status_code)

    assert opened == [200, 403]


@pytest.mark.parametrize("days", ["0", "91", "x"])
def test_a_link_works_for_one_to_ninety_days(send: Send, target_id: str, days: str) -> None:
    answer = send("GET", f"/targets/{target_id}/receipt?link_days={days}")

    assert code(answer) == (422, "VALIDATION_ERROR")


@pytest.mark.parametrize("change", ["forged", "expired"])
def test_a_link_that_is_forged_or_too_old_opens_nothing(
    client: FlaskClient, send: Send, target_id: str, change: str
) -> None:
    path = urlsplit(send("GET", f"/targets/{target_id}/receipt").get_json()["page_url"]).path
    late = clock.now() + timedelta(days=91 if change == "expired" else 0)

    with time_machine.travel(late):
        answer = client.get(path if change == "expired" else path[:-3] + "abc")

    assert answer.status_code == 403
    assert "req-1" not in answer.get_data(as_text=True)


def test_another_workspaces_receipt_does_not_exist(
    client: FlaskClient, target_id: str, other_headers: dict[str, str]
) -> None:
    answer: Any = client.get(f"/api/v1/targets/{target_id}/receipt", headers=other_headers)

    assert code(answer) == (404, "RESOURCE_NOT_FOUND")
