"""YouTube: Google's OAuth, the resumable upload and the Data API v3 as documented in 2026.

Sections 1 and 9 of the project's platform reference name every rule. A post exists from the moment somebody
was given the right to see the video: at `videos.update`, or at the last byte where that is the commit.
"""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, abort, g, jsonify, make_response, request
from flask.typing import ResponseReturnValue

from sandbox import comments, feed
from sandbox.comments import Comment
from sandbox.faults import Fault, operation
from sandbox.platforms import _youtube_life as life
from sandbox.platforms import _youtube_login as login
from sandbox.platforms import _youtube_rules as rules
from sandbox.platforms import _youtube_upload as upload
from sandbox.platforms._youtube_login import caller_of
from sandbox.platforms._youtube_rules import SCOPES, RefusedError
from sandbox.state import CLIENT_ID, CLIENT_SECRET, current
from sandbox.uploads import Upload

__all__ = ["ENVIRONMENT", "LABEL", "SCOPES", "blueprint"]
LABEL = "YouTube"
# The settings that lead the product here; {base} is the sandbox's address, {host} its host name.
ENVIRONMENT = {
    "YOUTUBE_AUTH_URL": "{base}/youtube/o/oauth2/v2/auth",
    "YOUTUBE_TOKEN_URL": "{base}/youtube/token",
    "YOUTUBE_REVOKE_URL": "{base}/youtube/revoke",
    "YOUTUBE_WEB_URL": "{base}/youtube",
    "YOUTUBE_API_BASE": "{base}/youtube/youtube/v3",
    "YOUTUBE_UPLOAD_BASE": "{base}/youtube/upload/youtube/v3",
    "YOUTUBE_UPLOAD_HOSTS": "{host}",
    # The stand-in counts by itself, and only when its settings `daily_uploads` and `daily_units` say so.
    "YOUTUBE_INSERTS_PER_DAY": "1000000",
    "YOUTUBE_UNITS_PER_DAY": "1000000000",
    "YOUTUBE_CLIENT_ID": CLIENT_ID,
    "YOUTUBE_CLIENT_SECRET": CLIENT_SECRET,
}
API = "/youtube/v3"
PARTS = {"snippet", "status", "processingDetails", "contentDetails", "statistics"}
blueprint = Blueprint("youtube", __name__, url_prefix="/youtube")
blueprint.register_blueprint(login.blueprint)
blueprint.register_blueprint(upload.blueprint)


@blueprint.errorhandler(RefusedError)
def refused(refusal: RefusedError) -> ResponseReturnValue:
    return refusal.answer()


def _parts(known: set[str]) -> set[str]:
    asked = {name for name in request.args.get("part", "").split(",") if name}
    if not asked or not asked <= known:
        raise RefusedError(400, "unknownPart", f"part must name some of {', '.join(sorted(known))}.")
    return asked


# -- channels


@blueprint.get(f"{API}/channels")
@operation("youtube.channels", "The channel the token is of.")
def channels() -> ResponseReturnValue:
    account = caller_of(*rules.READ, units=1).account
    asked = _parts({"id", "snippet", "contentDetails", "status", "statistics"})
    if request.args.get("mine") != "true":
        raise RefusedError(400, "missingRequiredParameter", "Here mine must be true.")
    channel_id = life.channel_of(account)
    long_uploads = "allowed" if current().settings.channel_verified else "eligible"
    made: dict[str, Any] = {
        "snippet": {
            "title": account.nickname or account.username,
            "customUrl": f"@{account.username}",
            "thumbnails": {"default": {"url": f"{request.host_url}avatar.svg"}},
        },
        "contentDetails": {"relatedPlaylists": {"uploads": _playlist_of(channel_id)}},
        "status": {"longUploadsStatus": long_uploads, "privacyStatus": "public"},
        "statistics": {"videoCount": str(len(life.videos(current())))},
    }
    shown = {name: value for name, value in made.items() if name in asked}
    return jsonify(
        kind="youtube#channelListResponse", items=[{"kind": "youtube#channel", "id": channel_id} | shown]
    )


