from __future__ import annotations

import io
import socket
import struct
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, select
from werkzeug.datastructures import FileStorage
from werkzeug.serving import make_server
from werkzeug.test import encode_multipart

from app.config import Settings
from app.extensions import db
from app.models import Upload, Video
from app.services import measuring
from tests.factories import Person, make_api_key, make_channel, make_person, make_post

Post = Callable[..., Any]
LIMIT = 2_000_000


@pytest.fixture
def settings(make_settings: Callable[..., Settings]) -> Settings:
    return make_settings(max_upload_bytes=LIMIT)


@pytest.fixture
def person(app: Flask) -> Person:
    with app.app_context():
        return make_person()


@pytest.fixture
def auth(app: Flask, person: Person) -> dict[str, str]:
    with app.app_context():
        return {"Authorization": f"Bearer {make_api_key(person)}"}


@pytest.fixture
def send(client: FlaskClient, auth: dict[str, str]) -> Post:
    """Send a body as a video and return the answer."""

    def post(body: bytes, *, query: str = "", headers: dict[str, str] | None = None, **options: Any) -> Any:
        options = {"content_type": "video/mp4"} | options
        return client.post(f"/api/v1/videos{query}", data=body, headers=auth | (headers or {}), **options)

    return post


def send_form(send: Post, data: bytes, *, filename: str, **texts: str) -> Any:
    file = FileStorage(io.BytesIO(data), filename=filename, name="file")
    boundary, body = encode_multipart({**texts, "file": file})
    return send(body, content_type=f"multipart/form-data; boundary={boundary}")


def rows(app: Flask) -> tuple[int, int]:
    """Return how many videos and uploads the database knows."""
    with app.app_context():
        counts = (db.session.scalar(select(func.count()).select_from(model)) for model in (Video, Upload))
        return tuple(counts)  # type: ignore[return-value]


def stored_files(settings: Settings) -> list[Path]:
    return [path for path in settings.storage_dir.rglob("*") if path.is_file()]


def test_a_video_sent_as_the_body_is_taken_in(send: Post, clip_bytes: bytes) -> None:
    answer = send(clip_bytes, query="?title=Hello", headers={"X-Filename": "my%20clip.mp4"})

    assert answer.status_code == 201
    assert answer.json["state"] == "processing"
    assert (answer.json["title"], answer.json["filename"]) == ("Hello", "my clip.mp4")
    assert answer.json["size_bytes"] == len(clip_bytes)
    assert answer.headers["Location"].endswith(answer.json["id"])


def test_a_video_sent_as_a_form_is_the_same_and_recognised(send: Post, clip_bytes: bytes) -> None:
    first = send(clip_bytes).json

    answer = send_form(send, clip_bytes, filename="../again.mp4", title="Again", description="Words")

    assert answer.status_code == 201
    assert (answer.json["title"], answer.json["description"]) == ("Again", "Words")
    assert (answer.json["filename"], answer.json["content_type"]) == ("again.mp4", "video/mp4")
    assert (answer.json["sha256"], answer.json["duplicate_of"]) == (first["sha256"], first["id"])


def test_the_stored_file_is_exactly_what_was_sent(send: Post, settings: Settings, clip_bytes: bytes) -> None:
    send(clip_bytes)

    (path,) = stored_files(settings)
    assert path.read_bytes() == clip_bytes


@pytest.mark.parametrize(
    ("body", "word"),
    [
        (b"", "empty"),
        (b"just some text", "not a video"),
        (b"#EXTM3U\n/etc/passwd\n", "playlist"),
        (struct.pack(">I", 16) + b"ftypisom\0\0\0\0" + struct.pack(">I", 99) + b"mdat", "cut off"),
    ],
)
def test_what_is_no_whole_video_is_refused_and_leaves_nothing(
    app: Flask, send: Post, settings: Settings, body: bytes, word: str
) -> None:
    answer = send(body)

    assert answer.status_code == 422
    assert answer.json["error"]["code"] == "VIDEO_VALIDATION_ERROR"
    assert word in answer.json["error"]["message"]
    assert rows(app) == (0, 0)
    assert stored_files(settings) == []


