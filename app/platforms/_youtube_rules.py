"""What YouTube allows, asks and answers, as data; `youtube.py` is what is done with it.

Source of rules and numbers unless named otherwise: developers.google.com/youtube/v3, read 2026-11.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from app.domain.video_spec import VideoFacts, VideoSpec
from app.platforms._youtube_errors import PACIFIC, UPLOADS
from app.platforms.base import (
    UNTOLD,
    Option,
    Problem,
    PublishRequest,
    Quota,
    Setting,
    TextLimit,
    with_defaults,
)

SOURCE = "developers.google.com/youtube/v3, 2026-11"
_DAY = timedelta(hours=24)
UNITS, INSERTS = "units", "inserts"
UPDATE_COST, THUMBNAIL_COST, COMMENT_COST = 50, 50, 50

_PREFIX = "https://www.googleapis.com/auth/"
UPLOAD, READ, FORCE_SSL, MANAGE = (
    _PREFIX + name for name in ("youtube.upload", "youtube.readonly", "youtube.force-ssl", "youtube")
)
SCOPES = (UPLOAD, READ, FORCE_SSL)
MAY_UPLOAD = frozenset({UPLOAD, FORCE_SSL, MANAGE})
MAY_READ = frozenset({READ, FORCE_SSL, MANAGE})
MAY_CHANGE = frozenset({FORCE_SSL, MANAGE})
MAY_COMMENT = frozenset({FORCE_SSL})
SCOPE_FOR = {"": MAY_UPLOAD, "first_comment": MAY_COMMENT}

GRAIN = 262_144  # bytes; every chunk but the last must be a multiple
CHUNK_MAX = 64 * 1024 * 1024
SETTINGS = (
    Setting("CLIENT_ID", "", "OAuth client id of your project at console.cloud.google.com.", secret=True),
    Setting("CLIENT_SECRET", "", "Secret of that client.", secret=True),
    Setting(
        "SCOPES",
        " ".join(SCOPES),
        "Permissions asked for, separated by blanks; see docs/platforms/youtube.md.",
    ),
    Setting("INSERTS_PER_DAY", "100", "Videos the Google project may upload in a day: 1 to 1000000."),
    Setting("UNITS_PER_DAY", "10000", "Units of all other calls of the project in a day: 1 to 1000000000."),
    Setting("CHUNK_SIZE", "8388608", "Bytes of a chunk: a multiple of 262144, at most 67108864."),
    Setting("AUTH_URL", "https://accounts.google.com/o/oauth2/v2/auth", "Consent page.", role="browser"),
    Setting("WEB_URL", "https://www.youtube.com", "Where videos and channels are seen.", role="browser"),
    Setting("TOKEN_URL", "https://oauth2.googleapis.com/token", "Where tokens are asked for.", role="server"),
    Setting(
        "REVOKE_URL", "https://oauth2.googleapis.com/revoke", "Where grants are given back.", role="server"
    ),
    Setting("API_BASE", "https://www.googleapis.com/youtube/v3", "The API.", role="server"),
    Setting("UPLOAD_BASE", "https://www.googleapis.com/upload/youtube/v3", "The upload API.", role="server"),
    Setting(
        "UPLOAD_HOSTS",
        "www.googleapis.com,youtube.googleapis.com",
        "Hosts an upload address may have; they are sent the access token.",
        role="hosts",
    ),
)

PRIVATE = "private"
PRIVACIES = ("public", "unlisted", PRIVATE)
OPTIONS = (
    Option("privacy_status", "string", "who may see the video.", choices=PRIVACIES, required=True),
    Option("made_for_kids", "boolean", "whether it is made for kids; YouTube demands an answer.", required=True),
    Option("contains_synthetic_media", "boolean", "Realistic, but altered or made by AI.", default=False),
    Option("category_id", "string", "Category by YouTube's number; 22 is People & Blogs.", default="22"),
    Option("tags", "string", "Tags, separated by commas."),
    Option("notify_subscribers", "boolean", "Tell subscribers.", default=True),
    Option("embeddable", "boolean", "Let other sites embed the video.", default=True),
    Option("license", "string", "License.", default="youtube", choices=("youtube", "creativeCommon")),
    Option("use_thumbnail", "boolean", "Set the video's thumbnail; needs a verified channel.", default=False),
    Option("first_comment", "string", "A comment to write below the video once it is out."),
)  # fmt: skip

SHORT_SECONDS = 180
VIDEO = VideoSpec(
    source=SOURCE,
    checked_on="2026-11-23",
    max_size_bytes=274_877_906_944,  # 256 GB, as the discovery document says
    max_duration_seconds=43_200,
)
SHORT = replace(VIDEO, max_duration_seconds=SHORT_SECONDS, max_aspect=1.0)
POST_TYPES = {"short": SHORT, "video": VIDEO}
MAX_TITLE, MAX_DESCRIPTION, MAX_TAGS, MAX_COMMENT = 100, 5000, 500, 10_000
UNVERIFIED_SECONDS = 900  # longer videos need a verified channel


def utf8_bytes(text: str) -> int:
    """Return the length as YouTube counts descriptions."""
    return len(text.encode("utf-8", "surrogatepass"))


TEXT_LIMITS = (
    TextLimit("title", MAX_TITLE, "characters", len, SOURCE, required=True),
    TextLimit("caption", MAX_DESCRIPTION, "bytes in UTF-8", utf8_bytes, SOURCE),
)


def quotas(*, inserts: int, units: int) -> tuple[Quota, ...]:
    """Return the limits: two of the Google project, which is the whole installation, and each channel's own."""
    return (
        Quota(INSERTS, inserts, _DAY, "app", SOURCE, timezone=PACIFIC),
        Quota(UPLOADS, UNTOLD, _DAY, "channel", SOURCE, posts=False),
        Quota(UNITS, units, _DAY, "app", SOURCE, timezone=PACIFIC, posts=False),
    )


