"""What becomes of a video on YouTube: stored, processed, seen by whom, rejected or deleted; by the clock."""

from __future__ import annotations

import secrets
import time
from datetime import UTC, datetime
from typing import Any

from sandbox.accounts import Account
from sandbox.platforms._youtube_rules import REJECTIONS
from sandbox.posts import Post
from sandbox.probe import probe
from sandbox.state import Sandbox
from sandbox.uploads import Upload

SHORT_SECONDS, UNVERIFIED_SECONDS = 180, 900


def videos(sandbox: Sandbox) -> list[Upload]:
    """Return the uploads that have become videos and are not deleted, newest first."""
    whole = [
        upload
        for upload in sandbox.uploads.values()
        if upload.platform == "youtube"
        and upload.committed_at is not None
        and "deleted_at" not in upload.details
    ]
    return sorted(whole, key=lambda upload: upload.committed_at or 0.0, reverse=True)


def listed(sandbox: Sandbox) -> list[Upload]:
    """Return the videos that answers tell of by now: a new one may be missing for a while."""
    known_since = sandbox.now() - sandbox.settings.list_lag_seconds / sandbox.settings.speed
    return [video for video in videos(sandbox) if (video.committed_at or 0.0) <= known_since]


def video_named(sandbox: Sandbox, video_id: str) -> Upload | None:
    return next((video for video in videos(sandbox) if video.publish_id == video_id), None)


def channel_of(account: Account) -> str:
    return account.remote_id


def complete(sandbox: Sandbox, upload: Upload, *, sha256: str, publishes: bool, received_at: float) -> None:
    """Make a video of an upload whose last byte has come; `publishes`: nobody will set its privacy later."""
    settings, facts = sandbox.settings, probe(sandbox.files.path(upload.id))
    upload.committed_at = sandbox.now()
    upload.publish_id = secrets.token_hex(6)[:11]
    upload.processing_seconds = settings.processing_seconds / settings.speed
    upload.details["sha256"] = sha256
    upload.details["is_short"] = facts is None or (
        facts.height >= facts.width and facts.duration <= SHORT_SECONDS
    )
    if settings.measure_media and facts is None:
        upload.fail_reason = "invalidFile"
    if facts is not None and facts.duration > UNVERIFIED_SECONDS and not settings.channel_verified:
        upload.fail_reason = "length"
    if "fail" in upload.markers:
        upload.fail_reason = upload.markers["fail"] or "conversion"
    status = upload.details["status"]
    if settings.keeps_private:
        status["privacyStatus"] = "private"
    if publishes or status["privacyStatus"] != "private":
        publish(sandbox, upload, received_at=received_at)


def set_status(sandbox: Sandbox, upload: Upload, status: dict[str, Any], *, received_at: float) -> None:
    """Replace a video's status. Whoever asks for a privacy, private included, publishes the video."""
    upload.details["status"] = status
    if sandbox.settings.keeps_private:
        status["privacyStatus"] = "private"
    else:
        publish(sandbox, upload, received_at=received_at)
    sandbox.uploads.put(upload)


def publish(sandbox: Sandbox, upload: Upload, *, received_at: float) -> None:
    """Make the one post of a video, unless it is there or the video cannot be shown."""
    if upload.post_ids or upload.fail_reason:
        return
    now, snippet = sandbox.now(), upload.details["snippet"]
    post = Post(
        id=upload.publish_id,
        platform="youtube",
        account=upload.account,
        caption=snippet["description"] or snippet["title"],
        privacy=upload.details["status"]["privacyStatus"],
        sha256=upload.details["sha256"],
        size=upload.size,
        content_type=upload.content_type,
        file=upload.id,
        publish_id=upload.publish_id,
        path=f"/youtube/watch?v={upload.publish_id}",
        created_at=now,
        visible_at=max(now, (upload.committed_at or now) + upload.processing_seconds),
        commit_received_at=received_at,
        commit_finished_at=time.time(),
    )
    if "late-reject" in upload.markers:
        later = sandbox.settings.late_reject_seconds / sandbox.settings.speed
        post.removed_at, post.removed_reason = post.visible_at + later, "inappropriate"
    upload.post_ids.append(post.id)
    sandbox.posts.put(post)


def delete(sandbox: Sandbox, upload: Upload) -> None:
    now = sandbox.now()
    upload.details["deleted_at"] = now
    sandbox.uploads.put(upload)
    for post in (sandbox.posts.get(post_id) for post_id in upload.post_ids):
        if post is not None and not post.is_removed(now):
            post.removed_at, post.removed_reason = now, "deleted by its owner"
            sandbox.posts.put(post)


def is_processed(sandbox: Sandbox, upload: Upload) -> bool:
    return (upload.committed_at or 0.0) + upload.processing_seconds <= sandbox.now()


def is_gone(sandbox: Sandbox, upload: Upload) -> bool:
    """Tell whether YouTube has taken the video away without a word."""
    post = sandbox.posts.get(upload.post_ids[0]) if upload.post_ids else None
    return post is not None and post.is_removed(sandbox.now()) and post.removed_reason not in REJECTIONS


def resource(sandbox: Sandbox, upload: Upload, parts: set[str]) -> dict[str, Any]:
    """Return a video as videos.list shows it to its owner."""
    snippet, account = upload.details["snippet"], sandbox.accounts.get(f"youtube/{upload.account}")
    stamp = datetime.fromtimestamp(upload.committed_at or 0.0, UTC).isoformat().replace("+00:00", "Z")
    made = {
        "snippet": snippet | {"publishedAt": stamp, "channelId": channel_of(account) if account else ""},
        "status": upload.details["status"] | _upload_status(sandbox, upload),
        "processingDetails": {"processingStatus": _processing(sandbox, upload)},
        "contentDetails": {"definition": "hd"},
        "statistics": statistics(sandbox, upload),
    }
    shown = {name: value for name, value in made.items() if name in parts}
    return {"kind": "youtube#video", "id": upload.publish_id} | shown


def _upload_status(sandbox: Sandbox, upload: Upload) -> dict[str, str]:
    post = sandbox.posts.get(upload.post_ids[0]) if upload.post_ids else None
    if post is not None and post.is_removed(sandbox.now()):
        return {"uploadStatus": "rejected", "rejectionReason": post.removed_reason}
    if not is_processed(sandbox, upload):
        return {"uploadStatus": "uploaded"}
    if not upload.fail_reason:
        return {"uploadStatus": "processed"}
    if upload.fail_reason in REJECTIONS:
        return {"uploadStatus": "rejected", "rejectionReason": upload.fail_reason}
    return {"uploadStatus": "failed", "failureReason": upload.fail_reason}


def _processing(sandbox: Sandbox, upload: Upload) -> str:
    if not is_processed(sandbox, upload):
        return "processing"
    return "failed" if upload.fail_reason and upload.fail_reason not in REJECTIONS else "succeeded"


def statistics(sandbox: Sandbox, upload: Upload) -> dict[str, str]:
    said = [c for c in sandbox.comments.values() if (c.platform, c.post_id) == ("youtube", upload.publish_id)]
    return {"viewCount": "12", "likeCount": "3", "commentCount": str(len(said))}
