"""What becomes of an announced video on TikTok: its status by the clock, its posts, and the notices sent."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import time
from typing import Any

from sandbox.platforms._tiktok_rules import MAX_SECONDS, media_fault
from sandbox.posts import Post
from sandbox.probe import probe
from sandbox.state import Sandbox
from sandbox.uploads import Upload
from sandbox.webhooks import Notice


def publish_state(sandbox: Sandbox, upload: Upload) -> tuple[str, str]:
    """Return TikTok's status of a publish_id by now, and the reason if it failed."""
    now, settings = sandbox.now(), sandbox.settings
    if upload.fail_reason == "publish_cancelled":
        return "FAILED", upload.fail_reason
    if upload.committed_at is None:
        dead = upload.expires_at <= now and settings.dead_upload_status == "FAILED"
        return ("FAILED", "internal") if dead else ("PROCESSING_UPLOAD", "")
    if now < upload.committed_at + upload.processing_seconds:
        return "PROCESSING_UPLOAD", ""
    if upload.fail_reason:
        return "FAILED", upload.fail_reason
    if upload.details["mode"] == "inbox" and not upload.post_ids:
        return "SEND_TO_USER_INBOX", ""
    posts = [post for post_id in upload.post_ids if (post := sandbox.posts.get(post_id))]
    if settings.late_reject_status == "FAILED" and any(post.is_removed(now) for post in posts):
        return "FAILED", "spam_risk"
    return "PUBLISH_COMPLETE", ""


def public_ids(sandbox: Sandbox, upload: Upload) -> list[int]:
    """Return the ids told by now: only of public posts, only past moderation, not of removed ones."""
    posts = [post for post_id in upload.post_ids if (post := sandbox.posts.get(post_id))]
    now = sandbox.now()
    return [int(p.id) for p in posts if p.is_visible(now) and p.privacy == "PUBLIC_TO_EVERYONE"]


def commit(sandbox: Sandbox, upload: Upload, *, sha256: str, received_at: float) -> None:
    """Start the post: all bytes are there. `received_at` is real time: when the request had arrived."""
    settings = sandbox.settings
    upload.committed_at = sandbox.now()
    upload.processing_seconds = settings.processing_seconds / settings.speed
    upload.moderation_seconds = settings.moderation_seconds / settings.speed
    upload.details |= {"sha256": sha256, "received_at": received_at}
    if "fail" in upload.markers:
        upload.fail_reason = upload.markers["fail"] or "internal"
    elif settings.measure_media:
        upload.fail_reason = _media_fault(sandbox, upload)
    if upload.fail_reason:
        return
    if upload.details["mode"] == "direct":
        make_post(sandbox, upload, caption=upload.details["title"], privacy=upload.details["privacy"])


def _media_fault(sandbox: Sandbox, upload: Upload) -> str:
    user = sandbox.accounts.get(f"tiktok/{upload.account}")
    longest = min(user.max_duration_seconds, MAX_SECONDS) if user else MAX_SECONDS
    return media_fault(probe(sandbox.files.path(upload.id)), max_seconds=longest)


def make_post(sandbox: Sandbox, upload: Upload, *, caption: str, privacy: str) -> Post:
    """Make the post exist. Called in the transaction that commits the upload or finishes the draft."""
    number, now = str(7_000_000_000_000_000_000 + secrets.randbelow(10**18)), sandbox.now()
    settled = (upload.committed_at or now) + upload.processing_seconds
    post = Post(
        id=number,
        platform="tiktok",
        account=upload.account,
        caption=caption,
        privacy=privacy,
        sha256=upload.details["sha256"],
        size=upload.size,
        content_type=upload.content_type,
        file=upload.id,
        publish_id=upload.publish_id,
        path=f"/tiktok/@{upload.account}/video/{number}",
        created_at=now,
        visible_at=max(settled, now) + upload.moderation_seconds,
        commit_received_at=upload.details["received_at"],
        commit_finished_at=time.time(),
    )
    if "late-reject" in upload.markers:
        later = sandbox.settings.late_reject_seconds / sandbox.settings.speed
        post.removed_at, post.removed_reason = post.visible_at + later, "removed by moderation"
    upload.post_ids.append(post.id)
    return sandbox.posts.put(post)


