"""What TikTok allows, asks and answers, as data; `tiktok.py` is what is done with it.

Source of rules and numbers unless named otherwise: developers.tiktok.com, Content Posting API, read 2026-11.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, NamedTuple, TypeGuard

from app import clock
from app.domain.video_spec import VideoSpec
from app.exceptions import (
    ErrorKind,
    PlatformAPIError,
    PlatformAuthError,
    PlatformRateLimitError,
    PlatformUploadError,
)
from app.platforms._covers import Cover
from app.platforms.base import (
    BLOCKED,
    UNTOLD,
    Option,
    PostingOptions,
    Problem,
    PublishRequest,
    Quota,
    Setting,
    TextLimit,
    with_defaults,
)

SOURCE = "developers.tiktok.com, Content Posting API, 2026-11"


class ErrorRow(NamedTuple):
    """How one of the platform's codes is understood. `wait` is how long trying again is pointless."""

    raises: type[PlatformAPIError]
    kind: ErrorKind
    sentence: str
    wait: timedelta | None = None
    blocks: bool = False  # the account may post nothing at present, whatever the post
    bucket: str = ""  # the quota whose window this closes, where that is not the account's posts


INIT, POSTS, DRAFTS, ACTIVE = "init", "posts", "drafts", "active_accounts"
_MINUTE = timedelta(minutes=1)
_HALF_HOUR = timedelta(minutes=30)
_DAY = timedelta(hours=24)
_SCOPE = (
    "TikTok was not given the permission this needs. Reconnect the channel and allow everything asked for."
)
_TOKEN = "TikTok no longer accepts this connection. Reconnect the channel."  # noqa: S105 - a sentence
_DAILY = "This TikTok account has reached its posts for 24 hours, over all apps. Post later."
_BANNED = "TikTok lets this account post nothing at present. Look in its app for the reason, then resume the channel."
_INPUT = "TikTok refused the post's settings or text. Check the caption and the options."
_LOST = "TikTok does not know this upload any more."

# error.code of a data endpoint's envelope, whatever its HTTP status
ERRORS: Mapping[str, ErrorRow] = {
    "access_token_invalid": ErrorRow(PlatformAuthError, "reauth", _TOKEN),
    "scope_not_authorized": ErrorRow(PlatformAuthError, "reauth", _SCOPE),
    "scope_permission_missed": ErrorRow(PlatformAuthError, "reauth", _SCOPE),
    "invalid_param": ErrorRow(PlatformAPIError, "content", _INPUT),
    "invalid_params": ErrorRow(PlatformAPIError, "content", _INPUT),
    "invalid_file_upload": ErrorRow(
        PlatformUploadError, "media", "TikTok refused the file. Check its format, length and size."
    ),
    "app_version_check_failed": ErrorRow(
        PlatformAPIError,
        "account",
        "The account's TikTok app is too old (31.8 or newer is needed). Update it.",
    ),
    "invalid_publish_id": ErrorRow(PlatformAPIError, "transient", _LOST),
    "token_not_authorized_for_specified_publish_id": ErrorRow(PlatformAPIError, "transient", _LOST),
    "spam_risk_too_many_posts": ErrorRow(PlatformRateLimitError, "quota", _DAILY, _DAY),
    "spam_risk_too_many_pending_share": ErrorRow(
        PlatformRateLimitError,
        "rate",  # whoever empties the inbox ends it, which may be at once
        "Too many drafts wait in this account's TikTok inbox. Post or discard some; we look again in half an hour.",
        _HALF_HOUR,
        bucket=DRAFTS,
    ),
    "spam_risk_user_banned_from_posting": ErrorRow(PlatformAPIError, "account", _BANNED, blocks=True),
    "reached_active_user_cap": ErrorRow(
        PlatformRateLimitError,
        "quota",
        "TikTok's limit of accounts that may post through this installation in 24 hours is reached.",
        timedelta(hours=1),  # places come free one by one
        bucket=ACTIVE,
    ),
    "unaudited_client_can_only_post_to_private_accounts": ErrorRow(
        PlatformAPIError,
        "config",
        "Until TikTok has audited this installation's app, it posts to private accounts only. Make the "
        "TikTok account private, or have the app audited.",
    ),
    "url_ownership_unverified": ErrorRow(
        PlatformAPIError, "config", "TikTok has not verified the address of this installation."
    ),
    "privacy_level_option_mismatch": ErrorRow(
        PlatformAPIError,
        "content",
        "TikTok does not offer this privacy level to the account. Choose another.",
    ),
    "rate_limit_exceeded": ErrorRow(
        PlatformRateLimitError, "rate", "TikTok asks us to slow down. We try again in a minute.", _MINUTE
    ),
    "internal_error": ErrorRow(
        PlatformAPIError, "transient", "TikTok had an error of its own. We try again."
    ),
}

