from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from datetime import timedelta
from urllib.parse import urlsplit
from uuid import UUID

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient

from app import clock, create_app
from app.config import Settings
from app.exceptions import StorageError
from app.services import files
from app.storage import available, get_storage, new_key
from tests.database import dispose

DATA = bytes(range(100))
KEY = new_key("videos", UUID(int=7), "original.mp4")


@pytest.fixture(params=["folder", "s3"])
def settings(request: pytest.FixtureRequest, make_settings: Callable[..., Settings]) -> Settings:
    """Every test here runs on both stores: a link is the same."""
    if request.param == "folder":
        return make_settings()
    return make_settings(storage_backend="s3", **request.getfixturevalue("s3_settings"))


@pytest.fixture
def link(app: Flask) -> str:
    """The path of a link to a stored file of a hundred bytes."""
    with app.app_context():
        get_storage().put_stream(KEY, io.BytesIO(DATA), max_bytes=100)
        url = files.link(KEY, backend="folder", content_type="video/mp4", name='clip "ü".mp4', version="abc")
    return urlsplit(url).path


def test_a_link_gives_the_whole_file(client: FlaskClient, link: str) -> None:
    answer = client.get(link)

    assert (answer.status_code, answer.data, answer.content_type) == (200, DATA, "video/mp4")
    assert answer.headers["Content-Length"] == "100"
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "filename*=UTF-8''" in answer.headers["Content-Disposition"]


@pytest.mark.parametrize(
    ("asked", "start", "stop"),
    [("bytes=0-9", 0, 10), ("bytes=90-", 90, 100), ("bytes=-5", 95, 100), ("bytes=99-500", 99, 100)],
)
def test_a_range_gives_exactly_its_bytes(
    client: FlaskClient, link: str, asked: str, start: int, stop: int
) -> None:
    answer = client.get(link, headers={"Range": asked})

    assert (answer.status_code, answer.data) == (206, DATA[start:stop])
    assert answer.headers["Content-Range"] == f"bytes {start}-{stop - 1}/100"
    assert answer.headers["Content-Length"] == str(stop - start)


@pytest.mark.parametrize("asked", ["bytes=100-", "bytes=500-600"])
def test_a_range_beyond_the_file_is_refused_with_its_size(client: FlaskClient, link: str, asked: str) -> None:
    answer = client.get(link, headers={"Range": asked})

    assert answer.status_code == 416
    assert answer.headers["Content-Range"] == "bytes */100"
    assert answer.json["error"]["code"] == "RANGE_NOT_SATISFIABLE"


@pytest.mark.parametrize("asked", ["bytes=0-1,5-6", "lines=0-1", "bytes=5-2", "bytes=-0", "nonsense"])
def test_a_range_nobody_can_answer_gives_the_whole_file(client: FlaskClient, link: str, asked: str) -> None:
    answer = client.get(link, headers={"Range": asked})

    assert (answer.status_code, answer.data) == (200, DATA)
    assert "Content-Range" not in answer.headers


@pytest.mark.parametrize(("asked", "status"), [({}, 200), ({"Range": "bytes=0-9"}, 206)])
def test_a_head_request_says_the_same_without_the_bytes(
    client: FlaskClient, link: str, asked: dict[str, str], status: int
) -> None:
    head, get = client.head(link, headers=asked), client.get(link, headers=asked)

    assert (head.status_code, head.data) == (status, b"")
    for name in ("Content-Length", "Content-Type", "ETag", "Accept-Ranges"):
        assert head.headers[name] == get.headers[name]


def test_what_the_browser_has_is_not_sent_again(client: FlaskClient, link: str) -> None:
    etag = client.get(link).headers["ETag"]

    assert client.get(link, headers={"If-None-Match": etag}).status_code == 304
    assert client.get(link, headers={"If-None-Match": '"other"'}).status_code == 200


def test_a_range_counts_only_for_the_same_file(client: FlaskClient, link: str) -> None:
    etag = client.get(link).headers["ETag"]

    same = client.get(link, headers={"Range": "bytes=0-9", "If-Range": etag})
    other = client.get(link, headers={"Range": "bytes=0-9", "If-Range": '"other"'})

    assert (same.status_code, other.status_code) == (206, 200)