def _playlist_of(channel_id: str) -> str:
    return f"UU{channel_id}"


@blueprint.get(f"{API}/playlistItems")
@operation("youtube.playlist", "The videos of the uploads playlist, newest first.")
def playlist_items() -> ResponseReturnValue:
    account = caller_of(*rules.READ, units=1).account
    asked, wanted = _parts({"snippet", "contentDetails"}), request.args.get("playlistId", "")
    if wanted != _playlist_of(life.channel_of(account)):
        raise RefusedError(404, "playlistNotFound", "The playlist cannot be found.")
    most = min(request.args.get("maxResults", 5, int), 50)
    mine = [video for video in life.listed(current()) if video.account == account.username]
    items = [_playlist_item(video, asked) for video in mine[:most]]
    return jsonify(kind="youtube#playlistItemListResponse", items=items)


def _playlist_item(video: Upload, asked: set[str]) -> dict[str, Any]:
    snippet = {"title": video.details["snippet"]["title"], "resourceId": {"videoId": video.publish_id}}
    made = {"contentDetails": {"videoId": video.publish_id}, "snippet": snippet}
    shown = {name: value for name, value in made.items() if name in asked}
    return {"kind": "youtube#playlistItem", "id": f"UU.{video.publish_id}"} | shown


# -- videos


@blueprint.get(f"{API}/videos")
@operation("youtube.videos", "Videos by id.")
def list_videos() -> ResponseReturnValue:
    account = caller_of(*rules.READ, units=1).account
    asked, ids = _parts(PARTS), [name for name in request.args.get("id", "").split(",") if name]
    if not 1 <= len(ids) <= 50:
        raise RefusedError(400, "missingRequiredParameter", "id must name 1 to 50 videos.")
    told = {video.publish_id for video in life.listed(current())} & set(ids)
    found = [video for video in _seen_by(account.username) if video.publish_id in told]
    items = [life.resource(current(), video, asked) for video in found]
    return jsonify(kind="youtube#videoListResponse", items=items, pageInfo={"totalResults": len(items)})


def _seen_by(username: str) -> list[Upload]:
    """Return the videos a channel may see: its own, and others' that are not private."""
    sandbox = current()
    return [
        video
        for video in life.videos(sandbox)
        if not life.is_gone(sandbox, video)
        and (video.account == username or video.details["status"]["privacyStatus"] != "private")
    ]


def _own_video(username: str, video_id: object) -> Upload:
    found = [video for video in _seen_by(username) if video.publish_id == video_id]
    if not found:
        raise RefusedError(404, "videoNotFound", "The video cannot be found.")
    if found[0].account != username:
        raise RefusedError(403, "forbidden", "The video is another channel's.")
    return found[0]


def _which_update() -> tuple[str, Fault | None]:
    body = request.get_json(silent=True)
    video_id = body.get("id") if isinstance(body, dict) else None
    video = life.video_named(current(), video_id) if isinstance(video_id, str) else None
    return "youtube.update", upload.marker_fault(video, "youtube.update") if video else None


@blueprint.put(f"{API}/videos")
@operation("youtube.update", "Change a video's status: the commit.", resolve=_which_update)
def update_video() -> ResponseReturnValue:
    """Replace the whole part: what is left out is wiped, privacy to public."""
    caller, body = caller_of(*rules.CHANGE, units=50), request.get_json(silent=True)
    if _parts({"status"}) != {"status"} or not isinstance(body, dict):
        raise RefusedError(400, "invalidVideoMetadata", "Here part is status, and the body a JSON object.")
    sandbox, video = current(), _own_video(caller.account.username, body.get("id"))
    status = rules.check_status(body.get("status"))
    with sandbox.store.transaction():
        life.set_status(sandbox, video, status, received_at=g.received_at)
    return jsonify(life.resource(sandbox, video, {"status"}))


