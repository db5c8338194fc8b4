"""YouTube's upload host: sessions, chunks in order, questions about them, and thumbnails."""

from __future__ import annotations

import secrets
from typing import Any

from flask import Blueprint, Response, g, jsonify, request
from flask.typing import ResponseReturnValue

from sandbox.faults import Fault, declare, drain, operation
from sandbox.platforms import _youtube_life as life
from sandbox.platforms import _youtube_rules as rules
from sandbox.platforms._youtube_login import caller_of
from sandbox.platforms._youtube_rules import GRAIN, RefusedError, parse_range
from sandbox.posts import read_markers
from sandbox.state import current
from sandbox.uploads import Piece, Upload

blueprint = Blueprint("upload", __name__, url_prefix="/upload/youtube/v3")


@blueprint.post("/videos")
@operation("youtube.session", "Begin an upload session.")
def session() -> ResponseReturnValue:
    caller = caller_of(*rules.UPLOAD, units=1, bucket="inserts")
    sandbox, body = current(), request.get_json(silent=True)
    if request.args.get("uploadType") != "resumable" or request.args.get("part") != "snippet,status":
        raise RefusedError(400, "badRequest", "Here uploadType is resumable and part is snippet,status.")
    if not isinstance(body, dict):
        raise RefusedError(400, "invalidVideoMetadata", "The body must be a JSON object.")
    snippet, status = rules.check_snippet(body.get("snippet")), rules.check_status(body.get("status"))
    now, session_id = sandbox.now(), secrets.token_hex(16)
    upload = Upload(
        id=session_id,
        platform="youtube",
        publish_id="",
        secret=secrets.token_hex(16),
        client_id=caller.grant.client_id,
        account=caller.account.username,
        size=_announced_size(),
        created_at=now,
        expires_at=now + sandbox.settings.upload_session_seconds,
        content_type=request.headers.get("X-Upload-Content-Type", ""),
        markers=read_markers(f"{snippet['title']} {snippet['description']}"),
        # Without the right to change videos nobody will set the privacy later: the last byte publishes.
        details={"snippet": snippet, "status": status, "by_last_byte": not caller.may(*rules.CHANGE)},
    )
    sandbox.uploads.put(upload)
    query = f"uploadType=resumable&upload_id={upload.id}.{upload.secret}&part=snippet,status"
    return Response(
        status=200, headers={"Location": f"{request.host_url}youtube/upload/youtube/v3/videos?{query}"}
    )


def _announced_size() -> int:
    size, kind = (
        request.headers.get("X-Upload-Content-Length", ""),
        request.headers.get("X-Upload-Content-Type", ""),
    )
    if not size.isdigit() or not 0 < int(size) <= rules.FILE_MAX:
        raise RefusedError(400, "badRequest", "X-Upload-Content-Length must be a number of bytes.")
    if not (kind.startswith("video/") or kind == "application/octet-stream"):
        raise RefusedError(400, "badContent", "Media type is not supported.")
    return int(size)


# -- bytes


def _this_upload() -> Upload | None:
    session_id, _, secret = request.args.get("upload_id", "").partition(".")
    upload = current().uploads.get(session_id)
    known = upload is not None and upload.platform == "youtube" and upload.secret == secret
    return upload if known else None


def _which_call() -> tuple[str, Fault | None]:
    """Name the call: a question, a chunk, or the last one, which publishes where it is the commit."""
    upload, asked = _this_upload(), parse_range(request.headers.get("Content-Range", ""))
    if asked is not None and asked.end is None:
        return "youtube.ask", None
    if upload is None or (asked is not None and asked.end != upload.size):
        return "youtube.chunk", None
    commits = upload.details["by_last_byte"] and asked is not None and asked.start == upload.received
    return "youtube.last_chunk", marker_fault(upload, "youtube.last_chunk") if commits else None


def marker_fault(upload: Upload, name: str) -> Fault | None:
    """Return the trouble the video's own texts ask for at its commit; each strikes once."""
    for marker in ("drop-before", "drop-after", "slow"):
        with current().store.transaction():
            if marker not in upload.markers or marker in upload.spent:
                continue
            upload.spent.append(marker)
            current().uploads.put(upload)
        if marker == "slow":
            return Fault(name, "delay", when="after", seconds=_seconds(upload.markers[marker]))
        return Fault(name, marker.replace("-", "_"))
    return None


def _seconds(text: str) -> float:
    try:
        return min(max(float(text), 0.0), 300.0)
    except ValueError:
        return 5.0


@blueprint.put("/videos")
@operation("youtube.chunk", "Bytes of a video, not the last ones.", resolve=_which_call)
def chunk() -> ResponseReturnValue:
    try:
        return _take(_this_upload())
    except RefusedError:
        drain()
        raise


