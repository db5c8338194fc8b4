"""Uploads in pieces by tus 1.0.0, as its text says: https://tus.io/protocols/resumable-upload"""

from __future__ import annotations

import base64
import hashlib
import uuid
from collections.abc import Callable
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import update

from app import clock
from app.config import Settings
from app.extensions import db
from app.models import Upload, Video
from app.services import dispatch, measuring, uploads_ending, uploads_hashes
from tests.routes.conftest import code, count

TUS = {"Tus-Resumable": "1.0.0"}
BYTES = "application/offset+octet-stream"
Patch = Callable[..., Any]


def b64(raw: str | bytes) -> str:
    return base64.b64encode(raw.encode() if isinstance(raw, str) else raw).decode()


@pytest.fixture
def begin(client: FlaskClient, auth_headers: dict[str, str]) -> Callable[..., Any]:
    def post(length: Any, **headers: str) -> Any:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        said = TUS | {"Upload-Length": str(length)} | named
        return client.post("/api/v1/uploads", headers=auth_headers | said)

    return post


@pytest.fixture
def patch(client: FlaskClient, auth_headers: dict[str, str]) -> Patch:
    def send(path: str, offset: int, data: bytes, **headers: str) -> Any:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        said = TUS | {"Upload-Offset": str(offset), "Content-Type": BYTES} | named
        return client.patch(path, data=data, headers=auth_headers | said)

    return send


def files(settings: Settings) -> list[Path]:
    return [path for path in settings.storage_dir.rglob("*") if path.is_file()]


def attend(app: Flask, *, after: timedelta = timedelta(0)) -> None:
    """Do what the dispatcher and its worker would do to uploads at that time."""
    with app.app_context(), time_machine.travel(clock.now() + after):
        for _task, (id_, fence) in dispatch.claim(dispatch.WORK[1], clock.now()):
            uploads_ending.attend(uuid.UUID(id_), fence)


def measure(app: Flask) -> None:
    with app.app_context():
        for _task, (id_, fence) in dispatch.claim(dispatch.WORK[0], clock.now()):
            measuring.measure(uuid.UUID(id_), fence)


def test_options_say_what_is_spoken(client: FlaskClient, settings: Settings) -> None:
    answer = client.options("/api/v1/uploads")

    assert answer.status_code in (200, 204)
    assert answer.headers["Tus-Version"] == "1.0.0"
    assert answer.headers["Tus-Extension"] == "creation,expiration,termination,checksum"
    assert answer.headers["Tus-Max-Size"] == str(settings.max_upload_bytes)
    assert "sha256" in answer.headers["Tus-Checksum-Algorithm"]