# fail_reason of an upload whose status is FAILED: the post does not exist, and a new upload cannot double it
FAIL_REASONS: Mapping[str, ErrorRow] = {
    "file_format_check_failed": ErrorRow(
        PlatformUploadError, "media", "TikTok cannot use this file format. MP4 with H.264 is the safest."
    ),
    "duration_check_failed": ErrorRow(
        PlatformUploadError, "media", "TikTok does not take a video of this length from this account."
    ),
    "frame_rate_check_failed": ErrorRow(
        PlatformUploadError, "media", "TikTok takes 23 to 60 frames a second; this video has another rate."
    ),
    "picture_size_check_failed": ErrorRow(
        PlatformUploadError,
        "media",
        "TikTok takes 360 to 4096 pixels on each side; this video is another size.",
    ),
    "spam_risk_text": ErrorRow(PlatformAPIError, "content", "TikTok takes the caption for spam. Change it."),
    "spam_risk": ErrorRow(PlatformAPIError, "content", "TikTok takes this post for spam. Change it."),
    "spam_risk_user_banned_from_posting": ErrorRow(PlatformAPIError, "account", _BANNED, blocks=True),
    "spam_risk_too_many_posts": ErrorRow(PlatformRateLimitError, "quota", _DAILY, _DAY),
    "auth_removed": ErrorRow(
        PlatformAuthError, "reauth", "The account took its permission back at TikTok. Reconnect the channel."
    ),
    "publish_cancelled": ErrorRow(PlatformAPIError, "account", "The post was cancelled at TikTok."),
    "internal": ErrorRow(PlatformAPIError, "transient", "TikTok had an error of its own. We try again."),
    "video_pull_failed": ErrorRow(
        PlatformAPIError, "transient", "TikTok could not take the video. We try again."
    ),
    "photo_pull_failed": ErrorRow(
        PlatformAPIError, "transient", "TikTok could not take the photo. We try again."
    ),
}

REMOVED = ErrorRow(PlatformAPIError, "content", "TikTok removed the post, or it was deleted there.")
UNKNOWN_FAILURE = ErrorRow(PlatformUploadError, "media", "TikTok could not use this video. See the code.")


def row_for_status(status: int) -> ErrorRow:
    """Return how an answer without a known code is understood, by its HTTP status."""
    if status == 401:
        return ErrorRow(PlatformAuthError, "reauth", _TOKEN)
    if status == 429:
        return ERRORS["rate_limit_exceeded"]
    if status >= 500:
        return ERRORS["internal_error"]
    if status in {200, 403}:  # "cannot post now" comes with 200, what the account may not do with 403
        return ErrorRow(
            PlatformAPIError, "account", "TikTok does not let this account do this. See the code."
        )
    return ErrorRow(PlatformAPIError, "content", "TikTok refused this. See the code.")


def error(row: ErrorRow, code: str, details: dict[str, Any] | None = None) -> PlatformAPIError:
    """Return the error a row describes. The platform's own words are not repeated: they may hold secrets."""
    retry_at = clock.now() + row.wait if row.wait else None
    details = dict(details or {}) | ({"bucket": row.bucket} if row.bucket else {})
    details |= {BLOCKED: True} if row.blocks else {}
    return row.raises(
        row.sentence, details, platform="tiktok", kind=row.kind, platform_code=code, retry_at=retry_at
    )


