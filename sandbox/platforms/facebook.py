"""Facebook Pages: reels by `video_reels` and rupload, longer videos by `videos`, as documented in 2026.

Sections 4, 5 and 9 of the project's platform reference name every rule. A post exists from the finish call on.
What becomes of a video is in `_facebook_life`, comments, covers and figures in `_facebook_after`.
"""

from __future__ import annotations

import json
from typing import Any

from flask import Blueprint, Response, abort, g, jsonify, request
from flask.typing import ResponseReturnValue

from sandbox import feed
from sandbox.accounts import Account
from sandbox.faults import Fault, declare, drain, operation
from sandbox.platforms import _facebook_after as after
from sandbox.platforms._facebook_life import (
    DESCRIPTION_MAX,
    LIFE,
    complete,
    fields_of,
    find_video,
    finish,
    posts_today,
    refusal_of,
)
from sandbox.platforms._meta import Caller, GraphError, Meta, marker_fault, speak_graph
from sandbox.platforms._meta_rupload import UploadRefusedError, new_upload, receive
from sandbox.posts import read_markers
from sandbox.state import CLIENT_ID, CLIENT_SECRET, current
from sandbox.uploads import Upload

LABEL = "Facebook"
# The settings that lead the product here; {base} is the sandbox's address, {host} its host name.
ENVIRONMENT = {
    "FACEBOOK_AUTH_URL": "{base}/facebook/www/v26.0/dialog/oauth",
    "FACEBOOK_WEB_URL": "{base}/facebook",
    "FACEBOOK_GRAPH_BASE": "{base}/facebook/graph.facebook/v26.0",
    "FACEBOOK_VIDEO_BASE": "{base}/facebook/graph-video/v26.0",
    "FACEBOOK_UPLOAD_HOSTS": "{host}",
    "FACEBOOK_CLIENT_ID": CLIENT_ID,
    "FACEBOOK_CLIENT_SECRET": CLIENT_SECRET,
    "FACEBOOK_WEBHOOK_VERIFY_TOKEN": "sandbox-verify-token",
}
SCOPES = [
    "pages_show_list",
    "pages_read_engagement",
    "pages_manage_posts",
    "pages_manage_engagement",
    "read_insights",
]
REELS_A_DAY = 30
FIRST_PART, NEXT_PARTS = 1_048_576, 4_194_304  # bytes the server asks for
META = Meta(
    "facebook",
    LABEL,
    {
        "pages_show_list": "list the Pages you manage",
        "pages_read_engagement": "read what your Pages posted",
        "pages_manage_posts": "publish on your Pages",
        "pages_manage_engagement": "comment as your Pages",
        "read_insights": "read the figures of your Pages",
        "business_management": "see the Pages of your businesses",
    },
)
grant_tokens, notices = META.grant_tokens, META.notices
blueprint = Blueprint("facebook", __name__, url_prefix="/facebook")
blueprint.register_blueprint(META.blueprint)
blueprint.register_blueprint(after.make_blueprint(META))
speak_graph(blueprint)


@blueprint.errorhandler(UploadRefusedError)
def refused(refusal: UploadRefusedError) -> ResponseReturnValue:
    return refusal.answer()


# -- reels


def _which_phase() -> tuple[str, Fault | None]:
    """Name the call by its phase; finishing is the commit, and the description's markers strike it."""
    if request.mimetype == "multipart/form-data":
        return "facebook.transfer", None
    phase = request.form.get("upload_phase", "")
    if phase != "finish":
        return "facebook.start", None
    upload = current().uploads.get(request.form.get("video_id") or _of_session())
    if upload is None or not upload.is_complete() or upload.committed_at is not None:
        return "facebook.finish", None
    upload.markers = read_markers(request.form.get("description", ""))
    return "facebook.finish", marker_fault(upload, "facebook.finish")


declare("facebook.finish", "Make a video public: the commit, of reels and videos alike.")
declare("facebook.transfer", "A part of a video.")


@blueprint.post("/graph.facebook/<version>/<page_id>/video_reels")
@operation("facebook.start", "Announce a reel or a video.", resolve=_which_phase)
def video_reels(version: str, page_id: str) -> ResponseReturnValue:
    page, caller = _page(page_id)
    if request.form.get("upload_phase") == "start":
        upload = _announce(page, caller, kind="reel")
        url = f"{request.host_url}facebook/rupload/video-upload/{version}/{upload.id}"
        return jsonify(video_id=upload.id, upload_url=url)
    if request.form.get("upload_phase") != "finish":
        raise GraphError(400, 100, "Param upload_phase must be one of {START, FINISH}.")
    if request.form.get("video_state") != "PUBLISHED":
        raise GraphError(400, 100, "Param video_state: this stand-in knows PUBLISHED only.")
    upload = _own_video(request.form.get("video_id"), page, caller, kind="reel")
    return _publish(upload, page)