def finish_draft(sandbox: Sandbox, upload: Upload, *, caption: str, privacy: str) -> Post:
    """Publish a draft from the inbox, as its user would in the app. Raises ValueError if it is not there."""
    if publish_state(sandbox, upload)[0] not in ("SEND_TO_USER_INBOX", "PUBLISH_COMPLETE"):
        raise ValueError("the draft is not in the inbox")
    if upload.details["mode"] != "inbox":
        raise ValueError("not a draft")
    with sandbox.store.transaction():
        post = make_post(sandbox, upload, caption=caption, privacy=privacy)
        sandbox.uploads.put(upload)
    return post


def notices(sandbox: Sandbox) -> list[Notice]:
    """Return every notice due by now, each under a key that stays the same."""
    uploads = [upload for upload in sandbox.uploads.values() if upload.platform == "tiktok"]
    found = [notice for upload in uploads for notice in _upload_notices(sandbox, upload)]
    grants = [grant for grant in sandbox.grants.values() if grant.platform == "tiktok"]
    removed = [grant for grant in grants if grant.removed_at is not None]
    return found + [
        _notice(
            sandbox, grant.client_id, grant.account, "authorization.removed", {"reason": grant.removed_reason}
        )
        for grant in removed
    ]


def _upload_notices(sandbox: Sandbox, upload: Upload) -> list[Notice]:
    state, reason = publish_state(sandbox, upload)
    direct = upload.details["mode"] == "direct"
    about = {
        "publish_id": upload.publish_id,
        "publish_type": "DIRECT_PUBLISH" if direct else "INBOX_SHARE",
    }
    by_state: dict[str, tuple[str, dict[str, Any]]] = {
        "FAILED": ("post.publish.failed", about | {"reason": reason}),
        "SEND_TO_USER_INBOX": ("post.publish.inbox_delivered", about),
        "PUBLISH_COMPLETE": ("post.publish.complete", about),
    }
    told = [by_state[state]] if state in by_state else []
    now = sandbox.now()
    for post in (sandbox.posts.get(post_id) for post_id in upload.post_ids):
        if post is None or post.visible_at > now or post.privacy != "PUBLIC_TO_EVERYONE":
            continue
        told.append(("post.publish.publicly_available", about | {"post_id": post.id}))
        if post.is_removed(now):
            told.append(("post.publish.no_longer_publicaly_available", about | {"post_id": post.id}))
    return [_notice(sandbox, upload.client_id, upload.account, event, content) for event, content in told]


def _notice(sandbox: Sandbox, client_id: str, account: str, event: str, content: dict[str, Any]) -> Notice:
    user, client = sandbox.accounts.get(f"tiktok/{account}"), sandbox.clients.get(f"tiktok/{client_id}")
    body = {
        "client_key": client_id,
        "event": event,
        "create_time": int(time.time()),
        "user_openid": user.remote_id if user else "",
        "content": json.dumps(content, separators=(",", ":")),  # a string in the JSON, as documented
    }
    key = f"{account}/{event}/{body['content']}"
    secret = client.secret if client else ""
    return Notice(key, json.dumps(body, separators=(",", ":")), lambda raw: sign(raw, secret))


def sign(raw_body: str, secret: str, *, at: int | None = None) -> dict[str, str]:
    """Return TikTok's signature header: HMAC-SHA256 of `t.body` under the client secret, in hex."""
    stamp = int(time.time()) if at is None else at
    digest = hmac.new(secret.encode(), f"{stamp}.{raw_body}".encode(), hashlib.sha256).hexdigest()
    return {"TikTok-Signature": f"t={stamp},s={digest}"}
