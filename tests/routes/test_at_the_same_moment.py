"""Two requests at the same moment: what one of them has read is another's by the time it acts."""

from __future__ import annotations

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select, update

from app.exceptions import AuthenticationError, AuthorizationError, StateConflictError
from app.extensions import db
from app.models import LoginSession, Membership, User
from app.security import hash_password
from app.services import accounts, auth, members
from tests.factories import PASSWORD, Person, make_membership, make_person, make_user
from tests.routes.conftest import Body, Send

pytestmark = pytest.mark.usefixtures("database_url")
OTHER = "another one of twelve"


@pytest.fixture
def person(app: Flask) -> Person:
    """Somebody with a password."""
    with app.app_context():
        made = make_person()
        db.session.execute(update(User).values(password_hash=hash_password(PASSWORD)))
        db.session.commit()
        return made


@pytest.fixture
def reset_while_hashing(monkeypatch: pytest.MonkeyPatch, app: Flask) -> None:
    """The person's password is reset while the one that was sent is checked."""
    verify = auth.verify_password

    def slow(stored: str | None, password: str) -> bool:
        is_right = verify(stored, password)
        db.session.execute(update(User).values(password_hash=hash_password(OTHER)))
        db.session.commit()
        return is_right

    for module in (auth, accounts):
        monkeypatch.setattr(module, "verify_password", slow)


@pytest.mark.usefixtures("reset_while_hashing")
def test_a_login_with_the_password_of_before_a_reset_begins_no_session(app: Flask, person: Person) -> None:
    with app.app_context():
        with pytest.raises(AuthenticationError):
            auth.log_in(email=person.email, password=PASSWORD)
        assert db.session.scalars(select(LoginSession.id)).all() == []


@pytest.mark.usefixtures("reset_while_hashing")
def test_a_change_of_password_does_not_undo_a_reset(app: Flask, person: Person) -> None:
    with app.app_context():
        with pytest.raises(StateConflictError):
            accounts.change_password(person.principal, current_password=PASSWORD, new_password="x" * 20)
        stored = db.session.get_one(User, person.user_id, populate_existing=True).password_hash
        assert auth.verify_password(stored, OTHER)


def test_who_is_no_owner_any_more_appoints_and_removes_nobody(app: Flask, person: Person) -> None:
    with app.app_context():
        other = make_user()
        make_membership(person.workspace_id, other.id, role="viewer")
        db.session.execute(
            update(Membership).where(Membership.user_id == person.user_id).values(role="editor")
        )
        db.session.commit()

        for act in (
            lambda: members.transfer(person.principal, other.id),
            lambda: members.set_role(person.principal, other.id, role="owner"),
            lambda: members.remove(person.principal, other.id),
        ):
            with pytest.raises(AuthorizationError):
                act()
        roles = db.session.scalars(select(Membership.role).where(Membership.user_id == other.id)).all()
        assert roles == ["viewer"]


def test_an_edit_that_read_a_post_before_it_was_cancelled_changes_nothing(
    client: FlaskClient, send: Send, body: Body
) -> None:
    made = send("POST", "/posts", body)
    path = f"/posts/{made.get_json()['id']}"
    cancelled = send("POST", f"{path}/cancel")

    late = send("PATCH", path, {"title": "Mine"}, If_Match=made.headers["ETag"])

    assert cancelled.headers["ETag"] != made.headers["ETag"]
    assert late.status_code == 412
