"""Files that grow over many requests, in a folder and in a bucket alike."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError

from app.config import Settings
from app.exceptions import S3UploadError, StorageError, UploadGoneError
from app.storage import FolderStorage, Kept, Storage, new_key
from app.storage.s3 import S3Storage
from app.storage.s3_transfer import s3_errors
from tests.canaries import canary
from tests.storage.test_s3 import BUCKET, bucket  # noqa: F401 - fixtures

MIB = 1024**2
NOTHING = Kept(0, {})


@pytest.fixture(params=["folder", "s3"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Storage]:
    if request.param == "folder":
        yield FolderStorage(Settings(data_dir=tmp_path, min_free_bytes=0))
        return
    store = request.getfixturevalue("bucket")
    address = request.getfixturevalue("s3_endpoint")
    yield S3Storage(
        Settings(
            data_dir=tmp_path, min_free_bytes=0, storage_backend="s3", s3_bucket=BUCKET,
            s3_endpoint_url=address, s3_access_key_id="key", s3_secret_access_key=canary("s3-secret-access-key"),
        )
    )  # fmt: skip
    store.objects.all().delete()


@pytest.fixture
def left(storage: Storage, tmp_path: Path) -> Callable[[str], list[Any]]:
    """Everything the store still has of a key's folder."""

    def look(key: str) -> list[Any]:
        if isinstance(storage, S3Storage):
            folder = key.rpartition("/")[0]
            found = storage._client.list_objects_v2(Bucket=BUCKET, Prefix=folder).get("Contents", [])
            multiparts = storage._client.list_multipart_uploads(Bucket=BUCKET, Prefix=folder).get(
                "Uploads", []
            )
            return [*(item["Key"] for item in found), *(item["UploadId"] for item in multiparts)]
        return [str(path.relative_to(tmp_path / "files")) for path in (tmp_path / "files").rglob("*.*")]

    return look


def bucket_storage(address: str, data_dir: Path) -> S3Storage:
    return S3Storage(
        Settings(
            data_dir=data_dir, s3_bucket=BUCKET, s3_endpoint_url=address, s3_access_key_id="k",
            s3_secret_access_key="s",
        )
    )  # fmt: skip


def key() -> str:
    return new_key("videos", uuid4(), "original.mp4")


def written(storage: Storage, name: str, kept: Kept, *pieces: bytes, total: int) -> Kept:
    """Write pieces on after what was kept, as one request does."""
    with storage.grow(name, kept, most_bytes=total) as growing:
        for piece in pieces:
            growing.write(piece)
        return growing.keep(everything=True)


@pytest.mark.parametrize(
    "cuts", [(0,), (1, 2, 3), (5 * MIB,), (6 * MIB, 7 * MIB), (16 * MIB, 17 * MIB), (20 * MIB,)]
)
def test_requests_of_any_length_make_one_file(
    storage: Storage, left: Callable[[str], list[Any]], cuts: tuple[int, ...]
) -> None:
    data, name, kept = os.urandom(22 * MIB + 5), key(), NOTHING
    bounds = [0, *cuts, len(data)]

    for start, stop in pairwise(bounds):
        kept = written(storage, name, kept, data[start:stop], total=len(data))
        assert kept.offset == stop
        assert not storage.exists(name)
    storage.finish_growing(name, kept, sha256=None)

    assert b"".join(storage.iter_range(name)) == data
    assert left(name) == [name]


def test_what_was_written_but_not_kept_comes_again(storage: Storage) -> None:
    data, name = os.urandom(12 * MIB), key()
    first = written(storage, name, NOTHING, data[: 6 * MIB], total=len(data))
    with storage.grow(name, first, most_bytes=len(data)) as growing:
        growing.write(b"never kept" * MIB)

    kept = written(storage, name, first, data[6 * MIB :], total=len(data))
    storage.finish_growing(name, kept, sha256=None)

    assert b"".join(storage.iter_range(name)) == data


def test_a_death_between_the_store_and_the_row_changes_nothing(storage: Storage) -> None:
    """The store has more than the row knows of: its marks are older by a request."""
    data, name = os.urandom(9 * MIB), key()
    saved = written(storage, name, NOTHING, data[: 2 * MIB], total=len(data))
    written(storage, name, saved, b"x" * MIB, total=len(data))  # not saved

    again = written(storage, name, saved, data[2 * MIB :], total=len(data))
    storage.finish_growing(name, again, sha256=None)

    assert b"".join(storage.iter_range(name)) == data