def test_a_video_over_the_limit_is_refused_before_it_is_read(app: Flask, send: Post) -> None:
    answer = send(b"", environ_overrides={"CONTENT_LENGTH": str(LIMIT + 1)})

    assert answer.status_code == 413
    assert answer.json["error"]["code"] == "PAYLOAD_TOO_LARGE"
    assert answer.json["error"]["details"] == {"found": LIMIT + 1, "allowed": LIMIT}
    assert rows(app) == (0, 0)


def test_a_form_whose_file_is_over_the_limit_is_refused_while_reading(
    app: Flask, send: Post, settings: Settings, clip_bytes: bytes
) -> None:
    answer = send_form(send, clip_bytes + b"\0" * LIMIT, filename="a.mp4")

    assert answer.status_code == 413
    assert answer.json["error"]["details"]["allowed"] == LIMIT
    assert rows(app) == (0, 0)
    assert stored_files(settings) == []


def test_a_body_that_says_it_is_something_else_is_refused(send: Post, clip_bytes: bytes) -> None:
    answer = send(clip_bytes, content_type="application/json")

    assert answer.status_code == 415
    assert "video/*" in answer.json["error"]["message"]


@pytest.mark.parametrize("query", ["?title=" + "x" * 501, "?colour=red", "?title=a%00b"])
def test_texts_that_cannot_be_kept_are_refused_before_the_file_is_read(
    app: Flask, send: Post, query: str
) -> None:
    assert send(b"x", query=query).status_code == 422
    assert rows(app) == (0, 0)


def test_a_repeated_upload_with_the_same_key_is_answered_from_the_first(
    app: Flask, send: Post, clip_bytes: bytes
) -> None:
    key = {"Idempotency-Key": "once"}

    first, again = send(clip_bytes, headers=key), send(clip_bytes, headers=key)
    other = send(clip_bytes + b"\0\0\0\x08free", headers=key)

    assert (first.status_code, again.status_code, other.status_code) == (201, 201, 422)
    assert again.json["id"] == first.json["id"]
    assert again.headers["Idempotency-Replayed"] == "true"
    assert rows(app) == (1, 0)


def test_a_refused_upload_may_be_repeated_with_its_key(send: Post, clip_bytes: bytes) -> None:
    key = {"Idempotency-Key": "once"}

    assert send(clip_bytes[:-10], headers=key).status_code == 422
    assert send(clip_bytes, headers=key).status_code == 201


def test_a_viewers_key_cannot_send_a_video(
    app: Flask, client: FlaskClient, person: Person, clip_bytes: bytes
) -> None:
    with app.app_context():
        key = make_api_key(person, scopes=("read",))

    answer = client.post(
        "/api/v1/videos",
        data=clip_bytes,
        content_type="video/mp4",
        headers={"Authorization": f"Bearer {key}"},
    )

    assert answer.status_code == 403


