from __future__ import annotations

import errno
import hashlib
import io
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import boto3
import pytest
import requests
from botocore.awsrequest import AWSResponse

from app.config import Settings
from app.exceptions import (
    PayloadTooLargeError,
    ResourceNotFoundError,
    S3DownloadError,
    S3UploadError,
    StorageError,
)
from app.storage import new_key
from app.storage.s3 import S3Storage
from app.storage.s3_transfer import Download
from tests.canaries import canary

MIB = 1024**2
BUCKET = "videos"


@pytest.fixture
def settings(s3_endpoint: str, tmp_path: Path) -> Settings:
    return Settings(
        data_dir=tmp_path,
        min_free_bytes=0,
        storage_backend="s3",
        s3_bucket=BUCKET,
        s3_endpoint_url=s3_endpoint,
        s3_access_key_id="key",
        s3_secret_access_key=canary("s3-secret-access-key"),
    )


@pytest.fixture
def bucket(s3_endpoint: str) -> Any:
    store = boto3.resource(
        "s3",
        endpoint_url=s3_endpoint,
        region_name="us-east-1",
        aws_access_key_id="key",
        aws_secret_access_key="secret",
    )
    return store.create_bucket(Bucket=BUCKET)


@pytest.fixture
def storage(settings: Settings, bucket: Any) -> Iterator[S3Storage]:
    yield S3Storage(settings)
    bucket.objects.all().delete()


def key() -> str:
    return new_key("videos", uuid4(), "original.mp4")


def traces(storage: S3Storage, name: str) -> list[Any]:
    """Everything the bucket still knows of a key: the object and unfinished uploads of it."""
    uploads = storage._client.list_multipart_uploads(Bucket=BUCKET, Prefix=name).get("Uploads", [])
    return [*uploads, *([name] if storage.exists(name) else [])]


class Endless:
    """A stream that never ends, or breaks after some bytes."""

    def __init__(self, *, breaks_after: int | None = None) -> None:
        self.sent, self.breaks_after = 0, breaks_after

    def read(self, size: int, /) -> bytes:
        if self.breaks_after is not None and self.sent >= self.breaks_after:
            raise ConnectionResetError("client went away")
        self.sent += size
        return b"x" * size


@pytest.mark.parametrize("size", [0, 1, MIB, 16 * MIB - 1, 16 * MIB, 33 * MIB])
def test_a_stored_file_comes_back_with_its_size_and_hash(storage: S3Storage, size: int) -> None:
    data, name = os.urandom(size), key()

    stored = storage.put_stream(name, io.BytesIO(data), max_bytes=64 * MIB)

    assert (stored.size, stored.sha256) == (size, hashlib.sha256(data).hexdigest())
    assert b"".join(storage.iter_range(name)) == data
    assert traces(storage, name) == [name]


def test_a_range_has_a_known_length_and_ends_there(storage: S3Storage) -> None:
    name = key()
    storage.put_stream(name, io.BytesIO(b"0123456789"), max_bytes=10)

    with storage.open_range(name, 3, 4) as reader:
        assert (len(reader), reader.read()) == (4, b"3456")
    with storage.open_range(name, 10) as reader:
        assert (len(reader), reader.read()) == (0, b"")


@pytest.mark.parametrize("limit", [10, 20 * MIB])
def test_one_byte_too_many_is_refused_and_leaves_nothing(storage: S3Storage, limit: int) -> None:
    name = key()

    with pytest.raises(PayloadTooLargeError):
        storage.put_stream(name, Endless(), max_bytes=limit)
    assert traces(storage, name) == []


def test_a_sender_that_goes_away_leaves_nothing(storage: S3Storage) -> None:
    name = key()

    with pytest.raises(ConnectionResetError):
        storage.put_stream(name, Endless(breaks_after=40 * MIB), max_bytes=100 * MIB)
    assert traces(storage, name) == []


def test_a_store_that_only_pretends_to_have_stored_is_caught(storage: S3Storage) -> None:
    class Empty:
        def stream(self) -> Iterator[bytes]:
            return iter(())

    def pretend(**_: Any) -> AWSResponse:
        return AWSResponse("http://127.0.0.1/", 200, {"ETag": '"x"'}, Empty())

    storage._client.meta.events.register("before-send.s3.PutObject", pretend)
    with pytest.raises(S3UploadError):
        storage.put_stream(key(), io.BytesIO(b"data"), max_bytes=10)


@pytest.mark.parametrize("kept", [b"dat", b"dada"])
def test_a_store_that_keeps_other_bytes_is_caught_and_cleaned(
    storage: S3Storage, bucket: Any, kept: bytes
) -> None:
    name = key()

    def replace(**_: Any) -> None:
        bucket.put_object(Key=name, Body=kept)

    storage._client.meta.events.register("after-call.s3.PutObject", replace)
    with pytest.raises(S3UploadError, match="kept"):
        storage.put_stream(name, io.BytesIO(b"data"), max_bytes=10)
    assert traces(storage, name) == []


