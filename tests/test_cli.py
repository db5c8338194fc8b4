from __future__ import annotations

from flask import Flask
from sqlalchemy import select

from app.extensions import db
from app.models import Membership, User


def test_create_user_makes_somebody_who_can_log_in(app: Flask) -> None:
    command = ["create-user", "Ada@example.com", "--password", "correct horse"]

    made = app.test_cli_runner().invoke(args=command)
    again = app.test_cli_runner().invoke(args=command)

    assert (made.exit_code, made.output.strip()) == (0, "Ada@example.com may log in now.")
    assert again.exit_code == 1
    assert "registered already" in again.output
    login = {"email": "ada@example.com", "password": "correct horse"}
    assert app.test_client().post("/api/v1/auth/login", json=login).status_code == 200
    with app.app_context():
        assert db.session.scalars(
            select(Membership.role).join(User, User.id == Membership.user_id)
        ).all() == ["owner"]


def test_create_user_refuses_what_registering_refuses(app: Flask) -> None:
    for email, password in (("ada", "correct horse"), ("ada@example.com", "short")):
        answer = app.test_cli_runner().invoke(args=["create-user", email, "--password", password])
        assert answer.exit_code == 2


def test_settings_shows_what_is_in_force_without_secrets(app: Flask) -> None:
    output = app.test_cli_runner().invoke(args=["settings"]).output

    assert "REGISTRATION=open" in output
    assert "JWT_SECRET_KEY=(set)" in output
    assert "SENTRY_DSN=(not set)" in output
    assert "j" * 40 not in output


def test_settings_example_is_the_env_example(app: Flask) -> None:
    output = app.test_cli_runner().invoke(args=["settings", "--example"]).output

    assert "#REGISTRATION=invitation" in output
