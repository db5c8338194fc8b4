"""How bytes move to and from a bucket: in parts, from one buffer, and on after a broken connection."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError
from urllib3.exceptions import HTTPError

from app.exceptions import (
    ResourceNotFoundError,
    S3DownloadError,
    S3UploadError,
    StorageError,
    UploadGoneError,
)
from app.storage.base import READ_BYTES, Intake

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

REOPENINGS = 3  # a download cut off half way goes on where it stopped, this often
_MISSING = {"404", "NoSuchKey", "NotFound"}
_LOST = "The store no longer has the parts of this upload. Send the file again in another."
_NOT_JOINED = "The store cannot make one file of the parts of this upload. Send the file again in another."
_FINAL = dict.fromkeys(("NoSuchUpload", "InvalidPart", "NoSuchKey"), _LOST) | dict.fromkeys(
    ("EntityTooSmall", "EntityTooLarge", "InvalidPartOrder"), _NOT_JOINED
)


class Multipart:
    """One multipart upload; the caller discards it when anything goes wrong."""

    def __init__(self, client: Any, bucket: str, key: str) -> None:
        self._client = client
        self._where = {"Bucket": bucket, "Key": key}

    def send(self, intake: Intake, buffer: bytearray) -> str:
        """Send the full buffer and all that follows. Returns the ETag a store computes without encryption."""
        with s3_errors(S3UploadError, "create"):
            self._where["UploadId"] = self._client.create_multipart_upload(**self._where)["UploadId"]
        parts: list[dict[str, Any]] = []
        digests = b""
        filled = len(buffer)
        while filled:
            body = memoryview(buffer)[:filled]
            parts.append(self._send_part(len(parts) + 1, body))
            digests += hashlib.md5(body, usedforsecurity=False).digest()
            filled = fill(intake, buffer)
        with s3_errors(S3UploadError, "complete"):
            self._client.complete_multipart_upload(**self._where, MultipartUpload={"Parts": parts})
        return f"{hashlib.md5(digests, usedforsecurity=False).hexdigest()}-{len(parts)}"

    def _send_part(self, number: int, body: memoryview) -> dict[str, Any]:
        with s3_errors(S3UploadError, "part"):
            answer = self._client.upload_part(**self._where, PartNumber=number, Body=PartBody(body))
        return {"PartNumber": number, "ETag": answer["ETag"]}


class Download:
    """The bytes `start` to `stop` of an object; a connection that breaks is opened again where it stopped."""

    def __init__(self, client: Any, bucket: str, key: str, *, start: int, stop: int) -> None:
        self._client, self._bucket, self._key = client, bucket, key
        self._position, self._stop = start, stop
        self._body: Any = None
        self._reopenings = REOPENINGS

    def read(self, size: int, /) -> bytes:
        while True:
            try:
                piece: bytes = self._open_body().read(min(size, READ_BYTES))
                if not piece and self._position < self._stop:
                    raise S3DownloadError("The store ended a download early.")
            except (BotoCoreError, HTTPError, OSError, S3DownloadError) as error:
                self._retry(error)
            else:
                self._position += len(piece)
                return piece

    def _open_body(self) -> Any:
        if self._body is None:
            with s3_errors(S3DownloadError, "get", self._key):
                answer = self._client.get_object(
                    Bucket=self._bucket, Key=self._key, Range=f"bytes={self._position}-{self._stop - 1}"
                )
            self._body = answer["Body"]
        return self._body

    def _retry(self, error: Exception) -> None:
        self.close()
        if not self._reopenings:
            raise S3DownloadError(details={"operation": "get", "reason": type(error).__name__}) from error
        self._reopenings -= 1

    def close(self) -> None:
        if self._body is not None:
            self._body.close()
            self._body = None


class PartBody(io.RawIOBase):
    """A part of the buffer as a file that botocore sends and, on a retry, rewinds. Nothing is copied."""

    def __init__(self, view: memoryview) -> None:
        self._view, self._position = view, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        target = memoryview(buffer).cast("B")
        piece = self._view[self._position : self._position + len(target)]
        target[: len(piece)] = piece
        self._position += len(piece)
        return len(piece)

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        origin = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: len(self._view)}[whence]
        self._position = origin + offset
        return self._position

    def tell(self) -> int:
        return self._position


def fill(intake: Intake, buffer: bytearray) -> int:
    """Fill the buffer from the stream; fewer bytes than fit only at its end."""
    filled = 0
    while filled < len(buffer):
        piece = intake.read(min(READ_BYTES, len(buffer) - filled))
        if not piece:
            break
        buffer[filled : filled + len(piece)] = piece
        filled += len(piece)
    return filled


@contextmanager
def s3_errors(error_class: type[StorageError], operation: str, key: str = "") -> Iterator[None]:
    """Turn botocore's errors into ours; only codes are passed on, never addresses or signatures.

    Raises UploadGoneError for parts that are lost or cannot be joined: trying again does not change that.
    """
    try:
        yield
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", "unknown"))
        if key and code in _MISSING:
            raise ResourceNotFoundError(resource_type="File", resource_id=key) from error
        facts = {"operation": operation, "reason": code}
        if code in _FINAL and error_class is S3UploadError:
            raise UploadGoneError(_FINAL[code], facts) from error
        raise error_class(details=facts) from error
    except (BotoCoreError, HTTPError, OSError) as error:
        raise error_class(details={"operation": operation, "reason": type(error).__name__}) from error