@blueprint.delete(f"{API}/videos")
@operation("youtube.remove", "Delete a video.")
def delete_video() -> ResponseReturnValue:
    caller = caller_of(*rules.CHANGE, units=50)
    video = _own_video(caller.account.username, request.args.get("id"))
    with current().store.transaction():
        life.delete(current(), video)
    return Response(status=204)


@blueprint.get(f"{API}/videos:batchGetStats")
@operation("youtube.stats", "Figures of videos by id.")
def batch_stats() -> ResponseReturnValue:
    account = caller_of(*rules.READ, units=1, bucket="stats").account
    _parts({"statistics", "snippet", "id"})
    ids = request.args.getlist("id")
    if not 1 <= len(ids) <= 50:
        raise RefusedError(400, "missingRequiredParameter", "id must name 1 to 50 videos.")
    found = [video for video in _seen_by(account.username) if video.publish_id in ids]
    items = [{"id": video.publish_id, "statistics": life.statistics(current(), video)} for video in found]
    return jsonify(kind="youtube#batchGetStatsResponse", items=items)


# -- comments


@blueprint.post(f"{API}/commentThreads")
@operation("youtube.comment", "Write a comment.")
def write_comment() -> ResponseReturnValue:
    account = caller_of(*rules.COMMENT, units=50).account
    sandbox, given = current(), request.get_json(silent=True)
    snippet = given.get("snippet") if isinstance(given, dict) else None
    snippet = snippet if isinstance(snippet, dict) else {}
    video = _commentable(account.username, snippet.get("videoId"))
    text = ((snippet.get("topLevelComment") or {}).get("snippet") or {}).get("textOriginal")
    if not isinstance(text, str) or not 0 < len(text.strip()) <= len(text) <= 10_000:
        raise RefusedError(400, "commentTextRequired", "The comment needs text.", "youtube.commentThread")
    with sandbox.store.transaction():
        number = f"Ug{len(sandbox.comments.values()):08d}{video.publish_id}"
        comment = Comment(number, "youtube", video.publish_id, account.username, text, sandbox.now())
        sandbox.comments.put(comment)
    return jsonify(_thread(comment))


def _commentable(username: str, video_id: object) -> Upload:
    found = [video for video in _seen_by(username) if video.publish_id == video_id]
    if not found:
        raise RefusedError(404, "videoNotFound", "The video cannot be found.", "youtube.commentThread")
    status = found[0].details["status"]
    if status["selfDeclaredMadeForKids"] or status["privacyStatus"] == "private":
        raise RefusedError(403, "commentsDisabled", "The video has no comments.", "youtube.commentThread")
    return found[0]


@blueprint.get(f"{API}/commentThreads")
@operation("youtube.comments", "The comments below a video, newest first.")
def list_comments() -> ResponseReturnValue:
    account = caller_of(*rules.COMMENT, units=1).account
    video = _commentable(account.username, request.args.get("videoId"))
    said = comments.listed(current(), platform="youtube", post_id=video.publish_id)[::-1]
    most, start = min(request.args.get("maxResults", 20, int), 100), request.args.get("pageToken", 0, int)
    more = {"nextPageToken": str(start + most)} if len(said) > start + most else {}
    items = [_thread(comment) for comment in said[start : start + most]]
    return jsonify(kind="youtube#commentThreadListResponse", items=items, **more)


def _thread(comment: Comment) -> dict[str, Any]:
    account = current().accounts.get(f"youtube/{comment.account}")
    snippet = {
        "textOriginal": comment.text,
        "textDisplay": comment.text,
        "authorChannelId": {"value": life.channel_of(account) if account else ""},
        "videoId": comment.post_id,
    }
    about = {"videoId": comment.post_id, "topLevelComment": {"id": comment.id, "snippet": snippet}}
    return {"kind": "youtube#commentThread", "id": comment.id, "snippet": about}


# -- pages


@blueprint.get("/watch")
@blueprint.get("/shorts/<video_id>")
def page(video_id: str = "") -> Response:
    post = current().posts.get(video_id or request.args.get("v", ""))
    if post is None or post.platform != "youtube":
        abort(404)
    return feed.guard(make_response(feed.post_page("youtube", post.account, post.id)))
