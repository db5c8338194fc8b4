"""TikTok: Login Kit and the Content Posting API v2 as documented in 2026.

Section 2 and 9 of the project's platform reference name every rule. Success is `error.code == "ok"`; the
token endpoint (`_tiktok_login`) speaks flat JSON. A direct post exists from the last chunk on.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import Any

from flask import Blueprint, Response, g, request
from flask.typing import ResponseReturnValue

from sandbox.accounts import Account
from sandbox.faults import Fault, declare, drain, operation
from sandbox.platforms import _tiktok_login as login
from sandbox.platforms._tiktok_life import commit, finish_draft, notices, public_ids, publish_state
from sandbox.platforms._tiktok_login import Caller, caller_of, envelope, json_body
from sandbox.platforms._tiktok_rules import (
    CONTENT_TYPES,
    PENDING_SHARES,
    USER_FIELDS,
    VIDEO_FIELDS,
    RefusedError,
    check_post_info,
    check_source,
    parse_range,
    privacy_options,
    shown_range,
)
from sandbox.posts import Post, read_markers, select
from sandbox.state import CLIENT_ID, CLIENT_SECRET, current
from sandbox.uploads import Piece, Upload

__all__ = ["ENVIRONMENT", "LABEL", "SCOPES", "blueprint", "finish_draft", "notices"]
LABEL = "TikTok"
# The settings that lead the product here; {base} is the sandbox's address, {host} its host name.
ENVIRONMENT = {
    "TIKTOK_AUTH_URL": "{base}/tiktok/v2/auth/authorize/",
    "TIKTOK_WEB_URL": "{base}/tiktok",
    "TIKTOK_API_BASE": "{base}/tiktok/v2",
    "TIKTOK_UPLOAD_HOSTS": "{host}",
    "TIKTOK_AUDITED": "true",
    # The stand-in counts by itself, and only when its settings `rate_limits` and `daily_posts` say so.
    "TIKTOK_DAILY_POSTS": "1000000",
    "TIKTOK_INITS_PER_MINUTE": "1000000",
    "TIKTOK_CLIENT_KEY": CLIENT_ID,
    "TIKTOK_CLIENT_SECRET": CLIENT_SECRET,
}
SCOPES = [
    *("user.info.basic", "user.info.profile", "user.info.stats"),
    *("video.list", "video.publish", "video.upload"),
]
DAY = 86_400.0
blueprint = Blueprint("tiktok", __name__, url_prefix="/tiktok")
blueprint.register_blueprint(login.blueprint)


@blueprint.errorhandler(RefusedError)
def refused(refusal: RefusedError) -> ResponseReturnValue:
    return envelope({}, refusal.code, refusal.message), refusal.status


# -- who


@blueprint.get("/v2/user/info/")
@operation("tiktok.user_info", "Who the token's user is.")
def user_info() -> ResponseReturnValue:
    caller = caller_of("user.info.basic", "user.info.profile", "user.info.stats", rate="read")
    account = caller.account
    asked = _fields(set(USER_FIELDS))
    if missing := sorted({USER_FIELDS[name] for name in asked} - set(caller.grant.scopes)):
        raise RefusedError(401, "scope_not_authorized", f"The user did not authorize the scope {missing[0]}.")
    posts = select(current().posts.values(), platform="tiktok", account=account.username)
    avatar = f"{request.host_url}avatar.svg"
    facts: dict[str, Any] = {
        "open_id": account.remote_id,
        "union_id": hashlib.sha256(account.remote_id.encode()).hexdigest()[:36],
        "avatar_url": avatar,
        "avatar_url_100": avatar,
        "avatar_large_url": avatar,
        "display_name": account.nickname or account.username,
        "username": account.username,
        "bio_description": "",
        "profile_deep_link": f"{request.host_url}tiktok/@{account.username}",
        "is_verified": False,
        "follower_count": 0,
        "following_count": 0,
        "likes_count": 0,
        "video_count": len(posts),
    }
    return envelope({"user": {name: facts[name] for name in asked}})


@blueprint.post("/v2/post/publish/creator_info/query/")
@operation("tiktok.creator_info", "What the account may post now.")
def creator_info() -> ResponseReturnValue:
    account = caller_of("video.publish", rate="creator_info").account
    if code := account.cannot_post or _over_daily_posts(account):
        return envelope({}, code, "The creator cannot post now.")  # with HTTP 200, as documented
    return envelope(
        {
            "creator_avatar_url": f"{request.host_url}avatar.svg",
            "creator_username": account.username,
            "creator_nickname": account.nickname or account.username,
            "privacy_level_options": privacy_options(account),
            "comment_disabled": account.comment_disabled,
            "duet_disabled": account.duet_disabled,
            "stitch_disabled": account.stitch_disabled,
            "max_video_post_duration_sec": account.max_duration_seconds,
        }
    )


def _over_daily_posts(account: Account) -> str:
    sandbox, limit = current(), current().settings.daily_posts
    if not limit:
        return ""
    made = select(sandbox.posts.values(), platform="tiktok", account=account.username)
    recent = [post for post in made if post.created_at > sandbox.now() - DAY]
    return "spam_risk_too_many_posts" if len(recent) >= limit else ""


# -- posting


@blueprint.post("/v2/post/publish/video/init/")
@operation("tiktok.init", "Announce a direct post.")
def init() -> ResponseReturnValue:
    caller = caller_of("video.publish", rate="init")
    body = json_body()
    info = check_post_info(body.get("post_info"), caller.account, audited=current().settings.audited)
    if code := caller.account.cannot_post or _over_daily_posts(caller.account):
        raise RefusedError(403, code, "The creator cannot post now.")
    return _announce(caller, body, info, mode="direct")


@blueprint.post("/v2/post/publish/inbox/video/init/")
@operation("tiktok.inbox_init", "Announce a draft for the user's inbox.")
def inbox_init() -> ResponseReturnValue:
    caller = caller_of("video.upload", rate="init")
    sandbox = current()
    pending = [
        upload
        for upload in sandbox.uploads.values()
        if (upload.platform, upload.account) == ("tiktok", caller.account.username)
        and upload.details["mode"] == "inbox"
        and not upload.post_ids
        and upload.created_at > sandbox.now() - DAY
    ]
    if len(pending) >= PENDING_SHARES:
        raise RefusedError(
            403, "spam_risk_too_many_pending_share", "Too many drafts wait in the user's inbox."
        )
    title = (json_body().get("post_info") or {}).get("title", "")
    return _announce(caller, json_body(), {"title": str(title), "privacy_level": ""}, mode="inbox")


def _announce(caller: Caller, body: dict[str, Any], info: dict[str, Any], *, mode: str) -> Response:
    sandbox = current()
    settings, now = sandbox.settings, sandbox.now()
    size, chunk_size, count = check_source(
        body.get("source_info"), refuse_multi_chunk=settings.refuse_multi_chunk
    )
    number = str(7_000_000_000_000_000_000 + secrets.randbelow(10**18))
    details = {"mode": mode, "title": info["title"], "privacy": info["privacy_level"]}
    upload = Upload(
        id=number,
        platform="tiktok",
        publish_id=f"v_{'pub' if mode == 'direct' else 'inbox'}_file~v2-1.{number}",
        secret=secrets.token_hex(16),
        client_id=caller.grant.client_id,
        account=caller.account.username,
        size=size,
        chunk_size=chunk_size,
        chunk_count=count,
        created_at=now,
        expires_at=now + settings.upload_url_seconds,
        markers=read_markers(info["title"]),
        details=details | {"cover_ms": info.get("video_cover_timestamp_ms")},
    )
    sandbox.uploads.put(upload)
    query = f"upload_id={upload.id}&upload_token={upload.secret}"
    url = f"{request.host_url}tiktok/upload/video/?{query}"
    return envelope({"publish_id": upload.publish_id, "upload_url": url})


def _published(caller: Caller) -> Upload:
    """Return the upload the body's publish_id names. Ids end in the upload's id."""
    publish_id = json_body().get("publish_id")
    upload = current().uploads.get(publish_id.rpartition(".")[2]) if isinstance(publish_id, str) else None
    if upload is None or upload.publish_id != publish_id:
        raise RefusedError(400, "invalid_publish_id", "The publish_id does not exist.")
    if (upload.client_id, upload.account) != (caller.grant.client_id, caller.account.username):
        code = "token_not_authorized_for_specified_publish_id"
        raise RefusedError(400, code, "The publish_id belongs to another user or app.")
    return upload


@blueprint.post("/v2/post/publish/status/fetch/")
@operation("tiktok.status", "How far a post is.")
def status() -> ResponseReturnValue:
    upload = _published(caller_of("video.publish", "video.upload", rate="status"))
    state, reason = publish_state(current(), upload)
    return envelope(
        {
            "status": state,
            "fail_reason": reason,
            "publicaly_available_post_id": public_ids(current(), upload),
            "uploaded_bytes": upload.received,
            "downloaded_bytes": 0,
        }
    )


@blueprint.post("/v2/post/publish/cancel/")
@operation("tiktok.cancel", "Give an announced post up.")
def cancel() -> ResponseReturnValue:
    upload = _published(caller_of("video.publish", "video.upload", rate="status"))
    with current().store.transaction():
        if upload.committed_at is not None:
            raise RefusedError(400, "publish_not_cancellable", "The post is published or being published.")
        upload.fail_reason = "publish_cancelled"
        current().uploads.put(upload)
    return envelope({})


# -- bytes


def _this_upload() -> Upload | None:
    upload = current().uploads.get(request.args.get("upload_id"))
    secret = request.args.get("upload_token", "")
    return upload if upload and hmac.compare_digest(upload.secret.encode(), secret.encode()) else None


def _which_chunk() -> tuple[str, Fault | None]:
    """Name the call: the last chunk is the commit. The caption's markers strike only calls that fit."""
    upload, asked = _this_upload(), parse_range(request.headers.get("Content-Range", ""))
    if upload is None or asked is None or asked.end + 1 != upload.size:
        return "tiktok.chunk", None
    fits = asked.start == upload.received and upload.expires_at > current().now()
    return "tiktok.last_chunk", _marker_fault(upload) if fits else None


