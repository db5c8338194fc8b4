"""What tus clients ask for that is not spoken here, and uploads whose bytes are gone."""

# ruff: noqa: F811 - fixtures are imported by name

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from app.config import Settings
from app.models import Upload, Video
from tests.routes.conftest import code, count
from tests.routes.test_uploads import TUS, Patch, begin, files, patch  # noqa: F401 - some are fixtures


@pytest.mark.parametrize(
    ("header", "value", "instead"),
    [
        ("Upload-Concat", "partial", "one upload"),
        ("Upload-Concat", "final;/api/v1/uploads/a /api/v1/uploads/b", "one upload"),
        ("Upload-Defer-Length", "1", "Upload-Length"),
    ],
)
def test_what_is_not_spoken_is_refused_when_an_upload_begins(
    app: Flask, begin: Any, header: str, value: str, instead: str
) -> None:
    answer = begin(1000, **{header: value})

    assert code(answer) == (422, "VALIDATION_ERROR")
    (problem,) = answer.get_json()["error"]["details"][header]
    assert instead in problem
    assert count(app, Upload) == 0


@pytest.mark.parametrize("left", [None, 3000])
def test_an_upload_whose_file_is_gone_or_shorter_than_what_was_kept_ends(
    app: Flask, client: FlaskClient, auth_headers: dict[str, str], settings: Settings, begin: Any, patch: Patch,
    clip_bytes: bytes, left: int | None,
) -> None:  # fmt: skip
    path = begin(len(clip_bytes)).headers["Location"]
    patch(path, 0, clip_bytes[:5000])
    (file,) = files(settings)
    if left is None:
        file.unlink()
    else:
        file.write_bytes(clip_bytes[:left])

    answer = patch(path, 5000, clip_bytes[5000:])

    assert code(answer) == (410, "UPLOAD_GONE")
    assert client.head(path, headers=auth_headers | TUS).status_code == 410
    assert (files(settings), count(app, Video)) == ([], 0)
