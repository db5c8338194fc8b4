"""A file in the body of a request, read as it arrives: the body itself, or the one file of a form.

Nothing is spooled: what the view does not read stays in the socket.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol
from urllib.parse import unquote

from flask import Request
from werkzeug.exceptions import BadRequest, RequestEntityTooLarge, UnsupportedMediaType
from werkzeug.sansio.multipart import Data, Epilogue, Event, Field, File, MultipartDecoder, NeedData

from app.domain.file_name import clean_filename
from app.exceptions import PayloadTooLargeError, ValidationError
from app.extensions import settings
from app.schemas.videos import VideoTextsSchema
from app.services.uploads import Incoming

CHUNK = 128 * 1024
FORM_MEMORY = 1024**2  # bytes of boundary, headers and texts of a form that may be held
MAX_PARTS = 16
PICTURES = ("image/jpeg", "image/png")
CUT_OFF = "The upload ended early: fewer bytes arrived than were announced. Send it again."


class _Stream(Protocol):
    def read(self, size: int, /) -> bytes: ...


def _read(stream: _Stream, size: int) -> bytes:
    try:
        return stream.read(size)
    except OSError as error:  # the connection broke, or the chunks of a chunked body cannot be told apart
        raise BadRequest(CUT_OFF) from error


def incoming_video(request: Request, query: Mapping[str, str]) -> Incoming:
    """Return the request's file, its texts from the query (and the form). Raises UnsupportedMediaType.

    Reads nothing of a raw body and of a form only what comes before its file.
    """
    kind = request.mimetype
    texts = {name: query[name] for name in ("title", "description") if name in query}
    name = query.get("filename") or unquote(request.headers.get("X-Filename", ""))
    if kind == "multipart/form-data":
        _refuse_long_form(request.content_length)
        return FormFile(request.stream, boundary=request.mimetype_params.get("boundary", ""), texts=texts)
    if kind and kind != "application/octet-stream" and not kind.startswith("video/"):
        raise UnsupportedMediaType(
            f"Send the file as video/*, application/octet-stream or multipart/form-data, not as {kind}."
        )
    return RawBody(
        request.stream, filename=clean_filename(name), total_bytes=request.content_length, texts=texts
    )


def incoming_picture(request: Request) -> RawBody:
    """Return the body as a picture to be read. Raises UnsupportedMediaType."""
    if request.mimetype not in PICTURES:
        found = request.mimetype or "nothing"
        raise UnsupportedMediaType(f"Send the picture as {' or '.join(PICTURES)}, not as {found}.")
    return RawBody(request.stream, filename="", total_bytes=request.content_length, texts={})


def picture_documentation() -> dict[str, Any]:
    """Return the request body as OpenAPI shows it: a picture."""
    binary = {"schema": {"type": "string", "format": "binary"}}
    return {"required": True, "content": dict.fromkeys(PICTURES, binary)}


def _refuse_long_form(announced: int | None) -> None:
    """Raise PayloadTooLargeError when even a file with the longest texts beside it would be shorter."""
    allowed = settings().max_upload_bytes
    if announced is not None and announced > allowed + FORM_MEMORY:
        raise PayloadTooLargeError(
            f"The form has {announced} bytes; files of at most {allowed} are allowed. Send a smaller one.",
            {"found": announced, "allowed": allowed},
        )


class RawBody:
    """The whole body as the file. Ends with an error when fewer bytes come than Content-Length said."""

    def __init__(
        self, stream: _Stream, *, filename: str, total_bytes: int | None, texts: Mapping[str, str]
    ) -> None:
        self.filename, self.total_bytes = filename, total_bytes
        self._stream, self._texts, self._received = stream, texts, 0

    def read(self, size: int, /) -> bytes:
        piece = _read(self._stream, size)
        self._received += len(piece)
        if not piece and self.total_bytes is not None and self._received < self.total_bytes:
            raise BadRequest(CUT_OFF)
        return piece

    def finish(self) -> Mapping[str, str]:
        return self._texts


class FormFile:
    """The one file of a multipart form; texts may stand before or after it.

    Raises ValidationError for a form without a file, with two, or with unknown or wrong fields.
    """

    total_bytes = None  # a form announces its own length, not that of its file

    def __init__(self, stream: _Stream, *, boundary: str, texts: Mapping[str, str]) -> None:
        if not boundary:
            raise BadRequest("The form's Content-Type names no boundary.")
        self._stream = stream
        self._decoder = MultipartDecoder(boundary.encode(), FORM_MEMORY, max_parts=MAX_PARTS)
        self._texts: dict[str, str] = dict(texts)
        self._pending = b""
        self._in_file = True
        part = self._next_part()
        if part is None:
            raise ValidationError(details={"file": ["The form has no file. Add one."]})
        self.filename = clean_filename(part.filename)

    def read(self, size: int, /) -> bytes:
        while not self._pending and self._in_file:
            event = self._next_event()
            if isinstance(event, Data):
                self._pending, self._in_file = event.data, event.more_data
        piece, self._pending = self._pending[:size], self._pending[size:]
        return piece

    def finish(self) -> Mapping[str, str]:
        if self._next_part() is not None:
            raise ValidationError(details={"file": ["Send one file at a time."]})
        texts: Mapping[str, str] = VideoTextsSchema().load(self._texts)
        return texts

    def _next_part(self) -> File | None:
        """Go on to the next file, keeping the texts on the way; None at the form's end."""
        while not isinstance(event := self._next_event(), Epilogue):
            if isinstance(event, File):
                return event
            if isinstance(event, Field):
                self._texts[event.name] = self._text(event.name)
        return None

    def _text(self, name: str) -> str:
        raw = b""
        while isinstance(event := self._next_event(), Data):
            raw += event.data
            if len(raw) > FORM_MEMORY:
                raise RequestEntityTooLarge
            if not event.more_data:
                break
        try:
            return raw.decode()
        except UnicodeDecodeError:
            raise ValidationError(details={name: ["Not valid UTF-8."]}) from None

    def _next_event(self) -> Event:
        try:
            while isinstance(event := self._decoder.next_event(), NeedData):
                self._decoder.receive_data(_read(self._stream, CHUNK) or None)  # None: there is no more
        except ValueError as error:
            raise BadRequest(CUT_OFF if self._decoder.complete else "The form cannot be read.") from error
        return event


def form_documentation() -> dict[str, Any]:
    """Return the request body as OpenAPI shows it: the file itself, or a form with one."""
    binary = {"schema": {"type": "string", "format": "binary"}}
    form = {
        "type": "object",
        "required": ["file"],
        "properties": {
            "file": {"type": "string", "format": "binary"},
            "title": {"type": "string"},
            "description": {"type": "string"},
        },
    }
    kinds = {"video/*": binary, "application/octet-stream": binary, "multipart/form-data": {"schema": form}}
    return {"required": True, "content": kinds}