def test_pieces_of_any_size_become_one_video(
    app: Flask, client: FlaskClient, auth_headers: dict[str, str], begin: Any, patch: Patch, clip_bytes: bytes
) -> None:
    metadata = (
        f"filename {b64('My Clip.MP4')},title {b64('Brötchen')},description {b64('x')},filetype {b64('a/b')}"
    )
    begun = begin(len(clip_bytes), Upload_Metadata=metadata)
    path = begun.headers["Location"]
    cuts = [0, 1, 17, 5000, len(clip_bytes) // 2, len(clip_bytes)]

    answers = [patch(path, start, clip_bytes[start:stop]) for start, stop in pairwise(cuts)]

    assert begun.status_code == 201
    assert [answer.status_code for answer in answers] == [204] * 5
    assert [answer.headers["Upload-Offset"] for answer in answers] == [str(cut) for cut in cuts[1:]]
    shown = client.get(path, headers=auth_headers).get_json()
    assert (shown["state"], shown["offset_bytes"]) == ("done", len(clip_bytes))
    video = client.get(f"/api/v1/videos/{shown['video_id']}", headers=auth_headers).get_json()
    assert (video["title"], video["filename"]) == ("Brötchen", "My Clip.MP4")
    assert video["sha256"] == hashlib.sha256(clip_bytes).hexdigest()
    measure(app)
    assert client.get(f"/api/v1/videos/{video['id']}", headers=auth_headers).get_json()["state"] == "ready"


def test_head_answers_what_is_kept(
    client: FlaskClient, auth_headers: dict[str, str], begin: Any, patch: Patch, clip_bytes: bytes
) -> None:
    path = begin(len(clip_bytes)).headers["Location"]
    patch(path, 0, clip_bytes[:7000])

    head = client.head(path, headers=auth_headers | TUS)

    assert (head.status_code, head.headers["Upload-Offset"]) == (200, "7000")
    assert head.headers["Upload-Length"] == str(len(clip_bytes))
    assert head.headers["Cache-Control"] == "no-store"
    assert head.headers["Upload-Expires"].endswith("GMT")
    assert head.headers["Tus-Resumable"] == "1.0.0"


def test_another_process_goes_on_and_the_hash_is_found_all_the_same(
    app: Flask, client: FlaskClient, auth_headers: dict[str, str], begin: Any, patch: Patch, clip_bytes: bytes
) -> None:
    path = begin(len(clip_bytes)).headers["Location"]
    patch(path, 0, clip_bytes[:9000])
    uploads_hashes.hashes._known.clear()

    patch(path, 9000, clip_bytes[9000:])
    video_path = f"/api/v1/videos/{client.get(path, headers=auth_headers).get_json()['video_id']}"
    before = client.get(video_path, headers=auth_headers).get_json()["sha256"]
    measure(app)

    assert before == ""
    after = client.get(video_path, headers=auth_headers).get_json()
    assert (after["state"], after["sha256"]) == ("ready", hashlib.sha256(clip_bytes).hexdigest())


def test_the_same_file_again_is_said_to_be_known(
    client: FlaskClient, auth_headers: dict[str, str], begin: Any, patch: Patch, clip_bytes: bytes
) -> None:
    videos = []
    for _ in range(2):
        path = begin(len(clip_bytes)).headers["Location"]
        patch(path, 0, clip_bytes)
        videos.append(client.get(path, headers=auth_headers).get_json()["video_id"])

    second = client.get(f"/api/v1/videos/{videos[1]}", headers=auth_headers).get_json()

    assert second["duplicate_of"] == videos[0]


def test_an_offset_that_is_not_the_uploads_is_refused_and_named(
    begin: Any, patch: Patch, clip_bytes: bytes
) -> None:
    path = begin(len(clip_bytes)).headers["Location"]
    patch(path, 0, clip_bytes[:100])

    answer = patch(path, 50, clip_bytes[50:])

    assert code(answer) == (409, "STATE_CONFLICT")
    assert answer.get_json()["error"]["details"] == {"found": 50, "expected": 100}


@pytest.mark.parametrize("algorithm", ["sha1", "sha256", "md5"])
def test_bytes_that_do_not_have_their_checksum_are_not_kept(
    client: FlaskClient,
    auth_headers: dict[str, str],
    begin: Any,
    patch: Patch,
    clip_bytes: bytes,
    algorithm: str,
) -> None:
    path = begin(len(clip_bytes)).headers["Location"]
    right = b64(hashlib.new(algorithm, clip_bytes[:6000]).digest())

    wrong = patch(path, 0, clip_bytes[1:6001], Upload_Checksum=f"{algorithm} {right}")
    kept = client.head(path, headers=auth_headers | TUS).headers["Upload-Offset"]
    again = patch(path, 0, clip_bytes[:6000], Upload_Checksum=f"{algorithm} {right}")
    rest = patch(path, 6000, clip_bytes[6000:])

    assert code(wrong) == (460, "CHECKSUM_MISMATCH")
    assert (kept, again.status_code, rest.status_code) == ("0", 204, 204)
    video = client.get(path, headers=auth_headers).get_json()["video_id"]
    sha256 = client.get(f"/api/v1/videos/{video}", headers=auth_headers).get_json()["sha256"]
    assert sha256 in ("", hashlib.sha256(clip_bytes).hexdigest())


def test_what_is_no_video_is_told_at_the_first_bytes_and_leaves_nothing(
    client: FlaskClient, auth_headers: dict[str, str], settings: Settings, begin: Any, patch: Patch
) -> None:
    path = begin(10_000_000).headers["Location"]

    answer = patch(path, 0, b"#EXTM3U\n" + b"x" * 5000)

    assert code(answer) == (422, "VIDEO_VALIDATION_ERROR")
    assert files(settings) == []
    assert client.head(path, headers=auth_headers | TUS).status_code == 410
    assert code(patch(path, 0, b"x")) == (410, "UPLOAD_GONE")
    shown = client.get(path, headers=auth_headers).get_json()
    assert (shown["state"], shown["error"]["code"]) == ("failed", "VIDEO_VALIDATION_ERROR")


def test_a_file_that_is_cut_off_is_told_with_its_last_bytes(
    app: Flask, settings: Settings, begin: Any, patch: Patch, clip_bytes: bytes
) -> None:
    half = clip_bytes[: len(clip_bytes) // 2]
    path = begin(len(half)).headers["Location"]

    answer = patch(path, 0, half)

    assert code(answer) == (422, "VIDEO_VALIDATION_ERROR")
    assert (files(settings), count(app, Video)) == ([], 0)


def test_one_sender_at_a_time_and_a_dead_ones_lock_ends_by_itself(
    app: Flask, begin: Any, patch: Patch, clip_bytes: bytes
) -> None:
    path = begin(len(clip_bytes)).headers["Location"]
    with app.app_context():
        db.session.execute(update(Upload).values(lease_until=clock.now() + timedelta(seconds=9), fence=7))
        db.session.commit()

    meanwhile = patch(path, 0, clip_bytes)
    with time_machine.travel(clock.now() + timedelta(seconds=10)):
        later = patch(path, 0, clip_bytes)

    assert code(meanwhile) == (423, "UPLOAD_LOCKED")
    assert later.status_code == 204


@pytest.mark.parametrize(
    ("length", "status"), [(10 * 1024**3 + 1, 413), (0, 422), (-1, 422), ("x", 422), ("9" * 30, 422)]
)
def test_a_length_no_file_may_have_is_refused_at_once(
    begin: Any, app: Flask, length: Any, status: int
) -> None:
    assert begin(length).status_code == status
    assert count(app, Upload) == 0


def test_more_bytes_than_announced_are_refused(
    client: FlaskClient, auth_headers: dict[str, str], begin: Any, patch: Patch, clip_bytes: bytes
) -> None:
    path = begin(len(clip_bytes) - 1).headers["Location"]

    assert code(patch(path, 0, clip_bytes)) == (413, "PAYLOAD_TOO_LARGE")
    assert client.head(path, headers=auth_headers | TUS).headers["Upload-Offset"] == "0"
    assert patch(path, 0, clip_bytes[:100]).status_code == 204  # its lock was let go of


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Tus_Resumable": "0.2.2"}, 412),
        ({"Upload_Offset": "-1"}, 422),
        ({"Upload_Offset": "x"}, 422),
        ({"Content_Type": "video/mp4"}, 415),
        ({"Upload_Checksum": "crc32 AAAA"}, 422),
        ({"Upload_Checksum": "sha1 !!!"}, 422),
    ],
)
def test_headers_that_cannot_be_meant_are_refused(
    begin: Any, patch: Patch, headers: dict[str, str], status: int
) -> None:
    path = begin(100).headers["Location"]

    answer = patch(path, 0, b"x", **headers)

    assert answer.status_code == status
    assert set(answer.get_json()["error"]) == {"code", "message", "details"}
    assert ("Tus-Version" in answer.headers) == (status == 412)


