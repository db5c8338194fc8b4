"""Parts that go to the bucket directly: what the bucket has is what counts."""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import boto3
import pytest
import requests
import time_machine
from flask import Flask
from moto.s3.exceptions import NoSuchUpload
from moto.s3.models import S3Backend

from app import clock
from app.config import Settings
from app.exceptions import UploadGoneError
from app.models import Upload, Video
from app.services import dispatch, measuring, uploads_ending, uploads_multipart
from app.storage import s3_growing
from tests.routes.conftest import Send, code, count
from tests.routes.test_uploads import BYTES, TUS

MIB = 1024**2


@pytest.fixture
def bucket(s3_settings: dict[str, str]) -> Any:
    store = boto3.resource(
        "s3", endpoint_url=s3_settings["s3_endpoint_url"], region_name="us-east-1", aws_access_key_id="key",
        aws_secret_access_key="secret",
    )  # fmt: skip
    return store.Bucket(s3_settings["s3_bucket"])


@pytest.fixture
def settings(make_settings: Callable[..., Settings], s3_settings: dict[str, str]) -> Settings:
    return make_settings(storage_backend="s3", **s3_settings)


@pytest.fixture
def film(clip_bytes: bytes) -> bytes:
    """A clip and a box of noise that players skip: three parts."""
    rest = 33 * MIB - len(clip_bytes)
    return clip_bytes + rest.to_bytes(4, "big") + b"free" + os.urandom(rest - 8)


def begin(send: Send, total: int) -> Any:
    return send("POST", "/uploads", json={"kind": "multipart", "total_bytes": total, "filename": "a.mp4"})


def put(send: Send, path: str, film: bytes, *numbers: int, size: int = 16 * MIB) -> None:
    signed = send("POST", f"{path}/parts", json={"part_numbers": list(numbers)}).get_json()["data"]
    for part in signed:
        start = (part["part_number"] - 1) * size
        requests.put(
            part["url"], data=film[start : start + part["size_bytes"]], timeout=20
        ).raise_for_status()


def left(bucket: Any) -> list[str]:
    listed = bucket.meta.client.list_multipart_uploads(Bucket=bucket.name).get("Uploads", [])
    return [*(item.key for item in bucket.objects.all()), *(item["UploadId"] for item in listed)]


def test_parts_in_any_order_become_a_video(app: Flask, send: Send, film: bytes) -> None:
    made = begin(send, len(film)).get_json()
    path = f"/uploads/{made['id']}"
    put(send, path, film, 3, 1)
    early = send("POST", f"{path}/complete")
    put(send, path, film, 2)
    listed = send("GET", f"{path}/parts").get_json()["data"]

    done = send("POST", f"{path}/complete").get_json()
    again = send("POST", f"{path}/complete").get_json()

    assert code(early) == (409, "STATE_CONFLICT")
    assert early.get_json()["error"]["details"]["missing"] == [2]
    assert [(part["part_number"], part["size_bytes"]) for part in listed] == [
        (1, 16 * MIB),
        (2, 16 * MIB),
        (3, MIB),
    ]
    assert (made["part_bytes"], done["state"], again["video_id"]) == (16 * MIB, "done", done["video_id"])
    with app.app_context():
        for _task, (id_, fence) in dispatch.claim(dispatch.WORK[0], clock.now()):
            measuring.measure(uuid.UUID(id_), fence)
    video = send("GET", f"/videos/{done['video_id']}").get_json()
    assert (video["state"], video["sha256"]) == ("ready", hashlib.sha256(film).hexdigest())


def test_a_part_of_another_length_is_refused(app: Flask, send: Send, film: bytes) -> None:
    path = f"/uploads/{begin(send, len(film)).get_json()['id']}"
    put(send, path, film, 1, 2)
    (part,) = send("POST", f"{path}/parts", json={"part_numbers": [3]}).get_json()["data"]
    requests.put(part["url"], data=b"short", timeout=20).raise_for_status()

    answer = send("POST", f"{path}/complete")

    assert code(answer) == (409, "STATE_CONFLICT")
    assert answer.get_json()["error"]["details"]["wrong"] == [3]
    assert count(app, Video) == 0


