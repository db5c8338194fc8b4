"""TikTok's limits as data, and the pure checks of what an app announces."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from sandbox.accounts import Account
from sandbox.probe import EIGHT_BITS, ISO, Probe
from sandbox.settings import SandboxSettings
from sandbox.uploads import Upload

# The documentation's examples count megabytes in tens (Content Posting API, media transfer guide).
CHUNK_MIN, CHUNK_MAX, LAST_CHUNK_MAX = 5_000_000, 64_000_000, 128_000_000
CHUNKS_MAX = 1_000
FILE_MAX = 4 * 1024**3
MAX_SECONDS = 600.0  # of a video that comes by the API
TITLE_MAX = 2_200  # UTF-16 code units
PENDING_SHARES = 5  # drafts waiting in an inbox within 24 h
RATES = {
    "init": 6,
    "creator_info": 20,
    "status": 30,
    "read": 600,
}  # a minute; the last one an app, not a token
CONTENT_TYPES = {"video/mp4", "video/quicktime", "video/webm"}
USER_FIELDS = {
    **dict.fromkeys(
        ("open_id", "union_id", "avatar_url", "avatar_url_100", "avatar_large_url", "display_name"),
        "user.info.basic",
    ),
    **dict.fromkeys(("username", "bio_description", "profile_deep_link", "is_verified"), "user.info.profile"),
    **dict.fromkeys(("follower_count", "following_count", "likes_count", "video_count"), "user.info.stats"),
}
VIDEO_FIELDS = {
    "id", "title", "video_description", "create_time", "share_url", "embed_link", "cover_image_url",
    "duration", "height", "width", "like_count", "comment_count", "share_count", "view_count",
}  # fmt: skip
_SWITCHES = (
    "disable_duet", "disable_stitch", "disable_comment", "brand_content_toggle", "brand_organic_toggle",
    "is_aigc",
)  # fmt: skip
CONTAINERS = {ISO, "matroska,webm"}
CODECS = {"h264", "hevc", "vp8", "vp9"}
_RANGE = re.compile(r"bytes (\d{1,15})-(\d{1,15})/(\d{1,15})")


class RefusedError(Exception):
    """A call that is turned down: HTTP status, the platform's code, a sentence, extra headers."""

    def __init__(self, status: int, code: str, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.headers = status, code, message, headers or {}


@dataclass(frozen=True)
class Range:
    """Bytes `start` to `end`, both included, of `total`."""

    start: int
    end: int
    total: int = field(default=0)


def parse_range(header: str) -> Range | None:
    """Return a Content-Range, or None if it is missing or makes no sense."""
    found = _RANGE.fullmatch(header)
    asked = Range(*map(int, found.groups())) if found else None
    return asked if asked and asked.start <= asked.end < asked.total else None


def shown_range(upload: Upload, settings: SandboxSettings) -> str:
    """Return the progress as an answer's Content-Range: documented as `bytes 0-{UPLOADED}/{TOTAL}`, where
    UPLOADED may be read as a count of bytes or as the last byte's index."""
    last = settings.content_range_counts == "last_index" and upload.received > 0
    return f"bytes 0-{upload.received - 1 if last else upload.received}/{upload.size}"


def privacy_options(account: Account) -> list[str]:
    widest = "FOLLOWER_OF_CREATOR" if account.private else "PUBLIC_TO_EVERYONE"
    return account.privacy_options or [widest, "MUTUAL_FOLLOW_FRIENDS", "SELF_ONLY"]


def check_post_info(info: Any, account: Account, *, audited: bool) -> dict[str, Any]:
    """Return a direct post's description with its title set. Raises RefusedError."""
    if not isinstance(info, dict):
        raise _invalid("post_info is missing.")
    title, privacy = info.get("title", ""), info.get("privacy_level")
    if not isinstance(title, str) or len(title.encode("utf-16-le", "surrogatepass")) // 2 > TITLE_MAX:
        raise _invalid(f"title must be text of at most {TITLE_MAX} UTF-16 code units.")
    if not isinstance(privacy, str) or not privacy:
        raise _invalid("privacy_level is missing.")
    if wrong := [name for name in _SWITCHES if not isinstance(info.get(name, False), bool)]:
        raise _invalid(f"{wrong[0]} must be true or false.")
    cover = info.get("video_cover_timestamp_ms", 0)
    if isinstance(cover, bool) or not isinstance(cover, int) or cover < 0:
        raise _invalid("video_cover_timestamp_ms must be a whole number of milliseconds.")
    _check_privacy(privacy, account, audited=audited)
    if info.get("brand_content_toggle") and privacy == "SELF_ONLY":
        raise _invalid("Branded content may not be SELF_ONLY.")
    return info | {"title": title}


def _check_privacy(privacy: str, account: Account, *, audited: bool) -> None:
    if not audited and not (account.private and privacy == "SELF_ONLY"):
        code = "unaudited_client_can_only_post_to_private_accounts"
        raise RefusedError(403, code, "The app is not audited: SELF_ONLY posts to private accounts only.")
    if privacy not in privacy_options(account):
        raise RefusedError(
            403, "privacy_level_option_mismatch", "privacy_level is not among the creator's options."
        )


def check_source(source: Any, *, refuse_multi_chunk: bool) -> tuple[int, int, int]:
    """Return (video_size, chunk_size, total_chunk_count) in bytes. Raises RefusedError."""
    if not isinstance(source, dict) or source.get("source") not in ("FILE_UPLOAD", "PULL_FROM_URL"):
        raise _invalid("source_info.source must be FILE_UPLOAD or PULL_FROM_URL.")
    if source["source"] == "PULL_FROM_URL":
        raise RefusedError(403, "url_ownership_unverified", "The URL's domain or prefix is not verified.")
    numbers: tuple[Any, ...] = tuple(
        source.get(name) for name in ("video_size", "chunk_size", "total_chunk_count")
    )
    if not all(isinstance(n, int) and not isinstance(n, bool) and n > 0 for n in numbers):
        raise _invalid("video_size, chunk_size and total_chunk_count must be whole numbers above 0.")
    size, chunk, count = numbers
    if fault := _plan_fault(size, chunk, count):
        raise _invalid(fault)
    if refuse_multi_chunk and count > 1:
        raise _invalid("The chunk size is invalid")
    return size, chunk, count


def _plan_fault(size: int, chunk: int, count: int) -> str | None:
    if size > FILE_MAX:
        return "The video size is invalid"
    if count > CHUNKS_MAX or chunk > size or count != size // chunk:
        return "The total chunk count is invalid"
    if count == 1:
        return None if chunk == size <= CHUNK_MAX else "The chunk size is invalid"
    last = size - chunk * (count - 1)
    return None if CHUNK_MIN <= chunk <= CHUNK_MAX and last <= LAST_CHUNK_MAX else "The chunk size is invalid"


def _invalid(message: str) -> RefusedError:
    return RefusedError(400, "invalid_params", message)


def media_fault(found: Probe | None, *, max_seconds: float) -> str:
    """Return the fail_reason of the first rule that a file breaks, as measured, or nothing.

    That 3 s are the least is not confirmed, so it is not asked for. Of sound TikTok names no rule.
    """
    if found is None or found.container not in CONTAINERS or found.video_codec not in CODECS:
        return "file_format_check_failed"
    if found.pixel_format not in EIGHT_BITS:
        return "file_format_check_failed"
    sides = (found.width, found.height)
    rules = (
        ("duration_check_failed", found.duration <= max_seconds + 0.5),
        ("frame_rate_check_failed", 23 * 0.99 <= found.frame_rate <= 60 * 1.01),
        ("picture_size_check_failed", min(sides) >= 360 and max(sides) <= 4096),
    )
    return next((reason for reason, kept in rules if not kept), "")
