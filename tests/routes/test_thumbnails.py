"""Thumbnails by the API: chosen, sent, refused, and as covers of posts."""

from __future__ import annotations

import uuid

import pytest
from flask import Flask
from flask.testing import FlaskClient

from app.extensions import db
from app.models import Video
from tests import factories
from tests.clips import picture_bytes
from tests.factories import Person
from tests.routes.conftest import Body, Send, code


def give_thumbnail(app: Flask, video_id: str, *, at: float | None, size: int = 1000) -> None:
    with app.app_context():
        row = db.session.get_one(Video, uuid.UUID(video_id))
        row.thumbnail_key, row.thumbnail_backend = "videos/x/thumbnail.jpg", "folder"
        row.thumbnail_at, row.thumbnail_bytes = at, size
        db.session.commit()


def test_a_frame_is_asked_for_by_its_time(send: Send, body: Body) -> None:
    answer = send("PUT", f"/videos/{body['video_id']}/thumbnail", {"at_seconds": 3.2})

    assert answer.status_code == 202
    assert answer.json["thumbnail_pending"] is True
    assert send("GET", f"/videos/{body['video_id']}").json["thumbnail_pending"] is True


@pytest.mark.parametrize("at", [-1, "soon", 8.0])
def test_no_moment_of_the_video_is_refused(send: Send, body: Body, at: object) -> None:
    answer = send("PUT", f"/videos/{body['video_id']}/thumbnail", {"at_seconds": at})

    assert code(answer) == (422, "VALIDATION_ERROR")
    assert "at_seconds" in answer.json["error"]["details"]


def test_a_picture_is_sent_and_shown(client: FlaskClient, auth_headers: dict[str, str], body: Body) -> None:
    path = f"/api/v1/videos/{body['video_id']}/thumbnail"

    answer = client.put(
        f"{path}/image", data=picture_bytes("png"), content_type="image/png", headers=auth_headers
    )

    assert (answer.status_code, answer.json["thumbnail_at"]) == (200, None)
    shown = client.get(answer.json["thumbnail_url"].removeprefix("http://127.0.0.1:8000"))
    assert shown.data.startswith(b"\xff\xd8\xff")
    assert shown.content_type == "image/jpeg"


@pytest.mark.parametrize(
    ("content_type", "data", "expected"),
    [
        ("image/svg+xml", b"<svg/>", (415, "UNSUPPORTED_MEDIA_TYPE")),
        ("image/png", b"<svg/>", (422, "VIDEO_VALIDATION_ERROR")),
        ("image/jpeg", b"", (422, "VIDEO_VALIDATION_ERROR")),
    ],
)
def test_what_is_no_picture_is_refused(
    client: FlaskClient,
    auth_headers: dict[str, str],
    body: Body,
    content_type: str,
    data: bytes,
    expected: tuple[int, str],
) -> None:
    path = f"/api/v1/videos/{body['video_id']}/thumbnail/image"

    answer = client.put(path, data=data, content_type=content_type, headers=auth_headers)

    assert code(answer) == expected


def test_a_cover_the_platform_cannot_take_is_told_before_anything_is_scheduled(
    app: Flask, send: Send, body: Body
) -> None:
    body["options"] = {"tiktok": {"privacy_level": "SELF_ONLY", "use_thumbnail": True}}
    without = send("POST", "/posts?dry_run=true", body)
    give_thumbnail(app, body["video_id"], at=None)
    picture = send("POST", "/posts?dry_run=true", body)
    give_thumbnail(app, body["video_id"], at=1.0)
    frame = send("POST", "/posts?dry_run=true", body)

    for answer, words in ((without, "no thumbnail"), (picture, "a frame of the video")):
        assert code(answer) == (422, "PLATFORM_VALIDATION_ERROR")
        assert words in answer.json["error"]["details"]["targets.0.options.use_thumbnail"][0]
    assert frame.status_code == 200


def test_a_picture_too_large_for_the_platform_names_both_sizes(
    app: Flask, owner: Person, send: Send, body: Body
) -> None:
    with app.app_context():
        channel = factories.make_channel(owner.workspace_id, platform="instagram")
    give_thumbnail(app, body["video_id"], at=None, size=9_000_000)
    asked = {"targets": [{"channel_id": str(channel.id)}], "options": {"instagram": {"use_thumbnail": True}}}

    answer = send("POST", "/posts", body | asked)

    (problem,) = answer.json["error"]["details"]["targets.0.options.use_thumbnail"]
    assert "8000000" in problem and "9000000" in problem
