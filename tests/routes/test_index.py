from __future__ import annotations

from flask import Flask
from flask.testing import FlaskClient

from app import create_app
from app.embedded import free_port
from app.queue import carrier
from tests.conftest import SettingsMaker
from tests.database import dispose
from tests.factories import make_user


def page(app: Flask) -> str:
    answer = app.test_client().get("/")
    assert answer.status_code == 200
    assert answer.mimetype == "text/html"
    return answer.get_data(as_text=True)


def test_the_start_page_says_where_everything_is(make_settings: SettingsMaker) -> None:
    app = create_app(make_settings(sandbox_url="http://127.0.0.1:8090"))

    text = page(app)

    for link in ("/docs", "/openapi.json", "/health/detailed", "/metrics", "http://127.0.0.1:8090/feed"):
        assert f'href="{link}"' in text
    dispose(app)


def test_it_says_what_was_heard_from(app: Flask) -> None:
    assert page(app).count("none heard from") == 5
    with app.app_context():
        carrier().beat("dispatcher")
        carrier().beat("worker.stage")

    text = page(app)

    assert text.count("1 heard from") == 2
    assert text.count("none heard from") == 3


def test_without_redis_it_says_that_it_does_not_know(make_settings: SettingsMaker) -> None:
    app = create_app(make_settings(redis_url=f"redis://127.0.0.1:{free_port()}/0"))

    assert page(app).count("Redis does not answer") == 5
    dispose(app)


def test_outsiders_are_not_told_when_details_are_for_insiders(make_settings: SettingsMaker) -> None:
    app = create_app(make_settings(health_details="token", app_env="production", sandbox_url="http://x"))

    text = page(app)

    assert "heard from" not in text
    assert "Sandbox" not in text
    dispose(app)


def test_the_first_step_is_to_register_while_nobody_is_here(app: Flask, client: FlaskClient) -> None:
    assert "Nobody has registered yet" in page(app)
    with app.app_context():
        make_user()

    assert "Nobody has registered yet" not in page(app)
