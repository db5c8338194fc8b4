"""Uploads that come in pieces: by tus, in parts straight to the store, or fetched from an address."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from flask import Response, request, url_for

from app.exceptions import UploadGoneError, ValidationError
from app.models.page import Page
from app.routes import tus
from app.routes.base import Blueprint, principal
from app.routes.idempotency import once_apart
from app.routes.incoming import RawBody
from app.schemas.base import page_schema
from app.schemas.idempotency import IdempotencyHeaderSchema
from app.schemas.uploads import (
    NewUploadHeadersSchema,
    NewUploadSchema,
    PartNumbersSchema,
    PartsSchema,
    SignedPartsSchema,
    TusHeadersSchema,
    UploadSchema,
    UploadsQuerySchema,
)
from app.services import uploads_multipart, uploads_shown, uploads_tus, uploads_url
from app.services.idempotency import Remember
from app.services.uploads_shown import UploadView

blp = Blueprint("uploads", __name__, description="Uploads: bytes on their way in, until they are a video.")
blp.after_request(tus.add_headers)
Answer = tuple[UploadView, int, dict[str, str]]


@blp.post("/uploads")
@blp.requires(role="editor", scope="write")
@blp.arguments(NewUploadHeadersSchema, location="headers")
@blp.arguments(NewUploadSchema, required=False)
@blp.response(201, UploadSchema)
@blp.alt_response(412, description="Another version of tus.")
def create_upload(headers: dict[str, Any], body: dict[str, Any]) -> Answer | Response:
    """Begin an upload that can be interrupted: by tus 1.0.0, in parts straight to the bucket, or from an address."""
    tus.check_version(headers["tus_resumable"])
    begin, wanted = _wanted(headers, dict(body))

    def effect(remember: Remember) -> UploadView:
        return begin(principal(), remember=remember, **wanted)

    made = once_apart(
        headers["idempotency_key"],
        effect,
        schema=UploadSchema,
        status=201,
        fingerprint=repr((request.full_path, begin.__module__, sorted(wanted.items()))).encode(),
    )
    return _located(made)


def _wanted(
    headers: dict[str, Any], body: dict[str, Any]
) -> tuple[Callable[..., UploadView], dict[str, Any]]:
    """Return what begins the upload that is asked for, and with what. Raises ValidationError."""
    if headers["tus_resumable"] is not None:
        tus.refuse_unspoken()
        texts = tus.texts(headers["upload_metadata"])
        return uploads_tus.create, {"total_bytes": tus.length(headers["upload_length"]), **texts}
    kind = body.pop("kind", None)
    if kind is None:
        problem = "Say url or multipart; or send Tus-Resumable: 1.0.0 and Upload-Length to resume by tus."
        raise ValidationError(details={"kind": [problem]})
    begin, unused = _BEGIN[kind]
    body.pop(unused, None)
    return begin, body


_BEGIN: dict[str, tuple[Callable[..., UploadView], str]] = {
    "url": (uploads_url.create, "total_bytes"),
    "multipart": (uploads_multipart.create, "url"),
}


def _located(made: UploadView | Response) -> Answer | Response:
    """Say where an upload is; tus clients go on there."""
    if isinstance(made, Response):
        made.headers["Location"] = _address(made.get_json()["id"])
        return made
    return made, 201, {"Location": _address(made.id), **tus.offset_headers(made)}


def _address(upload_id: uuid.UUID) -> str:
    return url_for("uploads.get_upload", upload_id=upload_id)


@blp.get("/uploads")
@blp.requires(role="viewer", scope="read")
@blp.arguments(UploadsQuerySchema, location="query")
@blp.response(200, page_schema(UploadSchema))
def list_uploads(query: dict[str, Any]) -> Page[UploadView]:
    """List uploads, newest first; how one ended is kept for a day."""
    return uploads_shown.list_uploads(principal(), **query)


@blp.get("/uploads/<uuid:upload_id>")
@blp.requires(role="viewer", scope="read")
@blp.response(200, UploadSchema)
@blp.alt_response(410, description="Asked by a tus client: nothing can be added any more.")
@blp.alt_response(412, description="Another version of tus.")
def get_upload(upload_id: uuid.UUID) -> Answer:
    """Get an upload: how far it is, and how it ended. HEAD answers `Upload-Offset` to tus clients."""
    tus.check_version(request.headers.get("Tus-Resumable"))
    found = uploads_shown.get(principal(), upload_id)
    if request.method == "HEAD" and found.state == "failed":
        raise UploadGoneError(details={"state": found.state, "error": found.error})
    return found, 200, tus.offset_headers(found)


@blp.patch("/uploads/<uuid:upload_id>")
@blp.requires(role="editor", scope="write", body_limit=None)
@blp.arguments(TusHeadersSchema, location="headers")
@blp.response(204)
@blp.alt_response(410, description="Nothing can be added to this upload any more.")
@blp.alt_response(412, description="Another version of tus.")
@blp.alt_response(423, description="Another request is sending to this upload.")
@blp.alt_response(460, description="The bytes do not have this checksum; none was kept.")
@blp.alt_response(503, description="As many files come in as can be received at once; see Retry-After.")
@blp.doc(
    requestBody={
        "required": True,
        "content": {tus.BODY_TYPE: {"schema": {"type": "string", "format": "binary"}}},
    }
)
def append_to_upload(headers: dict[str, Any], upload_id: uuid.UUID) -> Response:
    """Add bytes at the offset that HEAD has answered; with the last of them it becomes a video."""
    tus.check_version(headers["tus_resumable"])
    tus.check_body_type()
    body = RawBody(request.stream, filename="", total_bytes=request.content_length, texts={})
    view = uploads_tus.append(
        principal(),
        upload_id,
        body,
        offset=headers["upload_offset"],
        length=request.content_length,
        checksum=tus.checksum(headers["upload_checksum"]),
    )
    return Response(status=204, headers=tus.offset_headers(view))


@blp.delete("/uploads/<uuid:upload_id>")
@blp.requires(role="editor", scope="write")
@blp.response(204)
@blp.alt_response(412, description="Another version of tus.")
def delete_upload(upload_id: uuid.UUID) -> None:
    """End an upload and remove its bytes. A video it has become stays."""
    tus.check_version(request.headers.get("Tus-Resumable"))
    uploads_shown.end(principal(), upload_id)


# -- parts that go to the bucket directly


@blp.post("/uploads/<uuid:upload_id>/parts")
@blp.requires(role="editor", scope="write")
@blp.arguments(PartNumbersSchema)
@blp.response(200, SignedPartsSchema)
@blp.alt_response(410, description="The upload failed or was ended.")
def sign_upload_parts(body: dict[str, list[int]], upload_id: uuid.UUID) -> dict[str, Any]:
    """Get an address for each part to PUT it to; ask again for those that expired."""
    return {"data": uploads_multipart.sign(principal(), upload_id, body["part_numbers"])}


@blp.get("/uploads/<uuid:upload_id>/parts")
@blp.requires(role="viewer", scope="read")
@blp.response(200, PartsSchema)
@blp.alt_response(409, description="This upload has no parts of its own.")
@blp.alt_response(410, description="The upload failed or was ended.")
def list_upload_parts(upload_id: uuid.UUID) -> dict[str, Any]:
    """List the parts the bucket has, to go on with the others."""
    return {"data": uploads_multipart.parts(principal(), upload_id)}


@blp.post("/uploads/<uuid:upload_id>/complete")
@blp.requires(role="editor", scope="write")
@blp.arguments(IdempotencyHeaderSchema, location="headers")
@blp.response(200, UploadSchema)
@blp.alt_response(410, description="The upload failed or was ended.")
def complete_upload(headers: dict[str, Any], upload_id: uuid.UUID) -> UploadView | Response:
    """Join the parts; it becomes a video if all of them are there. Completing it once more changes nothing."""
    return once_apart(
        headers["idempotency_key"],
        lambda remember: uploads_multipart.complete(principal(), upload_id, remember=remember),
        schema=UploadSchema,
    )