def test_what_is_no_video_leaves_nothing(app: Flask, send: Send, bucket: Any) -> None:
    path = f"/uploads/{begin(send, 1000).get_json()['id']}"
    put(send, path, b"x" * 1000, 1)

    answer = send("POST", f"{path}/complete")

    assert code(answer) == (422, "VIDEO_VALIDATION_ERROR")
    assert (left(bucket), count(app, Video)) == ([], 0)
    assert code(send("POST", f"{path}/complete")) == (410, "UPLOAD_GONE")
    assert code(send("GET", f"{path}/parts")) == (410, "UPLOAD_GONE")
    assert code(send("POST", f"{path}/parts", json={"part_numbers": [1]})) == (410, "UPLOAD_GONE")


@pytest.mark.parametrize("how", ["ended", "expired"])
def test_an_upload_that_ends_early_leaves_nothing(
    app: Flask, send: Send, bucket: Any, film: bytes, how: str
) -> None:
    path = f"/uploads/{begin(send, len(film)).get_json()['id']}"
    put(send, path, film, 1)
    assert left(bucket)

    if how == "ended":
        assert send("DELETE", path).status_code == 204
    else:
        with app.app_context(), time_machine.travel(clock.now() + timedelta(hours=25)):
            for _task, (id_, fence) in dispatch.claim(dispatch.WORK[1], clock.now()):
                uploads_ending.attend(uuid.UUID(id_), fence)

    assert (left(bucket), count(app, Upload)) == ([], 0)


@pytest.mark.parametrize("numbers", [[0], [4], [], [1] * 101, ["x"]])
def test_part_numbers_there_are_none_of_are_refused(send: Send, film: bytes, numbers: list[Any]) -> None:
    path = f"/uploads/{begin(send, len(film)).get_json()['id']}"

    assert send("POST", f"{path}/parts", json={"part_numbers": numbers}).status_code == 422


@pytest.mark.parametrize(("total", "status"), [(0, 422), (10 * 1024**3 + 1, 413), ("x", 422)])
def test_a_length_no_file_may_have_is_refused(app: Flask, send: Send, total: Any, status: int) -> None:
    assert begin(send, total).status_code == status
    assert count(app, Upload) == 0