def test_an_etag_that_is_no_md5_makes_us_read_the_file_back(storage: S3Storage) -> None:
    def encrypted_etag(parsed: dict[str, Any], **_: Any) -> None:
        parsed["ETag"] = '"0123-not-md5"'

    storage._client.meta.events.register("after-call.s3.HeadObject", encrypted_etag)

    assert storage.put_stream(key(), io.BytesIO(b"data"), max_bytes=10).size == 4


def test_discard_removes_an_upload_whose_process_was_killed(storage: S3Storage) -> None:
    name = key()
    storage._client.create_multipart_upload(Bucket=BUCKET, Key=name)
    assert traces(storage, name)

    storage.discard(name)

    assert traces(storage, name) == []


def test_a_missing_file_is_not_found_and_deleting_it_is_no_error(storage: S3Storage) -> None:
    name = key()

    storage.delete(name)
    assert not storage.exists(name)
    with pytest.raises(ResourceNotFoundError):
        storage.open_range(name)


def test_a_broken_download_goes_on_where_it_stopped(storage: S3Storage) -> None:
    name, data = key(), os.urandom(MIB)
    storage.put_stream(name, io.BytesIO(data), max_bytes=MIB)
    reader = storage.open_range(name)
    first = reader.read(1000)

    class Broken:
        def read(self, _: int, /) -> bytes:
            raise ConnectionResetError

        def close(self) -> None: ...

    assert isinstance(reader._source, Download)
    reader._source._body = Broken()

    assert first + reader.read() == data


def test_the_local_path_is_a_private_copy_that_goes_away(storage: S3Storage, settings: Settings) -> None:
    name = key()
    storage.put_stream(name, io.BytesIO(b"data"), max_bytes=4)

    with storage.local_path(name) as path:
        assert path.read_bytes() == b"data"
        assert path.parent.stat().st_mode & 0o077 == 0
    assert list((settings.data_dir / "tmp").iterdir()) == []


@pytest.mark.parametrize("reason", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_a_disk_that_refuses_a_local_copy_is_the_stores_trouble_and_keeps_nothing(
    storage: S3Storage, settings: Settings, monkeypatch: pytest.MonkeyPatch, reason: int
) -> None:
    name = key()
    storage.put_stream(name, io.BytesIO(b"data"), max_bytes=4)

    def refuse(*_: object) -> int:
        raise OSError(reason, os.strerror(reason))

    monkeypatch.setattr("app.storage.s3.write_all", refuse)
    with pytest.raises(StorageError, match=os.strerror(reason)), storage.local_path(name):
        pass

    assert list((settings.data_dir / "tmp").iterdir()) == []


def test_a_disk_that_others_fill_meanwhile_ends_a_local_copy(
    storage: S3Storage, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = key()
    storage.put_stream(name, io.BytesIO(b"data"), max_bytes=4)
    free = iter([10, -1])
    monkeypatch.setattr("app.storage.base.shutil.disk_usage", lambda _: SimpleNamespace(free=next(free)))
    monkeypatch.setattr("app.storage.s3.SPACE_CHECK_BYTES", 4)

    with pytest.raises(StorageError, match="not enough free disk space"), storage.local_path(name):
        pass

    assert list((settings.data_dir / "tmp").iterdir()) == []


def test_a_presigned_address_serves_the_file(storage: S3Storage) -> None:
    name = key()
    storage.put_stream(name, io.BytesIO(b"0123"), max_bytes=4)

    address = storage.presigned_get(name, seconds=60)

    assert address is not None
    assert requests.get(address, headers={"Range": "bytes=1-2"}, timeout=5).content == b"12"


def test_an_address_for_a_part_is_signed_for_its_length(storage: S3Storage) -> None:
    url = storage.sign_part(key(), "upload-1", 1, length=16 * MIB, seconds=60)

    (signed,) = parse_qs(urlsplit(url).query)["X-Amz-SignedHeaders"]
    assert signed.split(";") == ["content-length", "host"]


def test_the_check_names_bucket_and_region_and_fails_without_the_bucket(
    storage: S3Storage, settings: Settings
) -> None:
    assert storage.check() == {"bucket": BUCKET, "region": "us-east-1"}
    missing = S3Storage(Settings(**{**vars(settings), "s3_bucket": "other"}))
    with pytest.raises(StorageError):
        missing.check()


def test_a_store_that_is_away_is_a_clean_error_without_addresses(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    away = S3Storage(
        Settings(
            data_dir=tmp_path,
            s3_bucket=BUCKET,
            s3_endpoint_url=f"http://127.0.0.1:{port}",
            s3_access_key_id="key",
            s3_secret_access_key=canary("s3-secret-access-key"),
        )
    )

    with pytest.raises(StorageError) as caught:
        away.check()
    with pytest.raises(S3DownloadError):
        away.size(key())
    assert str(port) not in str(caught.value.to_dict())
