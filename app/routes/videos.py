"""Videos: sent once, measured once, used by any number of posts."""

from __future__ import annotations

import uuid
from typing import Any

from flask import Response, redirect, request
from flask.typing import ResponseReturnValue

from app.models.page import Page
from app.routes.base import Blueprint, principal
from app.routes.idempotency import ETAG, once_streamed, once_tagged, tagged, wanted_version
from app.routes.incoming import form_documentation, incoming_picture, incoming_video, picture_documentation
from app.schemas.base import page_schema
from app.schemas.idempotency import IdempotencyHeaderSchema, IfMatchHeaderSchema
from app.schemas.videos import (
    NewVideoQuerySchema,
    ThumbnailChoiceSchema,
    VideoChangesSchema,
    VideoSchema,
    VideosQuerySchema,
)
from app.services import videos
from app.services.videos import VideoView

blp = Blueprint("videos", __name__, description="Videos: sent once, used by any number of posts.")
Tagged = tuple[VideoView, dict[str, str]]


@blp.post("/videos")
@blp.requires(role="editor", scope="write", body_limit=None)
@blp.arguments(NewVideoQuerySchema, location="query")
@blp.arguments(IdempotencyHeaderSchema, location="headers")
@blp.response(201, VideoSchema, headers=ETAG)
@blp.alt_response(503, description="As many files come in as can be received at once; see Retry-After.")
@blp.doc(requestBody=form_documentation())
def create_video(query: dict[str, str], headers: dict[str, Any]) -> Tagged | Response:
    """Send a video, as the body itself or as the `file` of a form.

    It is measured afterwards: `state` goes from `processing` to `ready` or `rejected`. Posts may name it at once.
    """
    made = once_streamed(
        headers["idempotency_key"],
        lambda remember: videos.create(principal(), incoming_video(request, query), remember=remember),
        schema=VideoSchema,
        status=201,
        sealed=True,  # links to the files
    )
    id_ = made.get_json()["id"] if isinstance(made, Response) else made.id
    return tagged(made, Location=f"{request.path}/{id_}")


@blp.get("/videos")
@blp.requires(role="viewer", scope="read")
@blp.arguments(VideosQuerySchema, location="query")
@blp.response(200, page_schema(VideoSchema))
def list_videos(query: dict[str, Any]) -> Page[VideoView]:
    """List the workspace's videos, newest first."""
    return videos.list_videos(principal(), **query)


@blp.get("/videos/<uuid:video_id>")
@blp.requires(role="viewer", scope="read")
@blp.response(200, VideoSchema, headers=ETAG)
def get_video(video_id: uuid.UUID) -> Tagged | Response:
    """Get a video: its state, its measured facts, links to the file and a picture."""
    return tagged(videos.get(principal(), video_id))


@blp.patch("/videos/<uuid:video_id>")
@blp.requires(role="editor", scope="write")
@blp.arguments(VideoChangesSchema)
@blp.arguments(IfMatchHeaderSchema, location="headers")
@blp.response(200, VideoSchema, headers=ETAG)
def edit_video(body: dict[str, str], headers: dict[str, Any], video_id: uuid.UUID) -> Tagged | Response:
    """Change title or description. Posts made already keep their texts.

    With `If-Match` only if nobody else changed it since it was read.
    """
    return tagged(videos.edit(principal(), video_id, body, version=wanted_version(headers["if_match"])))


@blp.delete("/videos/<uuid:video_id>")
@blp.requires(role="editor", scope="write")
@blp.response(204)
def delete_video(video_id: uuid.UUID) -> None:
    """Delete a video and its file. Refused while posts that are not done use it."""
    videos.delete(principal(), video_id)


@blp.post("/videos/<uuid:video_id>/archive")
@blp.requires(role="editor", scope="write")
@blp.arguments(IdempotencyHeaderSchema, location="headers")
@blp.response(200, VideoSchema, headers=ETAG)
def archive_video(headers: dict[str, Any], video_id: uuid.UUID) -> Tagged | Response:
    """Let go of a video's file; its facts, its thumbnail and its posts stay.

    Refused while posts that are not done use it. RETAIN_ORIGINALS_DAYS does the same by itself.
    """
    return once_tagged(
        headers["idempotency_key"],
        lambda remember: videos.archive(principal(), video_id, remember=remember),
        schema=VideoSchema,
        sealed=True,  # a link to the thumbnail
    )


@blp.get("/videos/<uuid:video_id>/file")
@blp.requires(role="viewer", scope="read")
@blp.response(302, description="To a signed link that expires.")
def get_video_file(video_id: uuid.UUID) -> ResponseReturnValue:
    """Get the video's file as it was sent."""
    return redirect(videos.file_link(principal(), video_id))


@blp.get("/videos/<uuid:video_id>/thumbnail")
@blp.requires(role="viewer", scope="read")
@blp.response(302, description="To a signed link that expires.")
def get_video_thumbnail(video_id: uuid.UUID) -> ResponseReturnValue:
    """Get a picture of the video (JPEG)."""
    return redirect(videos.thumbnail_link(principal(), video_id))


@blp.put("/videos/<uuid:video_id>/thumbnail")
@blp.requires(role="editor", scope="write")
@blp.arguments(ThumbnailChoiceSchema)
@blp.response(202, VideoSchema, headers=ETAG)
def choose_video_thumbnail(body: dict[str, Any], video_id: uuid.UUID) -> Tagged | Response:
    """Choose the frame a video is shown by. It is taken afterwards: see `thumbnail_pending`.

    Posts whose options say so use it as their cover.
    """
    return tagged(videos.choose_thumbnail(principal(), video_id, at_seconds=body["at_seconds"]))


@blp.put("/videos/<uuid:video_id>/thumbnail/image")
@blp.requires(role="editor", scope="write", body_limit=None)
@blp.response(200, VideoSchema, headers=ETAG)
@blp.doc(requestBody=picture_documentation())
def put_video_thumbnail(video_id: uuid.UUID) -> Tagged | Response:
    """Send a picture to show a video by: a JPEG or PNG as the body.

    It is decoded and written anew as a JPEG of at most 1920 pixels; what else was in the file is gone.
    """
    return tagged(videos.put_thumbnail(principal(), video_id, lambda: incoming_picture(request)))