def test_a_death_while_parts_are_joined_is_finished_by_the_dispatcher(
    app: Flask, send: Send, film: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = begin(send, len(film)).get_json()
    path = f"/uploads/{made['id']}"
    put(send, path, film, 1, 2, 3)
    with monkeypatch.context() as patch:
        patch.setattr(uploads_multipart.uploads_ending, "_become_video", lambda *_: None)  # died just before
        assert send("POST", f"{path}/complete").get_json()["state"] == "finishing"

    with app.app_context(), time_machine.travel(clock.now() + timedelta(minutes=2)):
        for _task, (id_, fence) in dispatch.claim(dispatch.WORK[1], clock.now()):
            uploads_ending.attend(uuid.UUID(id_), fence)

    assert send("GET", path).get_json()["state"] == "done"


@pytest.fixture
def says_what_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the stand-in answer as S3 does for parts of an upload there is none of; by itself it breaks down."""

    def answering(step: Callable[..., Any]) -> Callable[..., Any]:
        def answer(store: S3Backend, bucket_name: str, multipart_id: str, *rest: Any) -> Any:
            if multipart_id not in store.get_bucket(bucket_name).multiparts:
                raise NoSuchUpload(multipart_id)
            return step(store, bucket_name, multipart_id, *rest)

        return answer

    for name in ("upload_part", "complete_multipart_upload"):
        monkeypatch.setattr(S3Backend, name, answering(getattr(S3Backend, name)))


def abort_all(bucket: Any) -> None:
    """Do what a lifecycle rule of the bucket does to uploads that are not finished."""
    store = bucket.meta.client
    for upload in store.list_multipart_uploads(Bucket=bucket.name).get("Uploads", []):
        store.abort_multipart_upload(Bucket=bucket.name, Key=upload["Key"], UploadId=upload["UploadId"])


@pytest.mark.usefixtures("says_what_is_lost")
def test_an_upload_whose_parts_the_bucket_removed_while_they_were_joined_fails_and_says_so(
    app: Flask, send: Send, bucket: Any, film: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = f"/uploads/{begin(send, len(film)).get_json()['id']}"
    put(send, path, film, 1, 2, 3)
    with monkeypatch.context() as patch:
        patch.setattr(uploads_multipart.uploads_ending, "finish", lambda *_: None)  # died just before
        assert send("POST", f"{path}/complete").get_json()["state"] == "finishing"
    abort_all(bucket)

    with app.app_context(), time_machine.travel(clock.now() + timedelta(minutes=2)):
        for _task, (id_, fence) in dispatch.claim(dispatch.WORK[1], clock.now()):
            uploads_ending.attend(uuid.UUID(id_), fence)

    found = send("GET", path).get_json()
    assert (found["state"], found["error"]["code"]) == ("failed", "UPLOAD_GONE")
    assert "Send the file again" in found["error"]["message"]
    assert found["error"]["details"] == {"operation": "complete", "reason": "NoSuchUpload"}
    assert (left(bucket), count(app, Video)) == ([], 0)


def test_parts_the_bucket_removed_before_they_were_joined_are_gone_and_not_its_trouble(
    app: Flask, send: Send, bucket: Any, film: bytes
) -> None:
    path = f"/uploads/{begin(send, len(film)).get_json()['id']}"
    put(send, path, film, 1)
    abort_all(bucket)

    assert code(send("GET", f"{path}/parts")) == (410, "UPLOAD_GONE")
    assert code(send("POST", f"{path}/complete")) == (410, "UPLOAD_GONE")
    assert count(app, Video) == 0


def test_a_joining_whose_answer_was_lost_is_no_loss(
    app: Flask, send: Send, film: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = f"/uploads/{begin(send, len(film)).get_json()['id']}"
    put(send, path, film, 1, 2, 3)

    def complete_twice(*arguments: Any) -> None:
        complete(*arguments)
        raise UploadGoneError  # as S3 answers when botocore asks again after an answer that was cut off

    complete = s3_growing.complete
    monkeypatch.setattr(s3_growing, "complete", complete_twice)

    assert send("POST", f"{path}/complete").get_json()["state"] == "done"
    assert count(app, Video) == 1


@pytest.mark.usefixtures("says_what_is_lost")
def test_tus_on_a_bucket_that_removed_what_was_sent_ends_the_upload(
    app: Flask, client: Any, auth_headers: dict[str, str], bucket: Any, film: bytes
) -> None:
    headers = auth_headers | TUS
    path = client.post("/api/v1/uploads", headers=headers | {"Upload-Length": str(len(film))}).headers[
        "Location"
    ]
    said = headers | {"Content-Type": BYTES}
    assert client.patch(path, data=film[: 16 * MIB], headers=said | {"Upload-Offset": "0"}).status_code == 204
    abort_all(bucket)

    answer = client.patch(path, data=film[16 * MIB :], headers=said | {"Upload-Offset": str(16 * MIB)})

    assert code(answer) == (410, "UPLOAD_GONE")
    assert client.head(path, headers=headers).status_code == 410
    assert (left(bucket), count(app, Video)) == ([], 0)


def test_tus_ends_in_the_bucket_too(
    send: Send, client: Any, auth_headers: dict[str, str], film: bytes
) -> None:
    headers = auth_headers | TUS
    begun = client.post("/api/v1/uploads", headers=headers | {"Upload-Length": str(len(film))})
    path = begun.headers["Location"]
    for start in range(0, len(film), 7 * MIB):
        piece = film[start : start + 7 * MIB]
        said = headers | {"Upload-Offset": str(start), "Content-Type": BYTES}
        assert client.patch(path, data=piece, headers=said).status_code == 204

    done = client.get(path, headers=auth_headers).get_json()

    assert done["state"] == "done"
    link = send("GET", f"/videos/{done['video_id']}").get_json()
    assert link["sha256"] == hashlib.sha256(film).hexdigest()


@pytest.mark.parametrize(
    "body", [{}, {"kind": "url"}, {"kind": "multipart"}, {"kind": "tus"}, {"kind": "url", "x": 1}]
)
def test_a_body_that_says_not_enough_is_refused(
    client: Any, auth_headers: dict[str, str], body: dict[str, Any]
) -> None:
    answer = client.post("/api/v1/uploads", json=body, headers=auth_headers)

    assert code(answer) == (422, "VALIDATION_ERROR")
