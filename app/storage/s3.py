"""An S3 bucket as the store: AWS or anything that speaks PUT, multipart, HEAD, ranged GET and DELETE."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from app.config import Settings
from app.exceptions import (
    ResourceNotFoundError,
    S3DownloadError,
    S3UploadError,
    StorageError,
    UploadGoneError,
)
from app.logging_config import get_logger
from app.storage.base import (
    Intake,
    Listed,
    RangeReader,
    Readable,
    Storage,
    Stored,
    checked,
    is_key,
    require_space,
)
from app.storage.disk import disk_errors, write_all
from app.storage.growing import SPACE_CHECK_BYTES, Growing, Kept, Part
from app.storage.private_folder import private_folder
from app.storage.s3_growing import SLOTS, GrowingObject, finish, key_of_rest, list_parts, rest_key
from app.storage.s3_transfer import Download, Multipart, PartBody, fill, s3_errors

logger = get_logger(__name__)

PART_BYTES = 16 * 1024**2
MAX_PARTS = 10_000  # S3 user guide, "Amazon S3 multipart upload limits"


class S3Storage(Storage):
    """Objects in one bucket. An upload holds one buffer of 16 MiB and is compared with what the store has."""

    backend, takes_parts = "s3", True

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._bucket = settings.s3_bucket
        self._clients: dict[int, Any] = {}

    # -- writing

    def put_stream(
        self,
        key: str,
        stream: Readable,
        *,
        max_bytes: int,
        expected_bytes: int | None = None,  # noqa: ARG002 - a bucket does not fill up
        on_progress: Callable[[int], None] | None = None,
    ) -> Stored:
        checked(key)
        intake = Intake(stream, max_bytes=max_bytes, on_progress=on_progress)
        part_bytes = max(PART_BYTES, -(-max_bytes // MAX_PARTS))
        buffer = bytearray(min(part_bytes, max_bytes + 1))
        filled = fill(intake, buffer)
        try:
            if filled < part_bytes:
                etag = self._put(key, memoryview(buffer)[:filled])
            else:
                etag = Multipart(self._client, self._bucket, key).send(intake, buffer)
            self._verify(intake.stored(key), etag)
        except BaseException:
            self._clean_up(key)
            raise
        return intake.stored(key)

    @contextmanager
    def grow(
        self,
        key: str,
        kept: Kept,
        *,
        most_bytes: int,
        expected_bytes: int | None = None,  # noqa: ARG002 - a bucket does not fill up
    ) -> Iterator[Growing]:
        growing = GrowingObject(self._client, self._bucket, checked(key), kept=kept, most_bytes=most_bytes)
        try:
            yield growing
        finally:
            growing.close()

    def finish_growing(self, key: str, kept: Kept, *, sha256: str | None) -> None:
        # A process that died after this was done left the object, and nothing to make it of.
        try:
            etag = "" if self._has(key, kept.offset) else finish(self._client, self._bucket, key, kept)
        except UploadGoneError:  # or it was done by a request whose answer was lost
            if not self._has(key, kept.offset):
                raise
            etag = ""
        head = self._head_written(key, kept.offset)
        if etag != head and sha256 is not None and self._sha256(key) != sha256:
            raise UploadGoneError("The store kept other bytes than were sent. Send the file again.")
        self._drop_leftovers(key)

    def _has(self, key: str, size: int) -> bool:
        return self.exists(key) and self.size(key) == size

    def _put(self, key: str, body: memoryview) -> str:
        with s3_errors(S3UploadError, "put"):
            self._client.put_object(Bucket=self._bucket, Key=key, Body=PartBody(body))
        return hashlib.md5(body, usedforsecurity=False).hexdigest()

    def _verify(self, stored: Stored, etag: str) -> None:
        """Compare with what the store says it has; where its ETag is no MD5 (encryption), read it back."""
        found = self._head_written(stored.key, stored.size)
        if found != etag and self._sha256(stored.key) != stored.sha256:
            raise S3UploadError("The store kept other bytes than were sent.")

    def _head_written(self, key: str, size: int) -> str:
        """Return the ETag of what was written. Raises S3UploadError when it has not this many bytes."""
        with s3_errors(S3UploadError, "verify"):
            head = self._client.head_object(Bucket=self._bucket, Key=key)
        if head["ContentLength"] != size:
            facts = {"expected_bytes": size, "found_bytes": head["ContentLength"]}
            raise S3UploadError("The store kept another number of bytes than was sent.", facts)
        return str(head.get("ETag", "")).strip('"')  # a store that names none is read back

    def _sha256(self, key: str) -> str:
        digest = hashlib.sha256()
        for piece in self.iter_range(key):
            digest.update(piece)
        return digest.hexdigest()

    def _clean_up(self, key: str) -> None:
        """Remove what a failed upload left, as far as the store lets us; expire_uploads tries again later."""
        try:
            self.discard(key)
        except StorageError as error:
            logger.warning(
                "A failed upload could not be removed yet", extra={"key": key, "error": error.code}
            )

    # -- reading

    def open_range(self, key: str, start: int = 0, length: int | None = None) -> RangeReader:
        left = max(self.size(key) - start, 0)
        wanted = left if length is None else min(length, left)
        source = Download(self._client, self._bucket, key, start=start, stop=start + wanted)
        return RangeReader(source, length=wanted, close=source.close, error=S3DownloadError)

    def size(self, key: str) -> int:
        with s3_errors(S3DownloadError, "head", key):
            return int(self._client.head_object(Bucket=self._bucket, Key=checked(key))["ContentLength"])

    def exists(self, key: str) -> bool:
        try:
            return self.size(key) >= 0
        except ResourceNotFoundError:
            return False

    @contextmanager
    def local_path(self, key: str) -> Iterator[Path]:
        folder = self._settings.data_dir / "tmp"
        wanted = self.size(key)
        with private_folder(folder, "download-") as private:
            require_space(private, wanted=wanted, keep_free=self._settings.min_free_bytes)
            path = private / key.rpartition("/")[2]
            self._fetch(key, path)
            yield path

    def _fetch(self, key: str, path: Path) -> None:
        """Write the object to `path`; others fill the same disk meanwhile. Raises StorageError."""
        done, next_check = 0, SPACE_CHECK_BYTES
        with disk_errors(), path.open("wb", buffering=0) as file:
            for piece in self.iter_range(key):
                write_all(file.fileno(), piece)
                done += len(piece)
                if done >= next_check:
                    require_space(path.parent, wanted=0, keep_free=self._settings.min_free_bytes)
                    next_check += SPACE_CHECK_BYTES

    def presigned_get(self, key: str, *, seconds: int) -> str | None:
        params = {"Bucket": self._bucket, "Key": checked(key)}
        return str(self._client.generate_presigned_url("get_object", Params=params, ExpiresIn=seconds))

    # -- parts that others send to the store directly

    def begin_parts(self, key: str) -> str:
        with s3_errors(S3UploadError, "create"):
            answer = self._client.create_multipart_upload(Bucket=self._bucket, Key=checked(key))
        return str(answer["UploadId"])

    def sign_part(self, key: str, upload_id: str, number: int, *, length: int, seconds: int) -> str:
        where = {"Bucket": self._bucket, "Key": checked(key), "UploadId": upload_id}
        params = where | {"PartNumber": number, "ContentLength": length}
        return str(self._client.generate_presigned_url("upload_part", Params=params, ExpiresIn=seconds))

    def list_parts(self, key: str, upload_id: str) -> list[Part]:
        return list_parts(self._client, {"Bucket": self._bucket, "Key": checked(key), "UploadId": upload_id})

    # -- removing and checking

    def delete(self, key: str) -> None:
        self._delete(checked(key))

    def _delete(self, name: str) -> None:
        with s3_errors(StorageError, "delete"):
            self._client.delete_object(Bucket=self._bucket, Key=name)

    def discard(self, key: str) -> None:
        self._drop_leftovers(checked(key))
        self.delete(key)

    def _drop_leftovers(self, key: str) -> None:
        """Remove what is in the store of an upload besides the object itself."""
        with s3_errors(StorageError, "discard"):
            found = self._client.list_multipart_uploads(Bucket=self._bucket, Prefix=key)
            for upload in found.get("Uploads", []):
                self._client.abort_multipart_upload(
                    Bucket=self._bucket, Key=upload["Key"], UploadId=upload["UploadId"]
                )
        for slot in SLOTS:
            self._delete(rest_key(key, slot))

    def listing(self) -> Iterator[Listed]:
        with s3_errors(StorageError, "list"):
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket)
            for page in pages:
                for found in page.get("Contents", []):
                    name, key = found["Key"], key_of_rest(found["Key"])
                    if is_key(key or name):
                        yield Listed(
                            key or name, found["Size"], found["LastModified"], part=name if key else ""
                        )
            uploads = self._client.get_paginator("list_multipart_uploads").paginate(Bucket=self._bucket)
            for page in uploads:
                for found in page.get("Uploads", []):
                    if is_key(found["Key"]):
                        yield Listed(found["Key"], 0, found["Initiated"], part=found["UploadId"])

    def remove_listed(self, listed: Listed) -> None:
        if not listed.part:
            self.delete(listed.key)
            return
        if key_of_rest(listed.part) == listed.key:
            self._delete(listed.part)
            return
        with s3_errors(StorageError, "abort"):
            self._client.abort_multipart_upload(
                Bucket=self._bucket, Key=checked(listed.key), UploadId=listed.part
            )

    def check(self) -> dict[str, Any]:
        with s3_errors(StorageError, "check"):
            self._quick_client.head_bucket(Bucket=self._bucket)
        return {"bucket": self._bucket, "region": self._settings.s3_region}

    # -- clients

    @property
    def _client(self) -> Any:
        """One client a process: connections do not survive a fork."""
        process = os.getpid()
        if process not in self._clients:
            self._clients[process] = self._new_client(
                connect_timeout=5, read_timeout=60, retries={"mode": "standard", "max_attempts": 4}
            )
        return self._clients[process]

    @cached_property
    def _quick_client(self) -> Any:
        return self._new_client(connect_timeout=1, read_timeout=1, retries={"total_max_attempts": 1})

    def _new_client(self, **options: Any) -> Any:
        settings = self._settings
        config = Config(
            signature_version="s3v4",
            request_checksum_calculation=settings.s3_checksums,
            response_checksum_validation=settings.s3_checksums,
            max_pool_connections=32,
            s3={"addressing_style": "path" if settings.s3_endpoint_url else "auto"},
            **options,
        )
        return boto3.session.Session().client(
            "s3",
            region_name=settings.s3_region,
            endpoint_url=settings.s3_endpoint_url or None,
            aws_access_key_id=settings.s3_access_key_id or None,
            aws_secret_access_key=settings.s3_secret_access_key or None,
            config=config,
        )