@blueprint.post("/rupload/video-upload/<version>/<video_id>")
@operation("facebook.upload", "Bytes of a reel.")
def rupload(version: str, video_id: str) -> ResponseReturnValue:  # noqa: ARG001 - any version
    try:
        caller = META.caller(scheme="OAuth").needs("pages_manage_posts")
        upload = _own_video(video_id, caller.page(), caller, kind="reel")
        _check_alive(upload)
    except GraphError as refusal:
        drain()
        return refusal.answer()
    return receive(upload, on_complete=complete)


def _page(page_id: str) -> tuple[Account, Caller]:
    """Return the Page a call is about: its own token is needed. Raises GraphError."""
    caller = META.caller().needs("pages_manage_posts")
    page = caller.page()
    if page_id != page.remote_id:
        raise GraphError(403, 200, "The token is not of this Page.")
    if page.cannot_post and page.cannot_post[0].isdigit():
        code, _, subcode = page.cannot_post.partition("/")
        raise GraphError(400, int(code), "The Page cannot post now.", subcode=int(subcode or 0))
    return page, caller


def _announce(page: Account, caller: Caller, *, kind: str, **facts: Any) -> Upload:
    sandbox = current()
    upload = new_upload(
        sandbox,
        platform="facebook",
        client_id=caller.grant.client_id,
        account=page.username,
        lifetime=LIFE,
        **facts,
    )
    upload.details = {"kind": kind, "mode": "direct"}
    return sandbox.uploads.put(upload)


def _own_video(video_id: str | None, page: Account, caller: Caller, *, kind: str) -> Upload:
    """Return the Page's video that is being uploaded, by the app that began it. Raises GraphError."""
    upload, ours = current().uploads.get(video_id), ("facebook", page.username, caller.grant.client_id)
    found = upload is not None and (upload.platform, upload.account, upload.client_id) == ours
    if upload is None or not found or upload.details["kind"] != kind or upload.fail_reason == "deleted":
        raise GraphError(400, 100, "Unsupported request. The object does not exist.", subcode=33)
    return upload


def _check_alive(upload: Upload) -> None:
    if upload.committed_at is None and upload.expires_at <= current().now():
        raise GraphError(400, 100, "Unsupported request. The upload has expired.", subcode=33)


def _publish(upload: Upload, page: Account) -> Response:
    """Make the post, once: a video that is out is not posted again."""
    sandbox = current()
    _check_alive(upload)
    if not upload.is_complete():
        raise GraphError(400, 6001, "There was a problem uploading your video file.")
    if len(request.form.get("description", "")) > DESCRIPTION_MAX:
        raise GraphError(400, 100, "Param description is too long.")
    with sandbox.store.transaction():
        if upload.committed_at is not None:
            raise GraphError(400, 100, "This video was already posted.", subcode=1366051)
        if code := upload.details.get("refused"):
            raise refusal_of(code)
        _check_daily(upload, page)
        finish(sandbox, upload, received_at=g.received_at, form=request.form.to_dict())
        sandbox.uploads.put(upload)
    return jsonify(success=True)


def _check_daily(upload: Upload, page: Account) -> None:
    settings = current().settings
    limit = settings.daily_posts or (REELS_A_DAY if settings.rate_limits else 0)
    if not limit or upload.details["kind"] != "reel":
        return
    if posts_today(current(), page) >= limit:
        entry = {"type": "pages", "call_count": 100, "estimated_time_to_regain_access": 120}
        usage = json.dumps({page.remote_id: [entry]})
        headers = {"X-Business-Use-Case-Usage": usage}
        raise GraphError(400, 80001, "There have been too many calls for this Page.", headers=headers)


# -- longer videos


@blueprint.post("/graph-video/<version>/<page_id>/videos")
@operation("facebook.start", "Announce a reel or a video.", resolve=_which_phase)
def videos(version: str, page_id: str) -> ResponseReturnValue:  # noqa: ARG001 - any version
    page, caller = _page(page_id)
    if request.form.get("upload_phase") == "start":
        return _start_video(page, caller)
    upload = _own_video(_of_session(), page, caller, kind="video")
    if request.form.get("upload_phase") == "transfer":
        _check_alive(upload)
        return _transfer(upload)
    if request.form.get("upload_phase") != "finish":
        raise GraphError(400, 100, "Param upload_phase must be one of {START, TRANSFER, FINISH, CANCEL}.")
    if request.form.get("published", "true") != "true":
        raise GraphError(400, 100, "Param published: this stand-in knows true only.")
    return _publish(upload, page)