DIRECT, INBOX = "direct", "inbox"
MODES = (INBOX, DIRECT)
MODE_SCOPES = {DIRECT: "video.publish", INBOX: "video.upload"}
SCOPES = ("user.info.basic", "user.info.profile", "video.publish", "video.upload", "video.list")
SETTINGS = (
    Setting("CLIENT_KEY", "", "Client key of your app at developers.tiktok.com.", secret=True),
    Setting("CLIENT_SECRET", "", "Client secret of that app.", secret=True),
    Setting("AUDITED", "false", "true once TikTok has audited the app; before, videos go to the inbox."),
    Setting(
        "SCOPES",
        ",".join(SCOPES),
        "Permissions asked for; all must be enabled in the app. The first is needed, and video.publish (direct "
        "posts) or video.upload (drafts for the inbox).",
    ),
    Setting("DAILY_POSTS", "15", "Posts an account may make in 24 hours, as far as we count: 1 to 1000000."),
    Setting("INITS_PER_MINUTE", "6", "Uploads an account may begin in a minute: 1 to 1000000."),
    Setting("CHUNK_SIZE", "5000000", "Bytes of a chunk of files over 10 MB: 5000000 to 64000000."),
    Setting("AUTH_URL", "https://www.tiktok.com/v2/auth/authorize/", "Consent page.", role="browser"),
    Setting("WEB_URL", "https://www.tiktok.com", "Where posts and profiles are seen.", role="browser"),
    Setting("API_BASE", "https://open.tiktokapis.com/v2", "The API.", role="server"),
    Setting("UPLOAD_HOSTS", "*.tiktokapis.com", "Hosts a returned upload address may have.", role="hosts"),
)

INTERACTIONS = ("comment", "duet", "stitch")
PRIVACY_LEVELS = ("PUBLIC_TO_EVERYONE", "MUTUAL_FOLLOW_FRIENDS", "FOLLOWER_OF_CREATOR", "SELF_ONLY")

_MODE = Option(
    "mode",
    "string",
    "direct: posted at the due time. inbox: a draft that waits in the TikTok app for the account's owner, who "
    "chooses text and privacy there.",
    choices=MODES,
)
# Interaction is off and privacy has no default: TikTok's audit asks that the person chooses both.
OPTIONS = (
    _MODE,
    Option("privacy_level", "string", "who may see the post; needed in mode direct.", choices=PRIVACY_LEVELS),
    Option("allow_comment", "boolean", "Let people comment.", default=False),
    Option("allow_duet", "boolean", "Let people make duets.", default=False),
    Option("allow_stitch", "boolean", "Let people stitch.", default=False),
    Option("brand_content_toggle", "boolean", "Paid partnership: promotes another business.", default=False),
    Option("brand_organic_toggle", "boolean", "Promotes the creator's own business.", default=False),
    Option("is_aigc", "boolean", "Label as made by AI.", default=False),
    Option("video_cover_timestamp_ms", "integer", "Frame used as cover, in milliseconds.", minimum=0),
    Option("use_thumbnail", "boolean", "Use the frame the video's thumbnail shows as cover.", default=False),
)

COVER = Cover("frame", source=SOURCE, checked_on="2026-11-23")

VIDEO = VideoSpec(
    source=SOURCE,
    checked_on="2026-11-23",
    containers=("mp4", "mov", "webm"),
    video_codecs=("h264", "hevc", "vp8", "vp9"),
    pixel_formats=("yuv420p", "yuvj420p"),  # others are not spoken of
    max_size_bytes=4_000_000_000,  # "4 GB"; its other sizes are decimal
    max_duration_seconds=600,
    min_frame_rate=23,
    max_frame_rate=60,
    min_side=360,
    max_side=4096,
    allows_hdr=False,  # not spoken of
    preferred_aspect=9 / 16,
    preferred_size_bytes=64_000_000,  # one chunk
)
POST_TYPES = {"video": VIDEO}
CONTENT_TYPES = frozenset({"video/mp4", "video/quicktime", "video/webm"})
MAX_TITLE = 2200


def options(*, audited: bool) -> tuple[Option, ...]:
    """Return the options with the default mode: drafts until TikTok has audited the app."""
    return (replace(_MODE, default=DIRECT if audited else INBOX), *OPTIONS[1:])


def quotas(*, daily_posts: int, inits_per_minute: int) -> tuple[Quota, ...]:
    """Return the limits we count. TikTok counts posts of other apps too, and drafts that wait by itself.

    How many accounts may post in a day is a limit of the app, but it stops only those who have not posted that
    day: the others' windows stay open.
    """
    return (
        Quota(INIT, inits_per_minute, _MINUTE, "channel", SOURCE, posts=False),
        Quota(POSTS, daily_posts, _DAY, "channel", f"{SOURCE}; reports say 15 to 25", phase="commit"),
        Quota(DRAFTS, UNTOLD, _HALF_HOUR, "channel", f"{SOURCE}; 5 drafts may wait", posts=False),
        Quota(ACTIVE, UNTOLD, _DAY, "channel", SOURCE, posts=False),
    )