def test_finishing_twice_is_finishing_once(storage: Storage, left: Callable[[str], list[Any]]) -> None:
    data, name = os.urandom(17 * MIB), key()
    kept = written(storage, name, NOTHING, data, total=len(data))

    storage.finish_growing(name, kept, sha256=None)
    storage.finish_growing(name, kept, sha256=None)

    assert storage.size(name) == len(data)
    assert left(name) == [name]


def test_discard_leaves_nothing(storage: Storage, left: Callable[[str], list[Any]]) -> None:
    name = key()
    written(storage, name, NOTHING, os.urandom(18 * MIB), total=40 * MIB)
    assert left(name)

    storage.discard(name)

    assert left(name) == []


def test_a_store_that_lost_what_was_kept_says_so(storage: Storage) -> None:
    name = key()
    kept = written(storage, name, NOTHING, b"x" * 1000, total=MIB)
    storage.discard(name)

    with pytest.raises(UploadGoneError):
        written(storage, name, kept, b"y", total=MIB)
    with pytest.raises(UploadGoneError):
        storage.finish_growing(name, kept, sha256=None)


def test_a_store_that_has_less_than_was_kept_says_so(storage: Storage) -> None:
    name = key()
    kept = written(storage, name, NOTHING, b"x" * 1000, total=MIB)
    more = kept._replace(offset=kept.offset + 1)

    with pytest.raises(UploadGoneError):
        written(storage, name, more, b"y", total=MIB)
    with pytest.raises(UploadGoneError):
        storage.finish_growing(name, more, sha256=None)
    written(storage, name, kept, b"y", total=MIB)  # and nothing was changed by that


def test_what_was_kept_stays_what_it_was_while_more_is_written(storage: Storage) -> None:
    """A sender that pauses has its last marks saved again: newer parts beside an older offset are no file."""
    name, piece = key(), bytes(16 * MIB)
    with storage.grow(name, NOTHING, most_bytes=40 * MIB) as growing:
        growing.write(piece)
        first = growing.keep(everything=False)
        before = copy.deepcopy(first)
        growing.write(piece)
        second = growing.keep(everything=False)

    assert first == before
    assert (first.offset, second.offset) == (16 * MIB, 32 * MIB)


@pytest.mark.usefixtures("bucket")
def test_marks_of_another_offset_are_not_gone_on_with(s3_endpoint: str, tmp_path: Path) -> None:
    storage, name = bucket_storage(s3_endpoint, tmp_path), key()
    kept = written(storage, name, NOTHING, bytes(16 * MIB), b"rest", total=20 * MIB)

    with pytest.raises(UploadGoneError):
        written(storage, name, Kept(4, kept.marks), b"y", total=20 * MIB)


def test_a_disk_that_is_not_there_has_lost_nothing(tmp_path: Path) -> None:
    storage, name = FolderStorage(Settings(data_dir=tmp_path, min_free_bytes=0)), key()
    kept = written(storage, name, NOTHING, b"x" * 1000, total=MIB)
    (tmp_path / "files").rename(tmp_path / "elsewhere")

    with pytest.raises(StorageError):
        written(storage, name, kept, b"y", total=MIB)
    with pytest.raises(StorageError):
        storage.finish_growing(name, kept, sha256=None)


@pytest.mark.parametrize("code", ["EntityTooSmall", "InvalidPartOrder", "NoSuchUpload"])
def test_parts_the_store_says_it_cannot_join_are_not_joined_later(code: str) -> None:
    refusal = ClientError({"Error": {"Code": code}}, "CompleteMultipartUpload")

    with pytest.raises(UploadGoneError), s3_errors(S3UploadError, "complete"):
        raise refusal


def test_a_small_file_in_a_bucket_needs_no_parts(storage: Storage) -> None:
    name = key()
    kept = written(storage, name, NOTHING, b"0123", b"4567", total=8)

    storage.finish_growing(name, kept, sha256=None)

    assert (kept.marks.get("upload_id"), storage.size(name)) == (None, 8)


@pytest.mark.usefixtures("bucket")
def test_a_bucket_that_keeps_other_bytes_is_caught(s3_endpoint: str, tmp_path: Path) -> None:
    storage, name = bucket_storage(s3_endpoint, tmp_path), key()
    kept = written(storage, name, NOTHING, b"data", total=4)

    def replace(**_: Any) -> None:
        storage._quick_client.put_object(Bucket=BUCKET, Key=name, Body=b"dada")

    storage._client.meta.events.register("after-call.s3.PutObject", replace)
    with pytest.raises(
        UploadGoneError, match="kept"
    ):  # its parts are used up: trying again finds only these bytes
        storage.finish_growing(name, kept, sha256="of data")