def _of_session() -> str:
    return request.form.get("upload_session_id", "").removeprefix("s")


def _start_video(page: Account, caller: Caller) -> Response:
    size = request.form.get("file_size", "")
    if not size.isdigit() or not 0 < int(size) <= 10 * 10**9:
        raise GraphError(400, 100, "Param file_size must be the size of the file in bytes.")
    upload = _announce(page, caller, kind="video", size=int(size))
    return jsonify(video_id=upload.id, upload_session_id=f"s{upload.id}", **_wanted(upload))


def _wanted(upload: Upload) -> dict[str, str]:
    """Return what the server wants next; offsets are text, as documented."""
    length = NEXT_PARTS if upload.received else FIRST_PART
    end = min(upload.received + length, upload.size)
    return {"start_offset": str(upload.received), "end_offset": str(end)}


def _transfer(upload: Upload) -> Response:
    """Store a part if it is the one that is wanted; parts come whole or, when told so, in part."""
    sandbox, wanted = current(), _wanted(upload)
    start, end = int(wanted["start_offset"]), int(wanted["end_offset"])
    sent = request.files.get("video_file_chunk")
    if sent is None:
        raise GraphError(400, 100, "Param video_file_chunk is missing.")
    if request.form.get("start_offset") != wanted["start_offset"]:
        raise GraphError(400, 6001, "The offset is not the one expected.", subcode=1363037, data=wanted)
    length = min(end - start, g.get("store_only", end - start))
    piece = sandbox.files.receive(upload.id, sent.stream, start=start, length=length)
    if (piece.length < length) or (sent.stream.read(1) and length == end - start):
        sandbox.files.discard(piece)
        raise GraphError(400, 6001, "The part is not as long as was wanted.", subcode=1363037, data=wanted)
    with sandbox.files.lock(upload.id):
        if upload.received != start:
            sandbox.files.discard(piece)
            raise GraphError(
                400, 6001, "The offset is not the one expected.", subcode=1363037, data=_wanted(upload)
            )
        sandbox.files.append(upload.id, piece)
        with sandbox.store.transaction():
            upload.received, upload.content_type = start + piece.length, "video/mp4"
            upload.details["sha256"] = piece.hasher.hexdigest()
            if upload.is_complete():
                complete(upload)
            sandbox.uploads.put(upload)
    if upload.is_complete():
        sandbox.files.finish(upload.id)
    return jsonify(_wanted(upload))


# -- what is there


def _which_question() -> tuple[str, Fault | None]:
    asked = request.args.get("fields", "")
    return ("facebook.status" if "status" in asked.split(",") else "facebook.stats"), None


declare("facebook.stats", "The counts of a video.")


@blueprint.get("/graph.facebook/<version>/<video_id>")
@operation("facebook.status", "How far a video is.", resolve=_which_question)
def video(version: str, video_id: str) -> ResponseReturnValue:  # noqa: ARG001
    page = META.caller().needs("pages_read_engagement").page()
    return jsonify(
        fields_of(current(), find_video(current(), video_id, page), request.args.get("fields", ""))
    )


@blueprint.delete("/graph.facebook/<version>/<video_id>")
@operation("facebook.remove", "Delete a video.")
def remove(version: str, video_id: str) -> ResponseReturnValue:  # noqa: ARG001
    sandbox, page = current(), META.caller().needs("pages_manage_posts").page()
    upload = find_video(sandbox, video_id, page)
    with sandbox.store.transaction():
        post = sandbox.posts.get(upload.id)
        if post is not None:
            post.removed_at, post.removed_reason = sandbox.now(), "deleted by its owner"
            sandbox.posts.put(post)
        upload.fail_reason = "deleted"
        sandbox.uploads.put(upload)
    return jsonify(success=True)


@blueprint.get("/reel/<post_id>")
@blueprint.get("/<page>/videos/<post_id>")
def post_page(post_id: str, page: str = "") -> ResponseReturnValue:  # noqa: ARG001 - the id is enough
    post = current().posts.get(post_id)
    if post is None or post.platform != "facebook":
        abort(404)
    return feed.post_page("facebook", post.account, post_id)


@blueprint.get("/<username>")
def page_of(username: str) -> str:
    return feed.profile("facebook", username)