@pytest.mark.parametrize("metadata", ["title !!!", f"title {b64(bytes([255]))}", f"title {b64('x' * 501)}"])
def test_texts_that_cannot_be_read_are_refused(app: Flask, begin: Any, metadata: str) -> None:
    answer = begin(100, Upload_Metadata=metadata)

    assert code(answer) == (422, "VALIDATION_ERROR")
    assert count(app, Upload) == 0


def test_an_upload_that_is_ended_leaves_nothing(
    app: Flask, client: FlaskClient, auth_headers: dict[str, str], settings: Settings, begin: Any, patch: Patch,
    clip_bytes: bytes,
) -> None:  # fmt: skip
    path = begin(len(clip_bytes)).headers["Location"]
    patch(path, 0, clip_bytes[:5000])

    assert client.delete(path, headers=auth_headers | TUS).status_code == 204

    assert (files(settings), count(app, Upload)) == ([], 0)
    assert client.head(path, headers=auth_headers | TUS).status_code == 404


def test_an_abandoned_upload_expires_and_leaves_nothing(
    app: Flask, settings: Settings, begin: Any, patch: Patch, clip_bytes: bytes
) -> None:
    path = begin(len(clip_bytes)).headers["Location"]
    patch(path, 0, clip_bytes[:5000])

    attend(app, after=timedelta(seconds=settings.upload_idle_seconds - 60))
    assert (len(files(settings)), count(app, Upload)) == (1, 1)
    attend(app, after=timedelta(seconds=settings.upload_idle_seconds + 60))
    assert (files(settings), count(app, Upload)) == ([], 0)


