"""What becomes of a video on Facebook: what its file is worth, its status by the clock, its post."""

from __future__ import annotations

import re
import time
from typing import Any

from sandbox.accounts import Account
from sandbox.clock import isoformat
from sandbox.comments import select as select_comments
from sandbox.platforms._meta import GraphError
from sandbox.posts import Post, read_markers, select
from sandbox.probe import EIGHT_BITS, ISO, Probe, probe
from sandbox.state import Sandbox, current
from sandbox.uploads import Upload

LIFE = 86_400.0  # seconds an unfinished video is kept: assumed, Meta does not say
DESCRIPTION_MAX = 2_200  # stricter than Meta, which names no limit for reels
DAY = 86_400.0
BAD_FILE = 6000  # the code of a file that cannot be used
VIDEO_SECONDS = 4 * 3600.0
CODECS = ("h264", "hevc", "vp9", "av1")
_FIELDS = {
    "id", "status", "published", "permalink_url", "post_id", "created_time", "title", "description", "views",
    "post_views", "likes", "comments",
}  # fmt: skip


def complete(upload: Upload) -> None:
    """Note what a file breaks, once all of it is there: `refused` is the code. No video at all: nothing."""
    sandbox = current()
    if not sandbox.settings.measure_media:
        return
    found = probe(sandbox.files.path(upload.id))
    judge = reel_fault if upload.details["kind"] == "reel" else video_fault
    if found is not None and (code := judge(found)):
        upload.details["refused"] = code


def reel_fault(found: Probe) -> int:
    """Return the subcode of the first of a reel's rules that a file breaks, 0 when it breaks none."""
    rules = (
        (BAD_FILE, found.container == ISO and found.brand != "qt" and not found.is_interlaced),
        (BAD_FILE, _is_format_known(found)),
        (1363128, 3.0 - 0.05 <= found.duration <= 90.0 + 0.5),
        (1363129, found.has_fixed_rate and 24 * 0.99 <= found.frame_rate <= 60 * 1.01),
        (1363127, found.width >= 540 and found.height >= 960),
        (1363040, abs(found.aspect - 9 / 16) <= 0.03),
    )
    return next((code for code, kept in rules if not kept), 0)


def video_fault(found: Probe) -> int:
    """Return the code of what makes a longer video unusable, 0 when nothing does. Shape and rates are free."""
    is_usable = found.container == ISO and _is_format_known(found) and found.duration <= VIDEO_SECONDS
    return 0 if is_usable else BAD_FILE


def refusal_of(code: int) -> GraphError:
    """Return what finishing says of a refused file: what is wrong with a reel is a subcode, a bad file a code."""
    if code == BAD_FILE:
        return GraphError(400, BAD_FILE, "There was a problem with your video file.")
    return GraphError(400, 100, "The video cannot be used.", subcode=code)


def _is_format_known(found: Probe) -> bool:
    """Tell whether picture and sound are written as Pages read them."""
    return found.video_codec in CODECS and found.pixel_format in EIGHT_BITS and found.has_plain_sound


def finish(sandbox: Sandbox, upload: Upload, *, received_at: float, form: dict[str, str]) -> None:
    """Take a finish call: the post exists from now on, also while it is being processed."""
    settings = sandbox.settings
    description = form.get("description", "")
    upload.committed_at = sandbox.now()
    upload.processing_seconds = settings.processing_seconds / settings.speed
    upload.markers = read_markers(description)
    upload.details |= {"description": description, "title": form.get("title", ""), "received_at": received_at}
    if "fail" in upload.markers:
        upload.fail_reason = upload.markers["fail"] or "error"
        return
    upload.post_ids.append(_make_post(sandbox, upload, received_at).id)


def _make_post(sandbox: Sandbox, upload: Upload, received_at: float) -> Post:
    is_reel, settings = upload.details["kind"] == "reel", sandbox.settings
    now = sandbox.now()
    post = Post(
        id=upload.id,
        platform="facebook",
        account=upload.account,
        caption=upload.details["description"],
        privacy="PUBLIC",
        sha256=upload.details["sha256"],
        size=upload.size,
        content_type=upload.content_type,
        file=upload.id,
        publish_id=upload.publish_id,
        path=f"/facebook/reel/{upload.id}" if is_reel else f"/facebook/{upload.account}/videos/{upload.id}",
        created_at=now,
        visible_at=now + upload.processing_seconds,
        commit_received_at=received_at,
        commit_finished_at=time.time(),
    )
    if "late-reject" in upload.markers:
        later = settings.late_reject_seconds / settings.speed
        post.removed_at, post.removed_reason = post.visible_at + later, "removed by moderation"
    return sandbox.posts.put(post)


