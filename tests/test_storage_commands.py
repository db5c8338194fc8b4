from __future__ import annotations

import io
import uuid
from typing import Any

import pytest
from flask import Flask

from app import create_app
from app.services import instance
from app.storage import get_storage
from tests.database import dispose
from tests.factories import make_person, make_video


@pytest.fixture
def both(make_settings: Any, s3_settings: dict[str, str]) -> Any:
    app = create_app(make_settings(**s3_settings))
    with app.app_context():
        assert instance.check() is None
        yield app
    dispose(app)


def run(app: Flask, *words: str) -> tuple[int, str]:
    result = app.test_cli_runner().invoke(args=["storage", *words])
    return result.exit_code, result.output


def test_all_files_are_moved_and_counted(both: Flask) -> None:
    video = make_video(make_person().workspace_id, size_bytes=5, sha256="")
    get_storage().put_stream(video.key, io.BytesIO(b"bytes"), max_bytes=5)

    code, said = run(both, "copy", "--to", "s3")
    again = run(both, "copy", "--to", "s3")

    assert (code, "1 moved" in said) == (0, True)
    assert again[1].startswith("0 files")
    assert get_storage("s3").exists(video.key)


def test_a_missing_file_makes_the_exit_code_one(both: Flask) -> None:
    make_video(make_person().workspace_id)

    code, said = run(both, "copy", "--to", "s3")

    assert (code, "no file" in said) == (1, True)


def test_a_store_nobody_configured_is_a_clear_refusal(app: Flask) -> None:
    code, said = run(app, "copy", "--to", "s3")

    assert code == 1
    assert "S3_BUCKET" in said


@pytest.mark.parametrize(
    ("limit", "said"), [("1000", "may store 1000 bytes"), ("none", "any number"), ("default", "any number")]
)
def test_a_workspace_gets_a_limit_of_its_own(context: Flask, limit: str, said: str) -> None:
    code, output = run(context, "limit", str(make_person().workspace_id), limit)

    assert (code, said in output) == (0, True)


@pytest.mark.parametrize("limit", ["-1", "0", "1.5", "much"])
def test_no_number_is_no_limit(context: Flask, limit: str) -> None:
    assert run(context, "limit", "--", str(make_person().workspace_id), limit)[0] == 2


def test_a_workspace_that_is_not_there_is_told(context: Flask) -> None:
    code, output = run(context, "limit", str(uuid.uuid4()), "none")

    assert (code, "not found" in output) == (1, True)
