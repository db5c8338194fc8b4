"""What follows a Facebook post in the stand-in: its cover, its comments, its figures."""

from __future__ import annotations

import secrets
from typing import Any

from flask import Blueprint, jsonify, request
from flask.typing import ResponseReturnValue

from sandbox.accounts import Account
from sandbox.clock import isoformat
from sandbox.comments import Comment, listed
from sandbox.faults import operation
from sandbox.platforms._facebook_life import find_video, is_out
from sandbox.platforms._meta import GraphError, Meta, paged
from sandbox.state import current
from sandbox.uploads import Upload

_REEL_METRICS: dict[str, Any] = {
    "blue_reels_play_count": 5,
    "fb_reels_total_plays": 7,
    "fb_reels_replay_count": 2,
    "post_video_avg_time_watched": 4_200,
    "post_video_view_time": 21_000,
    "post_video_social_actions": {"COMMENT": 1, "SHARE": 2},
    "post_video_likes_by_reaction_type": {"REACTION_LIKE": 3},
    "post_video_followers": 1,
}
_VIDEO_METRICS: dict[str, Any] = {"total_video_views": 6, "total_video_avg_time_watched": 9_000}


def make_blueprint(meta: Meta) -> Blueprint:
    """Return the edges of a video: thumbnails, comments, video_insights."""
    blueprint = Blueprint("after", __name__)

    @blueprint.post("/graph.facebook/<version>/<video_id>/thumbnails")
    @operation("facebook.thumbnail", "Set a video's cover.")
    def thumbnails(version: str, video_id: str) -> ResponseReturnValue:  # noqa: ARG001 - any version
        page = meta.caller().needs("pages_manage_posts").page()
        return _set_cover(find_video(current(), video_id, page))

    @blueprint.post("/graph.facebook/<version>/<video_id>/comments")
    @operation("facebook.comment", "Write a comment as the Page.")
    def comment(version: str, video_id: str) -> ResponseReturnValue:  # noqa: ARG001
        page = meta.caller().needs("pages_manage_engagement").page()
        return _write(_public(video_id, page), page)

    @blueprint.get("/graph.facebook/<version>/<video_id>/comments")
    @operation("facebook.comments", "The comments below a video.")
    def comments(version: str, video_id: str) -> ResponseReturnValue:  # noqa: ARG001
        page = meta.caller().needs("pages_read_engagement").page()
        return _listed(_public(video_id, page), page)

    @blueprint.get("/graph.facebook/<version>/<video_id>/video_insights")
    @operation("facebook.insights", "A video's figures, by metric.")
    def insights(version: str, video_id: str) -> ResponseReturnValue:  # noqa: ARG001
        page = meta.caller().needs("read_insights").page()
        return _figures(_public(video_id, page))

    return blueprint


def _public(video_id: str, page: Account) -> Upload:
    upload = find_video(current(), video_id, page)
    if not is_out(current(), upload):
        raise GraphError(400, 100, "Unsupported request. The video is not public.", subcode=33)
    return upload


def _set_cover(upload: Upload) -> ResponseReturnValue:
    sent = request.files.get("source")
    if sent is None or not sent.mimetype.startswith("image/"):
        raise GraphError(400, 100, "Param source must be an image.")
    upload.details["cover"] = {
        "preferred": request.form.get("is_preferred") == "true",
        "size": len(sent.read()),
    }
    current().uploads.put(upload)
    return jsonify(success=True)


def _write(upload: Upload, page: Account) -> ResponseReturnValue:
    message = request.form.get("message", "")
    if not message.strip():
        raise GraphError(400, 100, "Param message must not be empty.")
    comment_id = f"{upload.id}_{10**15 + secrets.randbelow(9 * 10**15)}"
    made = Comment(comment_id, "facebook", upload.id, page.username, message, current().now())
    current().comments.put(made)
    return jsonify(id=made.id)


def _listed(upload: Upload, page: Account) -> ResponseReturnValue:
    found = listed(current(), platform="facebook", post_id=upload.id)
    shown = [
        {
            "id": item.id,
            "message": item.text,
            "created_time": isoformat(item.created_at),
            "from": {"id": page.remote_id, "name": page.nickname or page.username},
        }
        for item in found
    ]
    return jsonify(paged(shown))


def _figures(upload: Upload) -> ResponseReturnValue:
    """One unknown metric fails all; one of the other kind of video is left out without a word."""
    asked = [name for name in request.args.get("metric", "").split(",") if name]
    own, other = _REEL_METRICS, _VIDEO_METRICS
    if upload.details["kind"] == "video":
        own, other = other, own
    if not asked or not set(asked) <= {*own, *other}:
        raise GraphError(400, 100, "The value must be a valid insights metric.")
    rows = [{"name": n, "period": "lifetime", "values": [{"value": own[n]}]} for n in asked if n in own]
    return jsonify(data=rows)
