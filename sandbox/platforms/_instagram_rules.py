"""Instagram's limits as data, and the checks of what an app sends and of the bytes that arrive."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from sandbox.platforms._meta import GraphError
from sandbox.probe import EIGHT_BITS, ISO, Probe

CONTAINER_LIFE = 86_400.0  # seconds
CONTAINERS_PER_DAY = 400
FILE_MAX = 300_000_000
MAX_CAPTION, MAX_HASHTAGS, MAX_MENTIONS, MAX_COLLABORATORS = 2_200, 30, 20, 3
FACEBOOK_SCOPES = {
    "instagram_basic": "see your Instagram account",
    "instagram_content_publish": "publish reels for you",
    "instagram_manage_comments": "write and read comments",
    "instagram_manage_insights": "see how your reels do",
    "instagram_manage_contents": "delete your reels",
    "pages_show_list": "see your Pages",
    "pages_read_engagement": "read your Pages",
    "business_management": "see your businesses",
}
INSTAGRAM_SCOPES = {
    "instagram_business_basic": "see your account",
    "instagram_business_content_publish": "publish reels for you",
    "instagram_business_manage_comments": "write and read comments",
    "instagram_business_manage_insights": "see how your reels do",
}
METRICS = {
    "views", "reach", "likes", "comments", "shares", "saved", "total_interactions", "reposts",
    "ig_reels_avg_watch_time", "ig_reels_video_view_total_time", "reels_skip_rate",
}  # fmt: skip
MEDIA_FIELDS = {
    "id", "caption", "timestamp", "permalink", "shortcode", "media_type", "media_product_type", "like_count",
    "comments_count", "thumbnail_url", "username",
}  # fmt: skip
CONTAINER_FIELDS = {"id", "status_code", "status", "video_status"}
_KNOWN = {
    "media_type", "upload_type", "video_url", "caption", "share_to_feed", "cover_url", "thumb_offset",
    "collaborators", "user_tags", "audio_name", "is_ai_generated", "location_id", "trial_params",
    "access_token",
}  # fmt: skip


def check_container(fields: Mapping[str, str], *, takes_uploads: bool) -> None:
    """Raise GraphError for what Instagram refuses when a container is made."""
    if unknown := sorted(set(fields) - _KNOWN):
        raise GraphError(400, 100, f"Unknown parameter {unknown[0]}.")
    if fields.get("media_type") != "REELS":
        raise GraphError(400, 100, "media_type must be REELS here.", subcode=2207023)
    resumable = fields.get("upload_type") == "resumable"
    if resumable and not takes_uploads:
        raise GraphError(400, 100, "upload_type is not supported with Instagram Login.")
    if resumable == bool(fields.get("video_url")):
        raise GraphError(400, 100, "One of upload_type=resumable and video_url is needed.")
    for name in ("share_to_feed", "is_ai_generated"):
        if fields.get(name, "true") not in ("true", "false"):
            raise GraphError(400, 100, f"{name} must be true or false.")
    if not fields.get("thumb_offset", "0").isdigit():
        raise GraphError(400, 1, "thumb_offset must be a number of milliseconds.", subcode=2207057)
    _check_caption(fields.get("caption", ""))
    _check_collaborators(fields.get("collaborators"))


def _check_caption(caption: str) -> None:
    if len(caption) > MAX_CAPTION:
        raise GraphError(400, 36004, "The caption is too long.", subcode=2207010)
    tags, names = len(re.findall(r"#\w", caption)), len(re.findall(r"@\w", caption))
    if tags > MAX_HASHTAGS or names > MAX_MENTIONS:
        raise GraphError(400, 100, "Too many hashtags or mentions.", subcode=2207040)


def _check_collaborators(value: str | None) -> None:
    if value is None:
        return
    try:
        names = json.loads(value)
    except ValueError:
        names = None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise GraphError(400, 100, "collaborators must be a list of user names.")
    if len(names) > MAX_COLLABORATORS:
        raise GraphError(400, 100, "Too many collaborators.", subcode=2207035)


def size_fault(size: int) -> int:
    """Return the subcode for a file that is too large, or 0."""
    return 2207077 if size > FILE_MAX else 0


def media_fault(found: Probe | None, *, size: int) -> int:
    """Return the subcode of what Instagram cannot use, as measured, or 0."""
    if found is None or not _is_format_known(found):
        return 2207026
    if not found.has_moov_first or found.has_edit_list or found.width > 1920:
        return 2207026
    if not 0.01 <= found.aspect <= 10:
        return 2207026
    if not 22.77 <= found.frame_rate <= 60.6 or not 3 <= found.duration <= 900:
        return 2207026
    too_dense = size * 8 / found.duration > 25_000_000
    return 2207077 if too_dense else 0


def _is_format_known(found: Probe) -> bool:
    """Tell whether picture and sound are written as Instagram reads them."""
    has_picture = found.video_codec in ("h264", "hevc") and found.pixel_format in EIGHT_BITS
    return found.container == ISO and has_picture and not found.is_interlaced and found.has_plain_sound
