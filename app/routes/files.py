"""Files behind signed links: whole or in ranges (RFC 9110, 14), the same for every store."""

from __future__ import annotations

from urllib.parse import quote

from flask import Response, request
from werkzeug.datastructures import Headers
from werkzeug.exceptions import RequestedRangeNotSatisfiable

from app.domain.file_name import printable
from app.routes.base import Blueprint
from app.services import files
from app.services.files import LinkedFile

blp = Blueprint("files", __name__, description="Files behind signed links.", url_prefix="/files")

NOTHING_RUNS = "default-src 'none'; media-src 'self'; style-src 'unsafe-inline'; sandbox"


@blp.get("/<token>/<name>")
@blp.public()
@blp.response(200, description="The file.")
@blp.alt_response(206, description="The asked range of it.")
@blp.alt_response(304, description="What you have is still right.")
@blp.alt_response(403, description="The link is forged or has expired.")
@blp.alt_response(404, description="The file is gone.")
@blp.alt_response(416, description="The file has no such range.")
def get_file(token: str, name: str) -> Response:  # noqa: ARG001 - the name is there for readers and players
    """Get a file by a signed link, whole or a range of it."""
    file = files.find(token)
    if file.etag in request.if_none_match:
        return Response(status=304, headers=_headers(file))
    start, stop = _wanted_range(file)
    headers = _headers(file)
    headers["Content-Length"] = str(stop - start)
    if (start, stop) == (0, file.size) and "Range" not in request.headers:
        return Response(file.read(0, file.size), headers=headers)
    return _answer(file, start, stop, headers)


def _answer(file: LinkedFile, start: int, stop: int, headers: Headers) -> Response:
    """Answer a request that names a range: 206, unless the range is one we may ignore."""
    if not _is_single_range(file):
        return Response(file.read(0, file.size), headers=headers)
    headers["Content-Range"] = f"bytes {start}-{stop - 1}/{file.size}"
    return Response(file.read(start, stop - start), status=206, headers=headers)


def _is_single_range(file: LinkedFile) -> bool:
    """Should the Range header count? Several ranges at once, other units and an outdated copy: no."""
    asked = request.range
    if asked is None or asked.units != "bytes" or len(asked.ranges) != 1:
        return False
    condition = request.headers.get("If-Range")
    return condition is None or condition == f'"{file.etag}"'


def _wanted_range(file: LinkedFile) -> tuple[int, int]:
    """Return the first byte and the one after the last. Raises RequestedRangeNotSatisfiable."""
    if not _is_single_range(file) or request.range is None:
        return 0, file.size
    first, last = request.range.ranges[0]
    if last is None and first < 0 and file.size:  # the last so many bytes; of a shorter file all of it
        return max(file.size + first, 0), file.size
    found = request.range.range_for_length(file.size)
    if found is None:
        raise RequestedRangeNotSatisfiable(file.size, description=f"The file has {file.size} bytes.")
    return found


def _headers(file: LinkedFile) -> Headers:
    headers = Headers()
    headers["Content-Type"] = file.content_type
    headers["Content-Disposition"] = _disposition(file.name)
    headers["Accept-Ranges"] = "bytes"
    headers["ETag"] = f'"{file.etag}"'
    headers["Cache-Control"] = f"private, max-age={file.expires_in}"
    headers["X-Content-Type-Options"] = "nosniff"
    headers["Content-Security-Policy"] = NOTHING_RUNS
    headers["Cross-Origin-Resource-Policy"] = "cross-origin"
    return headers


def _disposition(name: str) -> str:
    """Name the file for whoever saves it: in ASCII for old readers, whole for the others (RFC 6266)."""
    name = printable(name)  # rows and links of older versions may hold what no header takes
    plain = name.encode("ascii", "replace").decode().replace("\\", "_").replace('"', "'")
    return f"inline; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
