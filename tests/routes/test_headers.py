from __future__ import annotations

from collections.abc import Iterator

import pytest
from flask import Flask, request
from flask.testing import FlaskClient

from app import create_app
from tests.conftest import SettingsMaker
from tests.database import dispose

ORIGIN = "https://app.example.com"


@pytest.fixture
def public(make_settings: SettingsMaker) -> Iterator[Flask]:
    """The application behind one proxy at an https address, with one origin let in."""
    app = create_app(
        make_settings(public_url="https://video.example.com", trusted_proxies=1, cors_origins=(ORIGIN,))
    )
    app.add_url_rule("/address", view_func=lambda: f"{request.remote_addr} {request.scheme}")
    yield app
    dispose(app)


@pytest.mark.parametrize("path", ["/", "/health", "/api/v1/auth/me", "/nowhere"])
def test_every_answer_is_protected(client: FlaskClient, path: str) -> None:
    headers = client.get(path).headers

    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert "Strict-Transport-Security" not in headers


def test_pages_may_use_only_the_style_of_their_own_nonce(client: FlaskClient) -> None:
    first, second = client.get("/"), client.get("/")

    policy = first.headers["Content-Security-Policy"]
    nonce = policy.partition("'nonce-")[2].partition("'")[0]
    assert "script" not in policy
    assert f'<style nonce="{nonce}">' in first.get_data(as_text=True)
    assert policy != second.headers["Content-Security-Policy"]


def test_answers_of_the_api_are_not_stored(client: FlaskClient, auth_headers: dict[str, str]) -> None:
    assert client.get("/api/v1/auth/me", headers=auth_headers).headers["Cache-Control"] == "no-store"


def test_https_is_kept_once_seen(public: Flask) -> None:
    assert public.test_client().get("/health").headers["Strict-Transport-Security"] == "max-age=31536000"


def test_no_other_site_may_read_answers_unless_configured(client: FlaskClient) -> None:
    answer = client.get("/health", headers={"Origin": ORIGIN})

    assert "Access-Control-Allow-Origin" not in answer.headers


def test_a_configured_origin_may_and_no_other(public: Flask) -> None:
    client = public.test_client()

    allowed = client.get("/api/v1/auth/me", headers={"Origin": ORIGIN})
    refused = client.get("/api/v1/auth/me", headers={"Origin": ORIGIN + ".evil.example"})

    assert allowed.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert "X-Request-Id" in allowed.headers["Access-Control-Expose-Headers"]
    assert "Access-Control-Allow-Origin" not in refused.headers
    assert "Origin" in refused.headers["Vary"]
    assert "Access-Control-Allow-Credentials" not in allowed.headers


def test_a_preflight_names_what_may_be_sent(public: Flask) -> None:
    asked = {"Origin": ORIGIN, "Access-Control-Request-Method": "POST"}

    answer = public.test_client().options("/api/v1/api-keys", headers=asked)

    assert answer.status_code == 200
    assert "POST" in answer.headers["Access-Control-Allow-Methods"]
    assert "Authorization" in answer.headers["Access-Control-Allow-Headers"]


def test_the_address_is_what_the_trusted_proxy_says_and_no_more(public: Flask, app: Flask) -> None:
    app.add_url_rule("/address", view_func=lambda: f"{request.remote_addr} {request.scheme}")
    forwarded = {"X-Forwarded-For": "6.6.6.6, 203.0.113.9", "X-Forwarded-Proto": "https"}

    behind_one = public.test_client().get("/address", headers=forwarded)
    behind_none = app.test_client().get("/address", headers=forwarded)

    assert behind_one.get_data(as_text=True) == "203.0.113.9 https"
    assert behind_none.get_data(as_text=True) == "127.0.0.1 http"