def utf16_units(text: str) -> int:
    """Return the length as TikTok counts it: an emoji outside the basic plane counts two."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


TEXT_LIMITS = (TextLimit("caption", MAX_TITLE, "UTF-16 code units", utf16_units, SOURCE),)


def rule_problems(options: Mapping[str, Any], *, audited: bool) -> list[Problem]:
    """Return what of the options contradicts each other or the state of the app's audit."""
    if options.get("mode") == INBOX:  # the account's owner chooses in the app
        return []
    privacy = options.get("privacy_level")
    if privacy is None:
        return [_privacy_problem("Choose privacy_level: who may see the post.", None, PRIVACY_LEVELS)]
    problems = []
    if options.get("brand_content_toggle") is True and privacy == "SELF_ONLY":
        message = "A paid partnership cannot be visible to yourself only. Choose another privacy level."
        problems.append(_privacy_problem(message, privacy, PRIVACY_LEVELS[:-1]))
    if not audited and privacy in PRIVACY_LEVELS and privacy != "SELF_ONLY":
        message = (
            "Until TikTok has audited this installation's app, direct posts can be SELF_ONLY only. Choose that, "
            "or mode inbox, or set TIKTOK_AUDITED=true after the audit."
        )
        problems.append(_privacy_problem(message, privacy, ["SELF_ONLY"]))
    return problems


def _privacy_problem(message: str, found: Any, allowed: Sequence[str]) -> Problem:
    return Problem("options.privacy_level", message, found, [*allowed])


def post_info(request: PublishRequest) -> dict[str, Any]:
    """Return the post as TikTok's init takes it. There is one text: the caption, or the title without one."""
    chosen = with_defaults(OPTIONS, request.options)
    passed_on = ("privacy_level", "brand_content_toggle", "brand_organic_toggle", "is_aigc")
    info = {name: chosen[name] for name in (*passed_on, "video_cover_timestamp_ms") if name in chosen}
    if chosen["use_thumbnail"] and request.thumbnail_at is not None:
        info.setdefault("video_cover_timestamp_ms", round(request.thumbnail_at * 1000))
    info |= {f"disable_{what}": not chosen[f"allow_{what}"] for what in INTERACTIONS}
    return info | {"title": request.caption if request.caption.strip() else request.title}


def posting_options(creator: Mapping[str, Any], *, modes: Sequence[str], audited: bool) -> PostingOptions:
    """Return what creator_info lets the account choose; levels we do not know are left out."""
    offered = creator.get("privacy_level_options")
    allowed = PRIVACY_LEVELS if audited else ("SELF_ONLY",)
    levels = [level for level in offered if level in allowed] if isinstance(offered, list) else []
    longest = creator.get("max_video_post_duration_sec")
    return PostingOptions(
        choices={"mode": modes, "privacy_level": levels},
        disabled=[f"allow_{what}" for what in INTERACTIONS if creator.get(f"{what}_disabled") is True],
        max_duration_seconds=longest if _is_number(longest) else None,
    )


def check_creator(creator: Mapping[str, Any], request: PublishRequest) -> None:
    """Raise the typed error if the account, as it is now, does not allow what the post was set to."""
    options, offered = request.options, creator.get("privacy_level_options")
    if not isinstance(offered, list) or options.get("privacy_level") not in offered:
        code = "privacy_level_option_mismatch"
        raise error(ERRORS[code], code, {"found": options.get("privacy_level"), "allowed": offered})
    for what in INTERACTIONS:
        if options.get(f"allow_{what}") and creator.get(f"{what}_disabled") is True:
            message = f"The account has {what} turned off at TikTok, but the post allows it. Change either."
            facts = {"option": f"allow_{what}"}
            raise PlatformAPIError(message, facts, platform="tiktok", kind="content")
    longest, length = creator.get("max_video_post_duration_sec"), request.duration_seconds
    if _is_number(longest) and length is not None and length > longest:
        message = f"The video is {length:.1f} s long; TikTok allows this account {longest} s. Shorten it."
        raise PlatformUploadError(message, {"measured": length, "allowed": longest}, platform="tiktok")


def _is_number(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)