def _marker_fault(upload: Upload) -> Fault | None:
    for name in ("drop-before", "drop-after", "slow"):
        with current().store.transaction():
            if name not in upload.markers or name in upload.spent:
                continue
            upload.spent.append(name)
            current().uploads.put(upload)
        if name == "slow":
            return Fault("tiktok.last_chunk", "delay", when="after", seconds=_seconds(upload.markers[name]))
        return Fault("tiktok.last_chunk", name.replace("-", "_"))
    return None


def _seconds(text: str) -> float:
    try:
        return min(max(float(text), 0.0), 300.0)
    except ValueError:
        return 5.0


@blueprint.put("/upload/video/")
@operation("tiktok.chunk", "Bytes of a video, not the last ones.", resolve=_which_chunk)
def chunk() -> ResponseReturnValue:
    try:
        return _store_chunk(_this_upload())
    except RefusedError as refusal:
        drain()
        g.error_code = refusal.code
        return Response(
            refusal.message, status=refusal.status, headers=refusal.headers, mimetype="text/plain"
        )


declare("tiktok.last_chunk", "The last bytes of a video: the commit.")


def _store_chunk(upload: Upload | None) -> Response:
    upload = _open_upload(upload)
    g.account = upload.account
    asked = parse_range(request.headers.get("Content-Range", ""))
    length = request.content_length
    if asked is None or length is None or asked.end + 1 - asked.start != length or asked.total != upload.size:
        raise RefusedError(
            400, "bad_headers", "Content-Length and Content-Range must be there and must agree."
        )
    if request.mimetype not in CONTENT_TYPES:
        raise RefusedError(
            400, "bad_headers", f"Content-Type must be one of {', '.join(sorted(CONTENT_TYPES))}."
        )
    _check_progress(upload, asked.start)
    if asked.end + 1 != upload.chunk_end(asked.start):
        raise RefusedError(400, "bad_headers", "Content-Range does not end where the announced chunk does.")
    wanted = min(length, g.get("store_only", length))
    piece = current().files.receive(upload.id, request.stream, start=asked.start, length=wanted)
    if piece.length < wanted:
        current().files.discard(piece)
        raise RefusedError(400, "bad_headers", "The body is shorter than Content-Length.")
    return _keep(upload, piece)