@pytest.fixture
def address(app: Flask) -> Iterator[tuple[str, int]]:
    """The application behind a real socket."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield ("127.0.0.1", server.server_port)
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_sender_that_goes_away_leaves_nothing(
    app: Flask, address: tuple[str, int], auth: dict[str, str], settings: Settings, clip_bytes: bytes
) -> None:
    head = (
        f"POST /api/v1/videos HTTP/1.1\r\nHost: x\r\nContent-Type: video/mp4\r\n"
        f"Authorization: {auth['Authorization']}\r\nContent-Length: {len(clip_bytes)}\r\n\r\n"
    )
    with socket.create_connection(address, timeout=5) as connection:
        connection.sendall(head.encode() + clip_bytes[: len(clip_bytes) // 2])
        _wait_until(lambda: rows(app) == (0, 1))

    _wait_until(lambda: rows(app) == (0, 0))
    assert stored_files(settings) == []


def _wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


# -- after it was measured


@pytest.fixture
def ready(
    app: Flask, client: FlaskClient, send: Post, auth: dict[str, str], clip_bytes: bytes
) -> dict[str, Any]:
    """A measured video, as the API shows it."""
    made = send(clip_bytes).json
    with app.app_context():
        measuring.measure(uuid.UUID(made["id"]), 0)
    return dict(client.get(f"/api/v1/videos/{made['id']}", headers=auth).json)


def test_a_ready_video_shows_its_facts_and_its_links(ready: dict[str, Any]) -> None:
    assert ready["state"] == "ready"
    assert (ready["facts"]["width"], ready["facts"]["height"]) == (180, 320)
    assert ready["file_url"].startswith("http://127.0.0.1:8000/files/")
    assert ready["thumbnail_url"]
    assert ready["error"] is None


def test_its_file_and_its_picture_are_reached_by_redirect(
    client: FlaskClient, auth: dict[str, str], ready: dict[str, Any], clip_bytes: bytes
) -> None:
    path = f"/api/v1/videos/{ready['id']}"

    to_file, to_picture = (client.get(f"{path}/{name}", headers=auth) for name in ("file", "thumbnail"))
    file, picture = (client.get(urlsplit(answer.location).path) for answer in (to_file, to_picture))

    assert (to_file.status_code, to_picture.status_code) == (302, 302)
    assert file.data == clip_bytes
    assert picture.data.startswith(b"\xff\xd8")
    assert picture.content_type == "image/jpeg"


def test_the_list_is_newest_first_and_comes_in_pages(
    client: FlaskClient, auth: dict[str, str], send: Post, clip_bytes: bytes
) -> None:
    ids = [send(clip_bytes).json["id"] for _ in range(3)]

    first = client.get("/api/v1/videos?limit=2", headers=auth).json
    rest = client.get(f"/api/v1/videos?cursor={first['pagination']['next_cursor']}", headers=auth).json

    assert [video["id"] for video in first["data"] + rest["data"]] == ids[::-1]
    assert rest["pagination"] == {"next_cursor": None, "has_more": False}


def test_a_title_is_edited_only_from_the_version_that_was_seen(
    client: FlaskClient, auth: dict[str, str], ready: dict[str, Any]
) -> None:
    path = f"/api/v1/videos/{ready['id']}"

    edited = client.patch(path, json={"title": "New"}, headers=auth | {"If-Match": '"1"'})
    stale = client.patch(path, json={"title": "Other"}, headers=auth | {"If-Match": '"1"'})

    assert (edited.status_code, edited.json["title"], edited.headers["ETag"]) == (200, "New", '"2"')
    assert stale.status_code == 412
    assert client.get(path, headers=auth).json["title"] == "New"


@pytest.mark.parametrize("body", [{}, {"state": "ready"}, {"title": None}])
def test_an_edit_of_nothing_or_of_something_else_is_refused(
    client: FlaskClient, auth: dict[str, str], ready: dict[str, Any], body: dict[str, Any]
) -> None:
    assert client.patch(f"/api/v1/videos/{ready['id']}", json=body, headers=auth).status_code == 422


def test_another_workspaces_video_is_not_there(
    app: Flask, client: FlaskClient, ready: dict[str, Any]
) -> None:
    with app.app_context():
        stranger = {"Authorization": f"Bearer {make_api_key(make_person())}"}
    path = f"/api/v1/videos/{ready['id']}"

    answers = [
        client.get(path, headers=stranger),
        client.get(f"{path}/file", headers=stranger),
        client.patch(path, json={"title": "Mine"}, headers=stranger),
        client.delete(path, headers=stranger),
    ]

    assert {answer.status_code for answer in answers} == {404}
    assert client.get("/api/v1/videos", headers=stranger).json["data"] == []


def test_a_video_that_open_posts_use_cannot_be_deleted(
    app: Flask, client: FlaskClient, auth: dict[str, str], person: Person, ready: dict[str, Any]
) -> None:
    with app.app_context():
        video = db.session.get_one(Video, uuid.UUID(ready["id"]))
        post_id = make_post(video, make_channel(person.workspace_id)).id

    answer = client.delete(f"/api/v1/videos/{ready['id']}", headers=auth)

    assert answer.status_code == 409
    assert answer.json["error"]["details"] == {"posts": [str(post_id)]}


def test_a_deleted_video_is_gone(client: FlaskClient, auth: dict[str, str], ready: dict[str, Any]) -> None:
    path = f"/api/v1/videos/{ready['id']}"

    assert client.delete(path, headers=auth).status_code == 204
    assert client.get(path, headers=auth).status_code == 404
