"""What Instagram allows, asks and answers, as data; `instagram.py` is what is done with it.

Source of rules and numbers unless named otherwise: developers.facebook.com, Instagram Platform, content
publishing, read 2026-11.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from datetime import timedelta
from typing import Any

from app import clock
from app.domain.video_spec import VideoSpec
from app.exceptions import PlatformAPIError, PlatformAuthError, PlatformRateLimitError, PlatformUploadError
from app.platforms._covers import Cover
from app.platforms._meta_rules import Row, Tables, blocked, call_quotas, passing, refused
from app.platforms._setting_values import read_number
from app.platforms.base import Login, Option, Problem, PublishRequest, Quota, Setting, StepKind, TextLimit

SOURCE = "developers.facebook.com, Instagram Platform, content publishing, 2026-11"
LABEL = "Instagram"
FACEBOOK, INSTAGRAM = "facebook_login", "instagram_login"
LOGINS = (
    Login(FACEBOOK, "Facebook (accounts linked to a Page)", ("FACEBOOK_APP_ID", "FACEBOOK_APP_SECRET")),
    Login(INSTAGRAM, "Instagram (without a Page)", ("APP_ID", "APP_SECRET")),
)
_FACEBOOK_SCOPES = (
    "instagram_basic", "instagram_content_publish", "pages_show_list", "pages_read_engagement",
    "instagram_manage_comments", "instagram_manage_insights", "instagram_manage_contents",
)  # fmt: skip
_INSTAGRAM_SCOPES = (
    "instagram_business_basic", "instagram_business_content_publish", "instagram_business_manage_comments",
    "instagram_business_manage_insights",
)  # fmt: skip
SCOPES = _FACEBOOK_SCOPES + _INSTAGRAM_SCOPES
# what a scope is called in each flavour
PUBLISH = {FACEBOOK: "instagram_content_publish", INSTAGRAM: "instagram_business_content_publish"}
COMMENT = {FACEBOOK: "instagram_manage_comments", INSTAGRAM: "instagram_business_manage_comments"}
INSIGHTS = {FACEBOOK: "instagram_manage_insights", INSTAGRAM: "instagram_business_manage_insights"}
_NEEDED = {
    FACEBOOK: {"instagram_basic", "pages_show_list", "pages_read_engagement", PUBLISH[FACEBOOK]},
    INSTAGRAM: {"instagram_business_basic", PUBLISH[INSTAGRAM]},
}
SCOPE_FOR = {"": frozenset(PUBLISH.values()), "first_comment": frozenset(COMMENT.values())}
REMOVE = "instagram_manage_contents"  # since 2025-12-03, Facebook Login only

_GRAPH = "https://graph.facebook.com/v26.0"
SETTINGS = (
    Setting("FACEBOOK_APP_ID", "", "App id of the Meta app, for accounts linked to a Page.", secret=True),
    Setting("FACEBOOK_APP_SECRET", "", "App secret of the Meta app.", secret=True),
    Setting("APP_ID", "", "Instagram app id, another one, for accounts without a Page.", secret=True),
    Setting("APP_SECRET", "", "Instagram app secret.", secret=True),
    Setting("FACEBOOK_SCOPES", ",".join(_FACEBOOK_SCOPES), "Permissions asked for by Facebook Login."),
    Setting("SCOPES", ",".join(_INSTAGRAM_SCOPES), "Permissions asked for by Instagram Login."),
    Setting("DAILY_POSTS", "50", "Posts an account may make in 24 hours; Meta says 50, in one place 100."),
    Setting(
        "WEBHOOK_VERIFY_TOKEN",
        "",
        "Word agreed with Meta when webhooks and callbacks are set up.",
        secret=True,
    ),
    Setting("WEB_URL", "https://www.instagram.com", "Where posts are seen.", role="browser"),
    Setting(
        "DIALOG_URL",
        "https://www.facebook.com/v26.0/dialog/oauth",
        "Consent page of Facebook Login.",
        role="browser",
    ),
    Setting(
        "AUTH_URL",
        "https://www.instagram.com/oauth/authorize",
        "Consent page of Instagram Login.",
        role="browser",
    ),
    Setting("FACEBOOK_GRAPH_BASE", _GRAPH, "The API for Facebook Login, with its version.", role="server"),
    Setting(
        "TOKEN_URL",
        "https://api.instagram.com/oauth/access_token",
        "Where Instagram Login trades codes.",
        role="server",
    ),
    Setting(
        "GRAPH_BASE",
        "https://graph.instagram.com/v26.0",
        "The API for Instagram Login, with its version.",
        role="server",
    ),
    Setting(
        "UPLOAD_HOSTS",
        "rupload.facebook.com",
        "Hosts an upload address may have; others are refused.",
        role="hosts",
    ),
)

OPTIONS = (
    Option("share_to_feed", "boolean", "Show the reel in the profile's feed, too.", default=True),
    Option("thumb_offset", "integer", "Frame used as cover, in milliseconds.", minimum=0),
    Option("use_thumbnail", "boolean", "Use the video's own thumbnail as cover.", default=False),
    Option("collaborators", "string", "Up to 3 user names, separated by commas, who are invited."),
    Option("is_ai_generated", "boolean", "Label as made by AI.", default=False),
    Option("first_comment", "string", "Written under the reel by the account once it is there."),
)
MAX_COLLABORATORS = 3

COVER = Cover(
    "picture",
    source=SOURCE,
    checked_on="2026-11-23",
    advice="9:16, sRGB; the profile's grid crops it.",
    max_bytes=8_000_000,  # "8 MB"
)

VIDEO = VideoSpec(
    source=SOURCE,
    checked_on="2026-11-23",
    containers=("mp4", "mov"),
    video_codecs=("h264", "hevc"),
    audio_codecs=("aac",),
    audio_profiles=("LC",),
    pixel_formats=("yuv420p", "yuvj420p"),  # "4:2:0"; more than 8 bits are not spoken of
    max_size_bytes=300_000_000,  # "300 MB"
    min_duration_seconds=3,
    max_duration_seconds=900,
    min_frame_rate=23,
    max_frame_rate=60,
    max_width=1920,
    min_aspect=0.01,
    max_aspect=10,
    max_bit_rate=25_000_000,
    max_audio_sample_rate=48_000,
    max_audio_channels=2,
    needs_fast_start=True,
    needs_progressive=True,
    allows_edit_list=False,
    allows_hdr=False,  # not spoken of
    preferred_aspect=9 / 16,
)
POST_TYPES = {"reel": VIDEO}
_DAY = timedelta(hours=24)
OWN_APP_CALLS = "own_app_calls"  # of the app of Instagram Login, which is another one
FIRST_COMMENT = "first_comment"
STEP_KINDS = (StepKind(FIRST_COMMENT, "First comment", repeatable=False),)


def quotas(daily_posts: str) -> tuple[Quota, ...]:
    """Return the limits we count. Raises ValueError for a setting that is no whole number above 0."""
    most = read_number(daily_posts, 1, 1_000_000, name="INSTAGRAM_DAILY_POSTS")
    return (
        Quota("publishes", most, _DAY, "channel", SOURCE, phase="commit"),
        Quota("containers", 400, _DAY, "channel", SOURCE, posts=False),
        *call_quotas("app_calls", OWN_APP_CALLS),
    )


def check_scopes(login: str, granted: Collection[str]) -> None:
    """Raise PlatformAuthError unless everything was allowed that knowing the account and posting need."""
    if missing := sorted(_NEEDED[login] - set(granted)):
        message = (
            "You did not allow what posting needs, so nothing can be posted. Connect again and allow it."
        )
        details = {"missing": missing}
        raise PlatformAuthError(message, details, platform="instagram", platform_code="scope_not_authorized")


MAX_CAPTION, MAX_HASHTAGS, MAX_MENTIONS = 2200, 30, 20
_HASHTAG = re.compile(r"#\w")
_MENTION = re.compile(r"@\w")
_USERNAME = re.compile(r"[A-Za-z0-9._]{1,30}")


def _hashtags(text: str) -> int:
    return len(_HASHTAG.findall(text))


def _mentions(text: str) -> int:
    return len(_MENTION.findall(text))


TEXT_LIMITS = (
    TextLimit("caption", MAX_CAPTION, "characters", len, SOURCE),
    TextLimit("caption", MAX_HASHTAGS, "hashtags", _hashtags, SOURCE),
    TextLimit("caption", MAX_MENTIONS, "@ names", _mentions, SOURCE),
)


def rule_problems(options: Mapping[str, Any]) -> list[Problem]:
    """Return what of the options Instagram would refuse, beyond their kinds."""
    problems = []
    if names := collaborators(options):
        odd = [name for name in names if not _USERNAME.fullmatch(name)]
        if len(names) > MAX_COLLABORATORS or odd:
            message = f"At most {MAX_COLLABORATORS} user names, separated by commas, found {len(names)}."
            if odd:
                message = f"{odd[0]!r} is not a user name. Separate names by commas."
            problems.append(Problem("options.collaborators", message, names, MAX_COLLABORATORS))
    comment = options.get(FIRST_COMMENT)
    if isinstance(comment, str) and len(comment) > MAX_CAPTION:
        message = f"The first comment has {len(comment)} characters, at most {MAX_CAPTION} fit. Shorten it."
        problems.append(Problem(f"options.{FIRST_COMMENT}", message, len(comment), MAX_CAPTION))
    return problems


def collaborators(options: Mapping[str, Any]) -> list[str]:
    """Return the user names to invite, without blanks and leading @."""
    given = options.get("collaborators")
    names = given.split(",") if isinstance(given, str) else []
    return [name for item in names if (name := item.strip().removeprefix("@"))]


# -- errors: subcode first, then code; Meta's general codes are in `_meta_rules.py`


def _media(sentence: str) -> Row:
    return Row(PlatformUploadError, "media", sentence)


_AGAIN = "Instagram could not take the video in. We try again with a new upload."
_CHECK_TEXT = "Instagram refused the post's settings or text. Check the caption and the options."
_COVER = (
    "Instagram refused the cover image. It must be a JPEG of at most 8 MB. Use a frame of the video instead."
)
_ACCOUNT = (
    "Instagram restricts this account at present. Open the Instagram app, follow what it asks, then resume the "
    "channel."
)
_LOST = "Instagram does not know this upload any more. We upload the video again."
NEW_UPLOAD = frozenset(
    {2207001, 2207003, 2207006, 2207008, 2207020, 2207032, 2207052, 2207053, 2207082}
)  # after these only a new container helps
ENDED = frozenset({2207006, 2207008, 2207020})  # said of a container that is no more
NOT_READY = 2207027
BLOCKED = 2207051

SUBCODES: Mapping[int, Row] = {
    2207001: passing("Instagram had an error of its own. We try again with a new upload."),
    2207003: passing("Instagram took too long to fetch the video. We try again with a new address."),
    2207004: _media(_COVER),
    2207005: _media(_COVER),
    2207006: refused("transient", _LOST),
    2207008: refused("transient", _LOST),
    2207009: _media(_COVER),
    2207010: refused("content", "The caption is too long for Instagram. Shorten it."),
    2207020: refused("transient", _LOST),
    2207023: refused("content", _CHECK_TEXT),
    2207026: _media("Instagram cannot use this video's format. MP4 with H.264 and AAC is the safest."),
    2207027: refused("transient", "Instagram has not finished working on the video. We try again shortly."),
    2207028: refused("content", _CHECK_TEXT),
    2207032: passing(_AGAIN),
    2207035: refused("content", _CHECK_TEXT),
    2207036: refused("content", _CHECK_TEXT),
    2207037: refused("content", _CHECK_TEXT),
    2207040: refused("content", "Too many accounts are tagged for Instagram. Leave some out."),
    2207042: Row(
        PlatformRateLimitError,
        "quota",
        "This Instagram account has reached its posts for 24 hours. Post later.",
        timedelta(hours=1),  # a rolling window: places come free one by one
    ),
    2207050: blocked(_ACCOUNT),
    2207051: Row(
        PlatformAPIError,
        "account",
        "Instagram blocked this as suspected spam. Post nothing from this account for some hours, then resume the "
        "channel.",
        doubtful=True,  # the post was live in a proven case
        blocks=True,
    ),
    2207052: passing("Instagram could not fetch the video from this installation. We try again."),
    2207053: passing(_AGAIN),
    2207057: refused("content", "The cover frame lies outside the video. Choose an earlier one."),
    2207077: _media("Instagram could not process the video; often it is too large or its bit rate too high."),
    2207081: refused("content", "This account cannot post trial reels."),
    2207082: passing(_AGAIN),
}
TABLES = Tables(
    subcodes=SUBCODES,
    codes={9007: SUBCODES[2207027], 9004: SUBCODES[2207052], 36000: _media(_COVER), 36001: _media(_COVER)},
)

UNFETCHED = refused(
    "config",
    "Instagram could not fetch the video three times. The address of this installation (PUBLIC_URL) must be "
    "reachable from the internet.",
)
UNPROCESSED = _media(
    "Instagram could not process the video three times. Check that it plays and meets the limits, or try later."
)
UNKNOWN_FAILURE = _media("Instagram could not use this video. See the code.")
REMOVED = refused(
    "content", "Instagram does not show this post any more: it was deleted or taken down. Look in the app."
)
_SUBCODE = re.compile(r"\b(2207\d{3})\b")


def subcode_of(status: str) -> int:
    """Return the subcode that the text `status` of a failed container holds, or 0."""
    found = _SUBCODE.search(status)
    return int(found.group(1)) if found else 0


def subcode_in(error: PlatformAPIError) -> int:
    """Return the subcode of a refusal ("9004/2207052"), or what its code alone stands for, or 0."""
    code, _, subcode = (error.platform_code or "").partition("/")
    alone = {"9004": 2207052, "9007": NOT_READY}
    return int(subcode) if subcode.isdigit() else alone.get(code, 0)


def failure(cause: int) -> PlatformAPIError:
    """Return the typed error of a container whose status names this subcode (0: none)."""
    return _error(SUBCODES.get(cause, UNKNOWN_FAILURE), cause)


def last_failure(cause: int) -> PlatformAPIError:
    """Return the error that ends it, after as many containers as we try."""
    return _error(UNFETCHED if cause == 2207052 else UNPROCESSED, cause)


def _error(row: Row, cause: int) -> PlatformAPIError:
    code = f"container/{cause}" if cause else "container"
    retry_at = clock.now() + row.wait if row.wait else None
    return row.raises(
        row.sentence, row.facts, platform="instagram", kind=row.kind, platform_code=code, retry_at=retry_at
    )


def caption_of(request: PublishRequest) -> str:
    """Return the one text Instagram has: the caption, or the title without one."""
    return request.caption if request.caption.strip() else request.title