def _open_upload(upload: Upload | None) -> Upload:
    if upload is None or upload.fail_reason == "publish_cancelled":
        raise RefusedError(404, "unknown_upload", "The upload task does not exist.")
    if upload.expires_at <= current().now() and not upload.is_complete():
        raise RefusedError(403, "upload_expired", "The upload_url is expired.")
    return upload


def _check_progress(upload: Upload, start: int) -> None:
    if start != upload.received:
        shown = shown_range(upload, current().settings)
        raise RefusedError(416, "range_mismatch", "Not the bytes that are missing.", {"Content-Range": shown})


def _keep(upload: Upload, piece: Piece) -> Response:
    """Add a piece if it is still the next one: of two equal ones the first counts."""
    sandbox = current()
    with sandbox.files.lock(upload.id):
        try:
            _check_progress(_open_upload(upload), piece.start)
        except RefusedError:
            sandbox.files.discard(piece)
            raise
        sandbox.files.append(upload.id, piece)
        with sandbox.store.transaction():
            upload.received = piece.start + piece.length
            upload.content_type = upload.content_type or request.mimetype
            if upload.is_complete():
                commit(sandbox, upload, sha256=piece.hasher.hexdigest(), received_at=g.received_at)
            sandbox.uploads.put(upload)
    if upload.is_complete():
        sandbox.files.finish(upload.id)
    shown = {"Content-Range": shown_range(upload, sandbox.settings)}
    return Response(status=201 if upload.is_complete() else 206, headers=shown)