declare("youtube.last_chunk", "The last bytes of a video.")
declare("youtube.ask", "How much of a video a session holds.")


def _take(upload: Upload | None) -> Response:
    caller, sandbox = caller_of(*rules.UPLOAD), current()
    if upload is None or upload.expires_at <= sandbox.now():
        raise RefusedError(404, "notFound", "The upload session does not exist any more.")
    if (upload.client_id, upload.account) != (caller.grant.client_id, caller.account.username):
        raise RefusedError(403, "forbidden", "The upload session belongs to another project or channel.")
    length = request.content_length
    if length is None:
        raise RefusedError(411, "lengthRequired", "Content-Length is missing.")
    asked = parse_range(request.headers.get("Content-Range", f"bytes 0-{length - 1}/{length}"))
    if asked is None or asked.total != upload.size or length != (asked.end or 0) - (asked.start or 0):
        raise RefusedError(400, "badRequest", "Content-Range and Content-Length do not fit the upload.")
    if asked.end is None or upload.committed_at is not None:
        return _state(upload)
    _check(upload, asked.start or 0, asked.end)
    return _store(upload, asked.start or 0, length)


def _check(upload: Upload, start: int, end: int) -> None:
    if start != upload.received:
        raise RefusedError(400, "badRequest", "These are not the bytes that come next.")
    if end != upload.size and (end - start) % GRAIN:
        raise RefusedError(400, "badRequest", f"A chunk must be a multiple of {GRAIN} bytes.")


def _store(upload: Upload, start: int, length: int) -> Response:
    sandbox, wanted = current(), min(length, g.get("store_only", length))
    piece = sandbox.files.receive(upload.id, request.stream, start=start, length=wanted)
    if piece.length < length:
        return _store_part(upload, piece)
    return _keep(upload, piece)


def _store_part(upload: Upload, piece: Piece) -> Response:
    """Keep of a cut-off chunk what is whole: multiples of 256 KiB."""
    whole = piece.length // GRAIN * GRAIN
    sandbox = current()
    if whole == 0:
        sandbox.files.discard(piece)
        return _state(upload)
    with piece.path.open("rb") as stored:
        kept = sandbox.files.receive(upload.id, stored, start=piece.start, length=whole)
    sandbox.files.discard(piece)
    return _keep(upload, kept)


def _keep(upload: Upload, piece: Piece) -> Response:
    """Add a piece if it is still the next one: of two equal ones the first counts."""
    sandbox = current()
    with sandbox.files.lock(upload.id):
        if upload.committed_at is not None or piece.start != upload.received:
            sandbox.files.discard(piece)
            return _state(upload)
        sandbox.files.append(upload.id, piece)
        with sandbox.store.transaction():
            upload.received = piece.start + piece.length
            if upload.is_complete():
                life.complete(
                    sandbox,
                    upload,
                    sha256=piece.hasher.hexdigest(),
                    publishes=upload.details["by_last_byte"],
                    received_at=g.received_at,
                )
            sandbox.uploads.put(upload)
    if upload.is_complete():
        sandbox.files.finish(upload.id)
    return _state(upload)


def _state(upload: Upload) -> Response:
    if upload.committed_at is not None:
        return jsonify(life.resource(current(), upload, {"snippet", "status"}))
    headers = {"Range": f"bytes=0-{upload.received - 1}"} if upload.received else {}
    return Response(status=308, headers=headers)


# -- thumbnails


@blueprint.post("/thumbnails/set")
@operation("youtube.thumbnail", "Set a video's thumbnail.")
def thumbnail() -> ResponseReturnValue:
    caller = caller_of(*rules.UPLOAD, units=50)
    sandbox, data = current(), request.get_data()
    video = life.video_named(sandbox, request.args.get("videoId", ""))
    if video is None:
        raise RefusedError(404, "videoNotFound", "The video cannot be found.")
    if video.account != caller.account.username or not sandbox.settings.channel_verified:
        raise RefusedError(403, "forbidden", "The channel may not set this thumbnail.", "youtube.thumbnail")
    if video.details["is_short"] and not life.is_processed(sandbox, video):
        raise RefusedError(403, "forbidden", "The Short is not processed yet.", "youtube.thumbnail")
    rules.check_image(request.mimetype, data)
    with sandbox.store.transaction():
        video.details["thumbnails"] = video.details.get("thumbnails", 0) + 1
        sandbox.uploads.put(video)
    shown: dict[str, Any] = {"default": {"url": f"{request.host_url}avatar.svg", "width": 120, "height": 90}}
    return jsonify(kind="youtube#thumbnailSetResponse", items=[shown])
