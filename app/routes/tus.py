"""What tus 1.0.0 (https://tus.io/protocols/resumable-upload) says in headers."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from flask import Response, request
from werkzeug.exceptions import UnsupportedMediaType
from werkzeug.http import http_date

from app.exceptions import PreconditionFailedError, ValidationError
from app.extensions import settings
from app.schemas.uploads import TUS_VERSION
from app.schemas.videos import VideoTextsSchema
from app.services.uploads_shown import UploadView
from app.services.uploads_tus import ALGORITHMS, Checksum

EXTENSIONS = "creation,expiration,termination,checksum"
BODY_TYPE = "application/offset+octet-stream"
KNOWN = ("filename", "title", "description", "filetype", "name", "type")  # the last two: what Uppy sends
UNSPOKEN = {  # headers of extensions that are not ours, and what to do instead
    "Upload-Concat": "Files are not joined here. Send the whole file as one upload (tus-js-client: parallelUploads 1).",
    "Upload-Defer-Length": "The length must be known at the beginning. Send Upload-Length instead.",
}
OFFSET_HEADERS = ("Upload-Offset", "Upload-Length", "Upload-Expires")


def check_version(found: str | None) -> None:
    """Raise PreconditionFailedError for a version of the protocol that is not ours; None: not a tus request."""
    if found is not None and found != TUS_VERSION:
        raise PreconditionFailedError(
            f"Tus-Resumable must be {TUS_VERSION}.", {"found": found[:20], "allowed": TUS_VERSION}
        )


def refuse_unspoken() -> None:
    """Raise ValidationError for a header of an extension that is not ours: it must not be lost silently."""
    problems = {
        name: [f"{problem} Found {request.headers[name][:40]!r}."]
        for name, problem in UNSPOKEN.items()
        if name in request.headers
    }
    if problems:
        raise ValidationError(details=problems)


def check_body_type() -> None:
    """Raise UnsupportedMediaType unless the body is bytes of an upload."""
    if request.mimetype != BODY_TYPE:
        raise UnsupportedMediaType(f"Send the bytes as {BODY_TYPE}, not as {request.mimetype or 'nothing'}.")


def length(text: str | None) -> int:
    """Return the length of the whole file. Raises ValidationError."""
    if text is None or not (text.isascii() and text.isdigit() and len(text) < 19):
        found = "none" if text is None else repr(text[:40])
        problem = f"Must be the length of the whole file in bytes, found {found}."
        raise ValidationError(details={"Upload-Length": [problem]})
    return int(text)


def texts(metadata: str | None) -> dict[str, str]:
    """Return `filename`, `title` and `description` of an Upload-Metadata header. Raises ValidationError."""
    found: dict[str, str] = {}
    for pair in filter(None, (part.strip() for part in (metadata or "").split(","))):
        name, _, encoded = pair.partition(" ")
        if name not in KNOWN:
            continue  # a client may keep there what it needs itself
        try:
            found[name] = base64.b64decode(encoded.strip(), validate=True).decode()
        except (binascii.Error, ValueError):
            problem = f"`{name}` must be UTF-8 in Base64."
            raise ValidationError(details={"Upload-Metadata": [problem]}) from None
    said: Mapping[str, Any] = VideoTextsSchema().load(
        {name: found[name] for name in ("title", "description") if name in found}
    )
    return {"filename": found.get("filename") or found.get("name", ""), **said}


def checksum(text: str | None) -> Checksum | None:
    """Return what an Upload-Checksum header says. Raises ValidationError."""
    if text is None:
        return None
    algorithm, _, encoded = text.partition(" ")
    try:
        digest = base64.b64decode(encoded.strip(), validate=True)
    except (binascii.Error, ValueError):
        digest = b""
    if algorithm not in ALGORITHMS or not digest:
        problem = f"Must be one of {', '.join(ALGORITHMS)}, a blank, and the hash in Base64."
        raise ValidationError(details={"Upload-Checksum": [problem]})
    return Checksum(algorithm, digest)


def offset_headers(view: UploadView) -> dict[str, str]:
    """Return how far an upload is, as HEAD and PATCH answer it."""
    if view.kind != "tus":
        return {}
    return {
        "Upload-Offset": str(view.offset_bytes),
        "Upload-Length": str(view.total_bytes),
        "Upload-Expires": http_date(view.expires_at),
    }


def add_headers(response: Response) -> Response:
    """Say on every answer of these addresses which protocol is spoken, and all of it to OPTIONS."""
    response.headers["Tus-Resumable"] = TUS_VERSION
    if request.method == "OPTIONS":
        response.headers["Tus-Extension"] = EXTENSIONS
        response.headers["Tus-Max-Size"] = str(settings().max_upload_bytes)
        response.headers["Tus-Checksum-Algorithm"] = ",".join(ALGORITHMS)
    if request.method == "OPTIONS" or response.status_code == 412:
        response.headers["Tus-Version"] = TUS_VERSION
    return response
