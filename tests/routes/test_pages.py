from __future__ import annotations

from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from app import create_app
from app.extensions import limiter
from app.services import deletion
from tests.conftest import SettingsMaker
from tests.database import dispose

PAGES = ["privacy", "terms"]


def own(folder: Path, name: str, text: str) -> None:
    (folder / "pages").mkdir(exist_ok=True)
    (folder / "pages" / name).write_text(text)


@pytest.mark.parametrize("name", PAGES)
def test_a_page_names_who_runs_this(make_settings: SettingsMaker, name: str) -> None:
    app = create_app(make_settings(operator_name="Ada & Sons", operator_email="ada@example.com"))
    answer = app.test_client().get(f"/{name}")
    assert (answer.status_code, answer.mimetype) == (200, "text/html")
    assert "Ada &amp; Sons" in answer.text
    assert 'href="mailto:ada@example.com"' in answer.text
    assert "TikTok" in answer.text
    dispose(app)


@pytest.mark.parametrize("name", PAGES)
def test_a_page_stands_without_an_operators_name(client: FlaskClient, name: str) -> None:
    text = client.get(f"/{name}").text
    assert "whoever installed it" in text
    assert "mailto:" not in text


def test_an_operators_plain_text_wins_and_is_only_text(client: FlaskClient, tmp_path: Path) -> None:
    own(tmp_path, "privacy.txt", "First <b>one</b>.\n\nSecond.")
    text = client.get("/privacy").text
    assert "<p>First &lt;b&gt;one&lt;/b&gt;.</p>\n<p>Second.</p>" in text
    assert "whoever installed it" not in text


def test_an_operators_markdown_is_shown_and_its_html_is_text(client: FlaskClient, tmp_path: Path) -> None:
    own(tmp_path, "terms.md", "# Ours\n\n- a *point*\n\n<script>x</script> [no](javascript:x)")
    text = client.get("/terms").text
    assert "<h1>Ours</h1>" in text and "<em>point</em>" in text
    assert "<script>" not in text and 'href="javascript' not in text


def test_an_operators_html_goes_out_as_it_is_and_runs_nothing(client: FlaskClient, tmp_path: Path) -> None:
    own(tmp_path, "privacy.html", "<h2>Datenschutz</h2>")
    answer = client.get("/privacy")
    assert "<h2>Datenschutz</h2>" in answer.text
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert "script-src" not in answer.headers["Content-Security-Policy"]


def test_one_page_of_their_own_leaves_the_other_alone(client: FlaskClient, tmp_path: Path) -> None:
    own(tmp_path, "privacy.txt", "Ours")
    assert "Terms of use" in client.get("/terms").text


def test_a_code_shows_that_the_wish_was_met(app: Flask, client: FlaskClient) -> None:
    with app.app_context():
        answer = deletion.forget(["tiktok"], "person-1")
    page = client.get(answer["url"].removeprefix("http://127.0.0.1:8000"))
    assert (page.status_code, "Done" in page.text, "TikTok" in page.text) == (200, True, True)
    assert "person-1" not in page.text


@pytest.mark.parametrize("code", ["nosuch", "%00", "x" * 500])
@pytest.mark.usefixtures("database_url")
def test_an_unknown_code_says_so(client: FlaskClient, code: str) -> None:
    page = client.get(f"/data-deletion/{code}")
    assert (page.status_code, "no deletion request" in page.text) == (404, True)


@pytest.mark.parametrize("page", ["reset-password", "invitation"])
@pytest.mark.parametrize("kind", ["application/json", "application/x-www-form-urlencoded"])
def test_a_form_longer_than_any_is_not_read(client: FlaskClient, page: str, kind: str) -> None:
    answer = client.post(f"/{page}", data=b"a=" + b"x" * 100_000, content_type=kind)

    assert answer.status_code == 413
    assert not limiter._storage_dead