def test_how_an_upload_ended_is_forgotten_and_its_video_stays(
    app: Flask, settings: Settings, begin: Any, patch: Patch, clip_bytes: bytes
) -> None:
    patch(begin(len(clip_bytes)).headers["Location"], 0, clip_bytes)

    attend(app, after=timedelta(hours=25))

    assert (count(app, Upload), count(app, Video), len(files(settings))) == (0, 1, 1)


def test_beginning_twice_with_one_key_is_beginning_once(app: Flask, begin: Any) -> None:
    first, again = (begin(1000, Idempotency_Key="k") for _ in range(2))
    other = begin(2000, Idempotency_Key="k")

    assert first.headers["Location"] == again.headers["Location"]
    assert again.headers["Idempotency-Replayed"] == "true"
    assert other.status_code == 422
    assert count(app, Upload) == 1


def test_uploads_are_listed_newest_first(
    client: FlaskClient, auth_headers: dict[str, str], begin: Any
) -> None:
    ids = [begin(1000).get_json()["id"] for _ in range(3)]

    page = client.get("/api/v1/uploads?limit=2&state=receiving", headers=auth_headers).get_json()

    assert [row["id"] for row in page["data"]] == [ids[2], ids[1]]
    assert page["pagination"]["has_more"]


def test_a_browser_may_read_the_headers_where_that_is_configured(make_settings: Any) -> None:
    from app import create_app

    app = create_app(make_settings(cors_origins=("https://a.example",)))
    asked = {"Origin": "https://a.example", "Access-Control-Request-Method": "PATCH"}

    answer = app.test_client().options(f"/api/v1/uploads/{uuid.uuid4()}", headers=asked)

    assert {"Upload-Offset", "Location", "Tus-Resumable"} <= _named(answer, "Access-Control-Expose-Headers")
    assert {"Upload-Offset", "Tus-Resumable", "Upload-Metadata"} <= _named(
        answer, "Access-Control-Allow-Headers"
    )
    assert "PATCH" in answer.headers["Access-Control-Allow-Methods"]


def _named(answer: Any, header: str) -> set[str]:
    return set(answer.headers[header].split(", "))


def test_parts_need_a_bucket_and_the_refusal_names_tus(
    client: FlaskClient, auth_headers: dict[str, str], app: Flask
) -> None:
    answer = client.post(
        "/api/v1/uploads", json={"kind": "multipart", "total_bytes": 1}, headers=auth_headers
    )

    assert code(answer) == (422, "VALIDATION_ERROR")
    assert "tus" in answer.get_json()["error"]["details"]["kind"][0]
    assert count(app, Upload) == 0


def test_an_upload_holds_its_room_once_and_one_that_has_ended_none(
    make_settings: Any, clip_bytes: bytes
) -> None:
    from app import create_app
    from app.services import storage_quota
    from tests import factories

    app = create_app(make_settings(workspace_storage_bytes=len(clip_bytes) + 10))
    with app.app_context():
        person = factories.make_person()
        headers = {"Authorization": f"Bearer {factories.make_access_token(person)}"} | TUS
    client = app.test_client()
    said = headers | {"Upload-Length": str(len(clip_bytes))}
    path = client.post("/api/v1/uploads", headers=said).headers["Location"]
    second = client.post("/api/v1/uploads", headers=said)

    client.patch(path, data=clip_bytes, headers=headers | {"Upload-Offset": "0", "Content-Type": BYTES})

    assert code(second) == (413, "STORAGE_QUOTA_EXCEEDED")
    with app.app_context():
        assert storage_quota.usage(person.workspace_id).counted_bytes == len(clip_bytes)
        db.session.remove()
        db.engine.dispose()