# -- what is there


@blueprint.post("/v2/video/list/")
@operation("tiktok.video_list", "The user's public videos.")
def video_list() -> ResponseReturnValue:
    videos = _public_videos(caller_of("video.list", rate="read"))
    asked, body = _fields(VIDEO_FIELDS), json_body()
    count, cursor = body.get("max_count", 10), body.get("cursor", 0)
    if not isinstance(count, int) or not 1 <= count <= 20 or not isinstance(cursor, int):
        raise RefusedError(400, "invalid_params", "max_count must be 1 to 20, cursor a time in milliseconds.")
    older = [post for post in videos if not cursor or int(post.created_at * 1000) < cursor]
    page = older[:count]
    end = int(page[-1].created_at * 1000) if page else cursor
    shown = [_video(post, asked) for post in page]
    return envelope({"videos": shown, "cursor": end, "has_more": len(older) > count})


@blueprint.post("/v2/video/query/")
@operation("tiktok.video_query", "Some of the user's videos by id.")
def video_query() -> ResponseReturnValue:
    videos = _public_videos(caller_of("video.list", rate="read"))
    asked, ids = _fields(VIDEO_FIELDS), (json_body().get("filters") or {}).get("video_ids")
    if not isinstance(ids, list) or not 1 <= len(ids) <= 20 or not all(isinstance(i, str) for i in ids):
        raise RefusedError(400, "invalid_params", "filters.video_ids must be 1 to 20 strings.")
    return envelope({"videos": [_video(post, asked) for post in videos if post.id in ids]})


def _fields(known: set[str]) -> list[str]:
    asked = [name for name in request.args.get("fields", "").split(",") if name]
    if not asked or not set(asked) <= known:
        raise RefusedError(400, "invalid_params", f"fields must name some of {', '.join(sorted(known))}.")
    return asked


def _public_videos(caller: Caller) -> list[Post]:
    wanted = {"platform": "tiktok", "account": caller.account.username, "privacy": "PUBLIC_TO_EVERYONE"}
    now = current().now()
    return [post for post in select(current().posts.values(), **wanted) if post.is_visible(now)]


def _video(post: Post, asked: list[str]) -> dict[str, Any]:
    facts = dict.fromkeys(VIDEO_FIELDS, 0) | {
        "id": post.id,
        "title": post.caption,
        "video_description": post.caption,
        "create_time": int(post.created_at),
        "share_url": request.host_url.rstrip("/") + post.path,
        "embed_link": f"{request.host_url}files/{post.id}",
        "cover_image_url": f"{request.host_url}avatar.svg",
    }
    return {name: facts[name] for name in asked}