def test_a_link_ends_when_its_time_is_over(client: FlaskClient, link: str, settings: Settings) -> None:
    later = clock.now() + timedelta(seconds=settings.file_link_seconds + files.ROUNDED_TO)

    with time_machine.travel(later):
        answer = client.get(link)

    assert answer.status_code == 403
    assert "expired" in answer.json["error"]["message"]


def test_a_changed_link_opens_nothing(client: FlaskClient, link: str) -> None:
    token = link.split("/")[2]

    for changed in (
        f"/files/x{token}/original.mp4",
        f"/files/{token[:-2]}/original.mp4",
        "/files/a.b/original.mp4",
    ):
        assert client.get(changed).status_code == 403


def test_a_link_to_a_deleted_file_is_not_found(app: Flask, client: FlaskClient, link: str) -> None:
    with app.app_context():
        get_storage().delete(KEY)

    assert client.get(link).status_code == 404


def test_a_name_no_header_takes_is_sent_without_what_it_does_not_take(
    app: Flask, client: FlaskClient
) -> None:
    with app.app_context():
        get_storage().put_stream(KEY, io.BytesIO(DATA), max_bytes=100)
        url = files.link(KEY, backend="folder", content_type="video/mp4", name="a\nb\0.mp4", version="abc")

    answer = client.get(urlsplit(url).path)

    assert (answer.status_code, answer.data) == (200, DATA)
    assert 'filename="ab.mp4"' in answer.headers["Content-Disposition"]


def test_an_empty_file_is_served_empty(app: Flask, client: FlaskClient) -> None:
    empty = new_key("videos", UUID(int=8), "original.mp4")
    with app.app_context():
        get_storage().put_stream(empty, io.BytesIO(b""), max_bytes=1)
        url = files.link(empty, backend="folder", content_type="video/mp4", name="a", version="1")

    answer = client.get(urlsplit(url).path)

    assert (answer.status_code, answer.data, answer.headers["Content-Length"]) == (200, b"", "0")


def test_links_made_shortly_after_one_another_are_the_same(app: Flask) -> None:
    with app.app_context(), time_machine.travel("2026-11-23T12:01:00Z", tick=False) as traveller:
        first = files.link(KEY, backend="folder", content_type="video/mp4", name="a", version="1")
        traveller.shift(60)
        second = files.link(KEY, backend="folder", content_type="video/mp4", name="a", version="1")

    assert first == second


@pytest.mark.parametrize("asked", ["bytes=-101", f"bytes=-{10**20}"])
def test_the_last_bytes_of_a_shorter_file_are_all_of_it(client: FlaskClient, link: str, asked: str) -> None:
    answer = client.get(link, headers={"Range": asked})

    assert (answer.status_code, answer.data) == (206, DATA)
    assert answer.headers["Content-Range"] == "bytes 0-99/100"


@pytest.fixture
def both(request: pytest.FixtureRequest, make_settings: Callable[..., Settings]) -> Iterator[FlaskClient]:
    """A client of an installation that has a folder and a bucket."""
    app = create_app(make_settings(**request.getfixturevalue("s3_settings")))
    with app.app_context():
        yield app.test_client()
    dispose(app)


@pytest.mark.parametrize(("before", "after"), [("folder", "s3"), ("s3", "folder")])
def test_a_link_goes_on_working_when_its_file_moves_to_another_store(
    both: FlaskClient, before: str, after: str
) -> None:
    get_storage(before).put_stream(KEY, io.BytesIO(DATA), max_bytes=100)
    url = files.link(KEY, backend=before, content_type="video/mp4", name="a.mp4", version="1")

    get_storage(after).put_stream(KEY, io.BytesIO(DATA), max_bytes=100)
    get_storage(before).delete(KEY)

    assert both.get(urlsplit(url).path).data == DATA
    get_storage(after).delete(KEY)
    assert both.get(urlsplit(url).path).status_code == 404


def test_a_store_the_settings_no_longer_name_is_a_clear_error(app: Flask) -> None:
    with app.app_context(), pytest.raises(StorageError, match="S3_BUCKET"):
        get_storage("s3" if len(list(available())) == 1 else "tape")