def posts_today(sandbox: Sandbox, page: Account) -> int:
    """Return how many reels the Page has posted in the last 24 hours."""
    made = select(sandbox.posts.values(), platform="facebook", account=page.username)
    return sum(1 for post in made if "/reel/" in post.path and post.created_at > sandbox.now() - DAY)


def find_video(sandbox: Sandbox, video_id: str, page: Account) -> Upload:
    """Return the Page's video. Raises GraphError 100/33 for one that is not there, or not any more."""
    upload, now = sandbox.uploads.get(video_id), sandbox.now()
    post = sandbox.posts.get(video_id)
    silent = sandbox.settings.late_reject_status == "silent"
    gone = upload is None or upload.fail_reason == "deleted" or (post and post.is_removed(now) and silent)
    if upload is None or gone or (upload.platform, upload.account) != ("facebook", page.username):
        raise GraphError(400, 100, "Unsupported get request. The object does not exist.", subcode=33)
    return upload


def status(sandbox: Sandbox, upload: Upload) -> dict[str, Any]:
    """Return the status object by now. Publishing stays `not_started` while the video is processed."""
    uploading = {"status": "complete" if upload.is_complete() else "in_progress"}
    phases: dict[str, Any] = {
        "uploading_phase": uploading | {"bytes_transfered": upload.received},
        "processing_phase": {"status": "not_started"},
        "publishing_phase": {"status": "not_started"},
    }
    word = _word(sandbox, upload, phases)
    return {"video_status": word} | phases


def _word(sandbox: Sandbox, upload: Upload, phases: dict[str, Any]) -> str:
    """Fill in the phases and return `video_status`."""
    now, post = sandbox.now(), sandbox.posts.get(upload.id)
    if code := upload.details.get("refused"):
        phases["processing_phase"] = {"status": "error", "errors": [{"code": code, "message": "refused"}]}
        return "error"
    if upload.committed_at is None:
        if upload.expires_at <= now and sandbox.settings.dead_upload_status == "FAILED":
            return "expired"
        return "upload_complete" if upload.is_complete() else "uploading"
    if now < upload.committed_at + upload.processing_seconds:
        phases["processing_phase"] = {"status": "in_progress"}
        return "processing"
    if upload.fail_reason:
        code = int(upload.fail_reason) if upload.fail_reason.isdigit() else 6000
        phases["processing_phase"] = {"status": "error", "error": {"code": code, "message": "failed"}}
        return "error"
    phases["processing_phase"] = {"status": "complete"}
    if post is not None and post.is_removed(now):
        phases["publishing_phase"] = {"status": "error", "publish_status": "error"}
        return "error"
    phases["publishing_phase"] = {"status": "complete", "publish_status": "published"}
    return "ready"


def is_out(sandbox: Sandbox, upload: Upload) -> bool:
    """Tell whether people see the post by now."""
    post = sandbox.posts.get(upload.id)
    return post is not None and post.is_visible(sandbox.now())


def fields_of(sandbox: Sandbox, upload: Upload, asked: str) -> dict[str, Any]:
    """Return the asked fields of a video, and its id. Raises GraphError 100 for a field it does not have."""
    names = {
        re.split(r"[.{]", name)[0] for name in re.sub(r"\([^)]*\)|\{[^}]*\}", "", asked).split(",") if name
    }
    if unknown := sorted(names - _FIELDS):
        raise GraphError(400, 100, f"Tried accessing nonexisting field ({unknown[0]}) on node type (Video)")
    out = is_out(sandbox, upload)
    post = sandbox.posts.get(upload.id)
    written = select_comments(sandbox.comments.values(), platform="facebook", post_id=upload.id)
    known: dict[str, Any] = {
        "status": status(sandbox, upload),
        "published": out,
        "permalink_url": post.path.removeprefix("/facebook") if post else f"/reel/{upload.id}",
        "post_id": upload.id if out else None,
        "created_time": isoformat(upload.created_at),
        "title": upload.details.get("title", ""),
        "description": upload.details.get("description", ""),
        "views": 7 if out else 0,
        "post_views": 7 if out else 0,
        "likes": {"data": [], "summary": {"total_count": 3 if out else 0}},
        "comments": {"data": [], "summary": {"total_count": len(written)}},
    }
    shown = {name: known[name] for name in names if name in known and known[name] is not None}
    return shown | {"id": upload.id}
