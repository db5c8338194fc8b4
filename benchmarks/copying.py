"""The baseline of uploads: a bare view that copies what comes, as durably as we do, and nothing else.

gunicorn -c gunicorn.conf.py benchmarks.copying:app. COPY_TO is a file, synced once and removed at the end of each
request; or the address of an S3 server, which gets parts of 16 MiB by boto3 from one buffer.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

BLOCK = 256 * 1024
PART = 16 * 1024**2
TO = os.environ["COPY_TO"]


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    copy = to_bucket if TO.startswith("http:") else to_file
    copy(environ["wsgi.input"])
    start_response("204 No Content", [])
    return []


def to_file(stream: Any) -> None:
    path = Path(TO)
    with path.open("wb", buffering=0) as file:
        while piece := stream.read(BLOCK):
            file.write(piece)
        os.fsync(file.fileno())
    path.unlink()


def to_bucket(stream: Any) -> None:
    import boto3
    from botocore.config import Config

    client = boto3.client(
        "s3", endpoint_url=TO, region_name="us-east-1", aws_access_key_id="key", aws_secret_access_key="secret",
        config=Config(request_checksum_calculation="when_required", s3={"addressing_style": "path"}),
    )  # fmt: skip
    where = {"Bucket": "videos", "Key": "copy"}
    where["UploadId"] = client.create_multipart_upload(**where)["UploadId"]
    parts, buffer = [], bytearray()
    while piece := stream.read(BLOCK):
        buffer += piece
        if len(buffer) >= PART:
            parts.append(_part(client, where, len(parts) + 1, buffer))
            buffer = bytearray()
    if buffer:
        parts.append(_part(client, where, len(parts) + 1, buffer))
    client.complete_multipart_upload(**where, MultipartUpload={"Parts": parts})


def _part(client: Any, where: dict[str, str], number: int, body: bytearray) -> dict[str, Any]:
    return {"PartNumber": number, "ETag": client.upload_part(**where, PartNumber=number, Body=body)["ETag"]}
