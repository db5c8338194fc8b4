"""A multipart upload that goes on over many requests.

A part must have 5 MiB or more, a request may end anywhere: what is left over is kept as an object of its own until
it is part of a part. There are two names for it, so that the one the saved marks speak of is never written over.
"""

from __future__ import annotations

import hashlib
import threading
from typing import Any

from app.exceptions import S3UploadError
from app.storage.growing import Kept, Part, lost
from app.storage.s3_transfer import s3_errors

LEAST_PART = 5 * 1024**2  # bytes; S3 user guide, "Amazon S3 multipart upload limits"
PART_BYTES = 16 * 1024**2
MAX_PARTS = 10_000
SLOTS = (0, 1)


def rest_key(key: str, slot: int) -> str:
    """Return the name of the object that holds what is not part of a part yet; it is no key of a file."""
    return f"{key}.rest-{slot}"


def key_of_rest(name: str) -> str:
    """Return the key of the file whose rest has this name, "" when it is something else."""
    key, dot, slot = name.rpartition(".rest-")
    return key if dot and slot in {str(each) for each in SLOTS} else ""


class GrowingObject:
    """An object that is written on, in parts, from one buffer.

    Marks: `upload_id`, `parts` as [ETag, bytes, whether the ETag is the MD5 of what was sent], and `rest` as
    [slot, bytes]. Raises UploadGoneError when they are not those of the offset, or the store has them no longer.
    """

    def __init__(self, client: Any, bucket: str, key: str, *, kept: Kept, most_bytes: int) -> None:
        require_amount(kept)
        self._client, self._bucket, self._key, marks = client, bucket, key, kept.marks
        self._upload_id: str | None = marks.get("upload_id")
        self._parts: list[list[Any]] = [list(part) for part in marks.get("parts", ())]
        self._rest: list[int] | None = marks.get("rest")
        self._slot = self._rest[0] if self._rest else 1
        self._least = max(LEAST_PART, -(-most_bytes // (MAX_PARTS - 1)))
        self._buffer = bytearray(min(max(PART_BYTES, self._least), most_bytes + 1))
        self._filled = 0
        if self._rest:
            self._read_rest(self._rest)

    @property
    def offset(self) -> int:
        return self._in_parts + self._filled

    @property
    def _in_parts(self) -> int:
        return sum(part[1] for part in self._parts)

    def _read_rest(self, rest: list[int]) -> None:
        slot, length = rest
        with s3_errors(S3UploadError, "rest"):
            body = self._client.get_object(Bucket=self._bucket, Key=rest_key(self._key, slot))["Body"]
            with body:
                while piece := body.read(1024**2):
                    self._take(piece)
        if self._filled != length:
            raise lost(found=self._filled, expected=length)

    def _take(self, piece: bytes) -> bytes:
        """Put as much as fits into the buffer and return what does not."""
        fits = min(len(piece), len(self._buffer) - self._filled)
        self._buffer[self._filled : self._filled + fits] = piece[:fits]
        self._filled += fits
        return piece[fits:]

    def write(self, piece: bytes, /) -> None:
        while piece:
            piece = self._take(piece)
            if self._filled == len(self._buffer):
                self._send_part()

    def keep(self, *, everything: bool) -> Kept:
        if everything and self._filled >= self._least:
            self._send_part()
        if everything and self._filled:
            self._put_rest()
        marks = {"upload_id": self._upload_id, "parts": list(self._parts), "rest": self._rest}
        return Kept(self._in_parts + (self._rest[1] if self._rest else 0), marks)

    def close(self) -> None:
        self._buffer = bytearray()

    def _send_part(self) -> None:
        if self._upload_id is None:
            with s3_errors(S3UploadError, "create"):
                answer = self._client.create_multipart_upload(Bucket=self._bucket, Key=self._key)
            self._upload_id = str(answer["UploadId"])
        # As it is, and not as a file: that would be read in pieces of a few kilobytes.
        is_full = self._filled == len(self._buffer)
        body = self._buffer if is_full else self._buffer[: self._filled]
        self._parts.append(
            send_part(
                self._client,
                {"Bucket": self._bucket, "Key": self._key, "UploadId": self._upload_id},
                len(self._parts) + 1,
                body,
            )
        )
        self._filled, self._rest = 0, None

    def _put_rest(self) -> None:
        slot = 1 - self._slot
        body = bytes(self._buffer[: self._filled])
        with s3_errors(S3UploadError, "rest"):
            self._client.put_object(Bucket=self._bucket, Key=rest_key(self._key, slot), Body=body)
        self._slot, self._rest = slot, [slot, self._filled]


def require_amount(kept: Kept) -> None:
    """Raise UploadGoneError unless parts and rest are as long as what was kept: they would make another file."""
    rest = kept.marks.get("rest")
    found = sum(part[1] for part in kept.marks.get("parts", ())) + (rest[1] if rest else 0)
    if found != kept.offset:
        raise lost(found=found, expected=kept.offset)


def send_part(client: Any, where: dict[str, Any], number: int, body: bytes | bytearray) -> list[Any]:
    """Send a part and return its ETag, its length and whether the ETag shows that the store has these bytes.

    The hash is computed while the part is sent: neither holds the interpreter for long.
    """
    found: list[str] = []
    hashing = threading.Thread(
        target=lambda: found.append(hashlib.md5(body, usedforsecurity=False).hexdigest()), name="md5"
    )
    hashing.start()
    try:
        with s3_errors(S3UploadError, "part"):
            etag = str(client.upload_part(**where, PartNumber=number, Body=body)["ETag"])
    finally:
        hashing.join()
    return [etag, len(body), [etag.strip('"')] == found]


def finish(client: Any, bucket: str, key: str, kept: Kept) -> str:
    """Make the object of its parts and the rest; return the ETag that proves it, or "" where none can."""
    require_amount(kept)
    where = {"Bucket": bucket, "Key": key}
    body = _rest(client, where, kept.marks.get("rest"))
    if not kept.marks.get("upload_id"):
        with s3_errors(S3UploadError, "put"):
            client.put_object(**where, Body=body)
        return hashlib.md5(body, usedforsecurity=False).hexdigest()
    parts = list(kept.marks["parts"])
    multipart = where | {"UploadId": kept.marks["upload_id"]}
    if body:
        parts.append(send_part(client, multipart, len(parts) + 1, body))
    complete(client, multipart, [part[0] for part in parts])
    if not all(part[2] for part in parts):
        return ""
    digests = b"".join(bytes.fromhex(part[0].strip('"')) for part in parts)
    return f"{hashlib.md5(digests, usedforsecurity=False).hexdigest()}-{len(parts)}"


def _rest(client: Any, where: dict[str, Any], rest: list[int] | None) -> bytes:
    if rest is None:
        return b""
    with s3_errors(S3UploadError, "rest"):
        answer = client.get_object(Bucket=where["Bucket"], Key=rest_key(where["Key"], rest[0]))
        with answer["Body"] as stream:
            body = bytes(stream.read())
    if len(body) != rest[1]:
        raise lost(found=len(body), expected=rest[1])
    return body


def complete(client: Any, where: dict[str, Any], etags: list[str]) -> None:
    """Join the parts, in their order."""
    named = [{"PartNumber": number, "ETag": etag} for number, etag in enumerate(etags, start=1)]
    with s3_errors(S3UploadError, "complete"):
        client.complete_multipart_upload(**where, MultipartUpload={"Parts": named})


def list_parts(client: Any, where: dict[str, Any]) -> list[Part]:
    """Return the parts of a multipart upload that have arrived, by number."""
    found: list[Part] = []
    while True:
        marker = found[-1].number if found else 0
        with s3_errors(S3UploadError, "list"):
            answer = client.list_parts(**where, PartNumberMarker=marker)
        found += [Part(part["PartNumber"], part["Size"], part["ETag"]) for part in answer.get("Parts", [])]
        if not answer.get("IsTruncated") or found[-1:] == [] or found[-1].number == marker:
            return found
