"""What Facebook allows, asks and answers for Pages, as data; `facebook.py` is what is done with it.

Source of rules and numbers unless named otherwise: developers.facebook.com, Video API and Graph API v26.0, read
2026-11; codes beyond Meta's own lists as others reported them (core-platforms 4.4).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from app.domain.video_spec import VideoFacts, VideoSpec
from app.exceptions import PlatformUploadError
from app.platforms._covers import Cover
from app.platforms._meta_rules import Row, Tables, blocked, call_quotas, passing, rate, refused
from app.platforms.base import (
    Option,
    Problem,
    PublishRequest,
    Quota,
    Setting,
    StepKind,
    TextLimit,
    with_defaults,
)

SOURCE = "developers.facebook.com, Reels Publishing and Page Videos, 2026-11"
_VERSION = "v26.0"

SCOPES = (
    "pages_show_list",
    "pages_read_engagement",
    "pages_manage_posts",
    "pages_manage_engagement",
    "read_insights",
)
NEEDED_SCOPES = frozenset({"pages_show_list", "pages_read_engagement", "pages_manage_posts"})
INSIGHTS_SCOPE = "read_insights"
SCOPE_FOR = {
    "": frozenset({"pages_manage_posts"}),
    "first_comment": frozenset({"pages_manage_engagement"}),
}

SETTINGS = (
    Setting("CLIENT_ID", "", "App id of your app at developers.facebook.com.", secret=True),
    Setting("CLIENT_SECRET", "", "App secret of that app.", secret=True),
    Setting(
        "WEBHOOK_VERIFY_TOKEN", "", "The verify token you type in at Webhooks; any secret word.", secret=True
    ),
    Setting("SCOPES", ",".join(SCOPES), "Permissions asked for. The first three are needed."),
    Setting("DAILY_POSTS", "30", "Posts a Page may make in 24 hours; Meta allows 30 reels."),
    Setting(
        "AUTH_URL", f"https://www.facebook.com/{_VERSION}/dialog/oauth", "Consent dialog.", role="browser"
    ),
    Setting("WEB_URL", "https://www.facebook.com", "Where posts and Pages are seen.", role="browser"),
    Setting(
        "GRAPH_BASE", f"https://graph.facebook.com/{_VERSION}", "The API, with its version.", role="server"
    ),
    Setting(
        "VIDEO_BASE",
        f"https://graph-video.facebook.com/{_VERSION}",
        "The API for longer videos.",
        role="server",
    ),
    Setting(
        "UPLOAD_HOSTS", "rupload.facebook.com", "Hosts a returned upload address may have.", role="hosts"
    ),
)

POST_TYPES = ("auto", "reel", "video")
OPTIONS = (
    Option(
        "post_type",
        "string",
        "reel, video, or auto: a reel where the video fits one, else a video.",
        default="auto",
        choices=POST_TYPES,
    ),
    Option("use_thumbnail", "boolean", "Use the video's thumbnail as its cover.", default=False),
    Option("first_comment", "string", "A comment the Page writes below the post."),
    Option("is_ai_generated", "boolean", "Label a reel as made by AI.", default=False),
)
STEP_KINDS = (
    StepKind("thumbnail", "Cover picture", repeatable=True),
    StepKind("first_comment", "First comment", repeatable=False),
)

REEL_SECONDS = (3.0, 90.0)
REEL_SIDES = (540, 960)
REEL_ASPECT = 9 / 16
_ASPECT_TOLERANCE = 0.02  # 1080x1920 is exact; encoders round odd sizes by a pixel or two
COVER = Cover("picture", source=SOURCE, checked_on="2026-11-23", advice="The shape of the video.")

# What is no reel goes out as a video, which has few rules: length, size and sound ("AAC, 48 kHz, stereo or mono").
# Many more file formats are listed; what may be in them is not spoken of, so those become an MP4.
VIDEO = VideoSpec(
    source=SOURCE,
    checked_on="2026-11-27",
    containers=("mp4", "mov"),
    video_codecs=("h264", "hevc", "vp9", "av1"),  # those of reels; not spoken of
    audio_codecs=("aac",),
    pixel_formats=("yuv420p", "yuvj420p"),  # as above
    max_size_bytes=10_000_000_000,  # "10GB"
    min_duration_seconds=1,
    max_duration_seconds=4 * 3600,  # "4 hours"
    allows_hdr=False,  # not spoken of
    max_audio_sample_rate=48_000,
    max_audio_channels=2,
)
REEL = replace(
    VIDEO,
    containers=("mp4",),
    audio_profiles=("LC",),
    min_frame_rate=24,
    max_frame_rate=60,
    needs_progressive=True,
    needs_constant_rate=True,
    min_duration_seconds=REEL_SECONDS[0],
    max_duration_seconds=REEL_SECONDS[1],
    min_width=REEL_SIDES[0],
    min_height=REEL_SIDES[1],
    min_aspect=REEL_ASPECT - _ASPECT_TOLERANCE,
    max_aspect=REEL_ASPECT + _ASPECT_TOLERANCE,
    preferred_aspect=REEL_ASPECT,
)
SPECS = {"reel": REEL, "video": VIDEO}
MAX_DESCRIPTION = 2200  # undocumented for reels; kept as short as elsewhere
MAX_COMMENT = 8000  # a comment's limit as people meet it on the site; not documented for the API
TEXT_LIMITS = (
    TextLimit("caption", MAX_DESCRIPTION, "characters", len, SOURCE),
    TextLimit("title", 255, "characters", len, SOURCE),
)


def quotas(daily_posts: str) -> tuple[Quota, ...]:
    """Return the limits. The 30 are for reels only; which kind a post will be is not known when it is counted.

    Raises ValueError for a setting that is no whole number above 0.
    """
    if not daily_posts.isdigit() or not 0 < int(daily_posts) <= 1_000_000:
        raise ValueError(f"FACEBOOK_DAILY_POSTS must be a whole number above 0, found {daily_posts!r}.")
    posts = Quota("posts", int(daily_posts), timedelta(hours=24), "channel", SOURCE, phase="commit")
    return (posts, *call_quotas("app_calls"))


_UNUSABLE = "{label} cannot use this video file. MP4 with H.264 and AAC is the safest."


def _media(sentence: str) -> Row:
    return Row(PlatformUploadError, "media", sentence)


TABLES = Tables(
    subcodes={
        1363040: _media("{label} takes reels of 9:16 only; this video has another shape."),
        1363127: _media("{label} takes reels of at least 540 by 960 pixels; this video is smaller."),
        1363128: _media("{label} takes reels of 3 to 90 seconds; this video has another length."),
        1363129: _media("{label} takes reels of 24 to 60 frames a second; this video has another rate."),
        1363037: passing("{label} wants another part of the video than we sent. We go on from there."),
        1363047: passing("{label} is not available at present. We try again."),
        1609010: passing("{label} is not available at present. We try again."),
        1366051: refused("content", "{label} says that this was posted already.")._replace(doubtful=True),
        1390008: rate(
            timedelta(minutes=30), "{label} finds that this Page posts too fast. We try again later."
        ),
        1404006: refused("account", "{label} wants a security check of this Page. Look there."),
        1404078: blocked(
            "This Page needs Page Publishing Authorization. Complete it at {label}, then resume the channel."
        ),
        1404102: refused("content", "{label} says that this breaks its standards. Change the post."),
        1404112: blocked(
            "{label} has limited this account for some days. Look there, then resume the channel."
        ),
        1346003: refused("content", "{label} takes this for abusive. Change the post."),
        1349125: refused("content", "{label} does not take this content. Change the post."),
        1609008: refused("content", "{label} does not take the links in this text. Remove them."),
        2061006: refused("content", "{label} cannot use an address in this text. Remove it."),
        2069019: _media(_UNUSABLE),
        4854002: blocked(
            "{label} wants you to confirm your identity. Do that there, then resume the channel."
        ),
    },
    codes={
        382: _media("{label} finds this video too small."),
        389: passing("{label} could not take the video. We try again."),
        6000: _media(_UNUSABLE),
        6001: passing("{label} had trouble with the upload. We try again."),
    },
)
FAILED = _media("{label} could not work on this video. Look at its format and sound.")
REMOVED = refused("content", "{label} removed the post, or it was deleted there.")


def kind_of(request: PublishRequest) -> str:
    """Return `reel` or `video` for a post, as chosen or as the video fits.

    Raises PlatformUploadError when a reel was chosen and the video is none.
    """
    chosen = with_defaults(OPTIONS, request.options)["post_type"]
    why = _why_no_reel(request.duration_seconds, request.width, request.height)
    if chosen == "video" or (chosen == "auto" and why is not None):
        return "video"
    if why is not None:
        message = f"This video cannot be a reel: {why} Choose post_type video or auto, or change the video."
        raise PlatformUploadError(message, platform="facebook", platform_code="not_a_reel")
    return "reel"


def type_of(facts: VideoFacts, options: Mapping[str, Any]) -> str:
    """Return `reel` or `video`, as chosen or as the video's length and size ask for."""
    chosen: str = with_defaults(OPTIONS, options)["post_type"]
    if chosen != "auto":
        return chosen
    return "video" if _why_no_reel(facts.duration_seconds, facts.width, facts.height) else "reel"