def marker(target_id: str) -> str:
    """Return the tag by which an upload is found again: `vs-` and the random end of the target's id."""
    return "vs-" + target_id.replace("-", "")[-12:]


def tags(options: Mapping[str, Any]) -> list[str]:
    given = options.get("tags")
    return [tag.strip() for tag in given.split(",") if tag.strip()] if isinstance(given, str) else []


def tags_length(names: list[str]) -> int:
    """Return the length as YouTube counts tags: commas count, and quotes around those with a blank."""
    return sum(len(name) + 2 * (" " in name) for name in names) + max(0, len(names) - 1)


def rule_problems(title: str, caption: str, options: Mapping[str, Any]) -> list[Problem]:
    """Return what YouTube would refuse beyond lengths and kinds."""
    problems = [
        Problem(name, f"YouTube allows neither < nor > in the {what}. Take them out.", found, "")
        for name, what, text in (("title", "title", title), ("caption", "description", caption))
        if (found := "".join(char for char in text if char in "<>"))
    ]
    mine = tags_length([*tags(options), marker("0" * 12)])
    if mine > MAX_TAGS:
        message = f"The tags have {mine} characters with our own, at most {MAX_TAGS} fit. Leave some out."
        problems.append(Problem("options.tags", message, mine, MAX_TAGS))
    category = options.get("category_id")
    if isinstance(category, str) and not (category.isascii() and category.isdigit()):
        message = "category_id is a number at YouTube, such as 22."
        problems.append(Problem("options.category_id", message, category, "digits"))
    return problems + _comment_problems(options)


def _comment_problems(options: Mapping[str, Any]) -> list[Problem]:
    text = options.get("first_comment")
    if not isinstance(text, str):
        return []
    field = "options.first_comment"
    if not 0 < len(text.strip()) <= len(text) <= MAX_COMMENT:
        message = f"A comment has 1 to {MAX_COMMENT} characters; this one has {len(text)}."
        return [Problem(field, message, len(text), MAX_COMMENT)]
    if options.get("made_for_kids") is True:
        return [Problem(field, "YouTube has no comments on videos made for kids. Leave it out.", text, None)]
    if options.get("privacy_status") == PRIVATE:
        return [Problem(field, "A private video takes no comment. Leave it out.", text, None)]
    return []


def snippet(request: PublishRequest) -> dict[str, Any]:
    """Return the texts as videos.insert takes them; the last tag is ours."""
    chosen = with_defaults(OPTIONS, request.options)
    return {
        "title": request.title,
        "description": request.caption,
        "tags": [*tags(chosen), marker(request.target_id)],
        "categoryId": chosen["category_id"],
    }


def status(request: PublishRequest, *, privacy: str) -> dict[str, Any]:
    """Return the whole `status` part: what is left out would be wiped, and privacy would be public."""
    chosen = with_defaults(OPTIONS, request.options)
    return {
        "privacyStatus": privacy,
        "selfDeclaredMadeForKids": chosen.get("made_for_kids") is True,
        "containsSyntheticMedia": chosen["contains_synthetic_media"],
        "embeddable": chosen["embeddable"],
        "license": chosen["license"],
        "publicStatsViewable": True,
    }


def wanted_privacy(request: PublishRequest) -> str:
    """Return the privacy the post was set to; the narrowest when it says none."""
    wanted = request.options.get("privacy_status")
    return wanted if isinstance(wanted, str) else PRIVATE


def is_short(request: PublishRequest) -> bool:
    """Return whether YouTube shows the video as a Short: square or upright, and up to 180 s."""
    width, height, length = request.width, request.height, request.duration_seconds
    if width is None or height is None or length is None:
        return False
    return height >= width and length <= SHORT_SECONDS


def type_of(facts: VideoFacts, options: Mapping[str, Any]) -> str:  # noqa: ARG001 - the video decides
    """Return `short` or `video`: YouTube decides by shape and length."""
    return "short" if facts.height >= facts.width and facts.duration_seconds <= SHORT_SECONDS else "video"
