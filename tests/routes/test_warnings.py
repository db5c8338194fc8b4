"""What is warned of when something is scheduled: connections that end before, days that are promised away."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import event, update

from app import clock
from app.extensions import db
from app.models import Channel, Credential, Target
from app.services import quotas
from tests import factories
from tests.factories import Person
from tests.routes.conftest import Body, Send

HOUR = timedelta(hours=1)


def change(app: Flask, model: type, **columns: Any) -> None:
    with app.app_context():
        db.session.execute(update(model).values(**columns))
        db.session.commit()


def due(body: Body) -> datetime:
    return datetime.fromisoformat(body["scheduled_at"])


def warned(answer: Any) -> list[tuple[str, str]]:
    (target,) = answer.json["targets"]
    return [(warning["code"], warning["details"].get("reason", "")) for warning in target["warnings"]]


ENDS = [
    (False, {"expires_at": -HOUR}, "ends"),
    (False, {"expires_at": HOUR}, None),
    (False, {"expires_at": None, "refresh_expires_at": -HOUR}, "ends"),
    (True, {"expires_at": -HOUR, "refresh_expires_at": HOUR}, None),
    (True, {"expires_at": -HOUR, "refresh_expires_at": -HOUR}, "ends"),
    (True, {"expires_at": -HOUR}, None),
]
IDS = [
    "not renewable and too short",
    "not renewable and long enough",
    "access to data ends",
    "renewable",
    "the grant ends",
    "renewable for ever",
]


@pytest.mark.parametrize(("renewable", "ends", "reason"), ENDS, ids=IDS)
@pytest.mark.usefixtures("database_url")
def test_a_connection_that_ends_before_the_due_time_is_warned_of(
    app: Flask,
    send: Send,
    body: Body,
    *,
    renewable: bool,
    ends: dict[str, timedelta | None],
    reason: str | None,
) -> None:
    columns: dict[str, Any] = {name: due(body) + after if after else None for name, after in ends.items()}
    change(app, Credential, **columns, **({} if renewable else {"refresh_token_encrypted": None}))
    expected = [("GRANT_ENDS_BEFORE_DUE", reason)] if reason else []

    previewed = send("POST", "/posts?dry_run=true", body)
    made = send("POST", "/posts", body)
    read = send("GET", f"/posts/{made.json['id']}")
    target = send("GET", f"/targets/{made.json['targets'][0]['id']}").json

    assert [warned(answer) for answer in (previewed, made, read)] == [expected] * 3
    assert target["warnings"] == read.json["targets"][0]["warnings"]


@pytest.mark.parametrize("model", [Channel, Credential])
def test_a_connection_that_has_ended_is_warned_of(app: Flask, send: Send, body: Body, model: type) -> None:
    change(app, model, status="needs_reconnect")

    assert warned(send("POST", "/posts", body)) == [("GRANT_ENDS_BEFORE_DUE", "needs_reconnect")]


def test_a_new_time_is_warned_of_anew(app: Flask, send: Send, body: Body) -> None:
    change(app, Credential, refresh_expires_at=due(body) + HOUR)
    made = send("POST", "/posts", body)

    later = {"scheduled_at": clock.isoformat(due(body) + 2 * HOUR)}
    patched = send("PATCH", f"/posts/{made.json['id']}", later)

    assert (warned(made), warned(patched)) == ([], [("GRANT_ENDS_BEFORE_DUE", "ends")])


def test_what_is_over_is_not_warned_of(app: Flask, send: Send, body: Body) -> None:
    change(app, Credential, status="needs_reconnect")
    made = send("POST", "/posts", body)

    assert warned(send("POST", f"/posts/{made.json['id']}/cancel")) == []


def test_a_day_that_is_promised_away_is_warned_of(
    send: Send, body: Body, monkeypatch: pytest.MonkeyPatch
) -> None:
    window = {"starts_at": "2027-01-01T00:00:00Z", "ends_at": "2027-01-02T00:00:00Z"}
    facts = {"bucket": "posts", "limit": 15, "promised": 15, "window": window}
    monkeypatch.setattr(quotas, "promised_away", lambda targets: {target.id: facts for target in targets})

    (target,) = send("POST", "/posts", body | {"if_over_quota": "defer"}).json["targets"]

    (warning,) = target["warnings"]
    assert (warning["code"], warning["details"]) == ("QUOTA_PROMISED", facts)
    assert "15 are planned already: this one waits for the next window unless" in warning["message"]


@pytest.mark.parametrize(
    ("late", "then"), [(timedelta(), "is missed"), (HOUR, "waits for the next window, but")]
)
def test_a_limit_before_the_next_window_is_warned_of(
    send: Send, body: Body, monkeypatch: pytest.MonkeyPatch, late: timedelta, then: str
) -> None:
    ends_at = due(body) + HOUR
    window = {"starts_at": clock.isoformat(due(body)), "ends_at": clock.isoformat(ends_at)}
    facts = {"bucket": "posts", "limit": 15, "promised": 15, "window": window}
    monkeypatch.setattr(quotas, "promised_away", lambda targets: {target.id: facts for target in targets})
    terms = {"if_over_quota": "defer", "late_until": clock.isoformat(ends_at + late)}

    previewed = send("POST", "/posts?dry_run=true", body | terms).json["targets"][0]
    made = send("POST", "/posts", body | terms).json["targets"][0]
    read = send("GET", f"/targets/{made['id']}").json

    for target in (previewed, made, read):
        (warning,) = target["warnings"]
        assert f"this one {then}" in warning["message"]


def test_an_edit_of_what_waits_for_a_quota_leaves_it_its_time(app: Flask, send: Send, body: Body) -> None:
    made = send("POST", "/posts", body | {"if_over_quota": "defer"}).json
    until = due(body) + 20 * HOUR
    change(app, Target, hold="quota", hold_until=until)

    send("PATCH", f"/posts/{made['id']}", {"caption": "Another"})

    read = send("GET", f"/targets/{made['targets'][0]['id']}").json
    assert read["late_until"] == clock.isoformat(until + 2 * HOUR)


def test_lists_do_not_say(send: Send, body: Body) -> None:
    send("POST", "/posts", body)

    assert send("GET", "/targets").json["data"][0]["warnings"] is None


@contextmanager
def counted(app: Flask) -> Iterator[list[str]]:
    """Yield a list that fills with the statements the database is sent inside."""
    sent: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        sent.append(statement)

    with app.app_context():
        engine = db.engine
    event.listen(engine, "before_cursor_execute", note)
    yield sent
    event.remove(engine, "before_cursor_execute", note)


def test_more_targets_are_not_more_queries(app: Flask, owner: Person, send: Send, body: Body) -> None:
    with app.app_context():
        more = [str(factories.make_channel(owner.workspace_id).id) for _ in range(5)]
    one = send("POST", "/posts", body).json["id"]
    video = {"video_id": str(uuid.UUID(body["video_id"]))}
    many = send("POST", "/posts", body | video | {"targets": [{"channel_id": id_} for id_ in more]}).json[
        "id"
    ]

    counts = []
    for post_id in (one, many):
        with counted(app) as sent:
            send("GET", f"/posts/{post_id}")
        counts.append(len(sent))

    assert counts[0] == counts[1]