def _why_no_reel(length: float | None, width: int | None, height: int | None) -> str | None:
    shortest, longest = REEL_SECONDS
    if length is None or width is None or height is None:
        return "its length or size is not known."
    if not shortest <= length <= longest:
        return f"it is {length:.1f} s long, allowed are {shortest:g} to {longest:g} s."
    if width < REEL_SIDES[0] or height < REEL_SIDES[1]:
        return f"it has {width} by {height} pixels, at least {REEL_SIDES[0]} by {REEL_SIDES[1]} are needed."
    if abs(width / height - REEL_ASPECT) > _ASPECT_TOLERANCE:
        return f"it has {width} by {height} pixels, a shape of 9:16 is needed."
    return None


def comment_problems(options: Mapping[str, Any]) -> list[Problem]:
    """Return what is wrong with the first comment."""
    text = options.get("first_comment")
    if not isinstance(text, str) or len(text) <= MAX_COMMENT:
        return []
    message = f"The first comment has {len(text)} characters, at most {MAX_COMMENT} fit. Shorten it."
    return [Problem("options.first_comment", message, len(text), MAX_COMMENT)]


def texts(request: PublishRequest) -> dict[str, str]:
    """Return title and description as they are sent; without a caption the title is the description too."""
    found = {"description": request.caption if request.caption.strip() else request.title}
    return found | ({"title": request.title} if request.title.strip() else {})


def finish_form(request: PublishRequest) -> dict[str, str]:
    """Return what finishing a reel says of it."""
    labelled = with_defaults(OPTIONS, request.options)["is_ai_generated"] is True
    return texts(request) | ({"is_ai_generated": "true"} if labelled else {})
