"""How YouTube's refusals are understood, as data: its reasons, and why it does not show a video.

Source as in `_youtube_rules.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from app import clock
from app.domain.quota_window import window_at
from app.exceptions import (
    ErrorKind,
    PlatformAPIError,
    PlatformAuthError,
    PlatformRateLimitError,
    PlatformUploadError,
)
from app.platforms.base import BLOCKED

PACIFIC = "America/Los_Angeles"  # where YouTube's quotas begin their day
UPLOADS = "uploads"  # each channel's own quota
_DAY, _MINUTE = timedelta(hours=24), timedelta(minutes=1)


class ErrorRow(NamedTuple):
    """How one of YouTube's reasons is understood. `wait` is how long trying again is pointless.

    `new_day` says that waiting ends when the quota's day does.
    """

    raises: type[PlatformAPIError]
    kind: ErrorKind
    sentence: str
    wait: timedelta | None = None
    new_day: bool = False
    blocks: bool = False  # the channel may post nothing at present, whatever the post
    bucket: str = ""  # the quota whose window this closes, where that does not depend on the call


_TOKEN = "YouTube no longer accepts this connection. Reconnect the channel."  # noqa: S105 - a sentence
_SCOPE = (
    "YouTube was not given the permission this needs. Reconnect the channel and allow everything asked for."
)
_QUOTA = (
    "This installation has used up what YouTube allows its Google project for today. It begins anew at midnight, "
    "Pacific time."
)
_UPLOADED = "The channel has uploaded as much as YouTube allows it in a day."
_SLOW = "YouTube asks us to slow down. We try again in a minute."
_OWN = "YouTube had an error of its own. We try again."
_CLOSED = "The YouTube account or channel is closed or suspended. Look in YouTube Studio for the reason."
_OFF = "The YouTube Data API is not switched on in this installation's Google project. Its operator must enable it."
_IMAGE = "YouTube could not use the thumbnail. The video itself is not affected."


def _content(sentence: str) -> ErrorRow:
    return ErrorRow(PlatformAPIError, "content", sentence)


def _account(sentence: str) -> ErrorRow:
    return ErrorRow(PlatformAPIError, "account", sentence)


def _media(sentence: str) -> ErrorRow:
    return ErrorRow(PlatformUploadError, "media", sentence)


_REAUTH = ErrorRow(PlatformAuthError, "reauth", _TOKEN)
_QUOTA_DAY = ErrorRow(PlatformRateLimitError, "quota", _QUOTA, new_day=True)
_BLOCKED = ErrorRow(PlatformAPIError, "account", f"{_CLOSED} Then resume the channel here.", blocks=True)
_UPLOADS_DAY = ErrorRow(PlatformRateLimitError, "quota", _UPLOADED, _DAY, bucket=UPLOADS)
_RATE = ErrorRow(PlatformRateLimitError, "rate", _SLOW, _MINUTE)
_TRANSIENT = ErrorRow(PlatformAPIError, "transient", _OWN)
_CONFIG = ErrorRow(PlatformAPIError, "config", _OFF)
_METADATA = _content("YouTube refused the post's texts or settings. Check title, description and options.")
GONE = "videoNotFound"

# error.errors[0].reason, else error.status, whatever the HTTP status
ERRORS: Mapping[str, ErrorRow] = {
    "authError": _REAUTH,
    "expired": _REAUTH,
    "required": _REAUTH,
    "Unauthorized": _REAUTH,
    "UNAUTHENTICATED": _REAUTH,
    "youtubeSignupRequired": _account(
        "This Google account has no YouTube channel. Create one at YouTube, then connect again."
    ),
    "insufficientPermissions": ErrorRow(PlatformAuthError, "reauth", _SCOPE),
    "ACCESS_TOKEN_SCOPE_INSUFFICIENT": ErrorRow(PlatformAuthError, "reauth", _SCOPE),
    "quotaExceeded": _QUOTA_DAY,
    "dailyLimitExceeded": _QUOTA_DAY,
    "rateLimitExceeded": _RATE,
    "userRateLimitExceeded": _RATE,
    "RESOURCE_EXHAUSTED": _RATE,
    "uploadLimitExceeded": _UPLOADS_DAY,
    "invalidTitle": _content("YouTube refused the title. It needs 1 to 100 characters without < and >."),
    "invalidDescription": _content(
        "YouTube refused the description. It may have 5000 bytes, without < and >."
    ),
    "invalidTags": _content("YouTube refused the tags. Together they may have 500 characters."),
    "invalidCategoryId": _content("YouTube does not know this category here. Choose another category_id."),
    "invalidPublishAt": _content("YouTube refused the publishing time."),
    "invalidFilename": _content("YouTube refused the file's name."),
    "invalidVideoMetadata": _METADATA,
    "invalidRecordingDetails": _METADATA,
    "invalidVideoGameRating": _METADATA,
    "defaultLanguageNotSet": _METADATA,
    "mediaBodyRequired": _content("YouTube missed the video in the upload."),
    "forbidden": _account(
        "YouTube does not let this channel do this. Look in YouTube Studio for the reason."
    ),
    "forbiddenPrivacySetting": _account("YouTube does not let this channel use this privacy status."),
    "forbiddenLicenseSetting": _account("YouTube does not let this channel use this license."),
    "accountDelegationForbidden": _account("This account may not act for the channel."),
    "authenticatedUserNotChannel": _account("This account is not the channel's own."),
    "authenticatedUserAccountClosed": _BLOCKED,
    "authenticatedUserAccountSuspended": _BLOCKED,
    "channelClosed": _BLOCKED,
    "channelSuspended": _BLOCKED,
    "commentsDisabled": _account("Comments are switched off on this video, so none can be written."),
    "accessNotConfigured": _CONFIG,
    "SERVICE_DISABLED": _CONFIG,
    "invalidImage": _media(_IMAGE),
    "imageFormatUnsupported": _media(_IMAGE),
    "imageTooTall": _media(_IMAGE),
    "imageTooWide": _media(_IMAGE),
    "mediaBodyTooLarge": _media(_IMAGE),
    "uploadRateLimitExceeded": ErrorRow(
        PlatformRateLimitError, "rate", "YouTube takes no more thumbnails for now.", timedelta(hours=1)
    ),
    GONE: _content("YouTube does not know this video any more."),
    "internalError": _TRANSIENT,
    "backendError": _TRANSIENT,
    "serviceUnavailable": _TRANSIENT,
}

# status.failureReason: the file could not be used
FAILURES: Mapping[str, ErrorRow] = {
    "codec": _media("YouTube does not know the video's codec. MP4 with H.264 and AAC is the safest."),
    "conversion": _media("YouTube could not convert the video. MP4 with H.264 and AAC is the safest."),
    "emptyFile": _media("YouTube found the file empty. Upload the video again."),
    "invalidFile": _media("YouTube does not take this kind of file. MP4 with H.264 and AAC is the safest."),
    "tooSmall": _media("YouTube found the file too small to be a video."),
    "uploadAborted": ErrorRow(PlatformUploadError, "transient", "The upload was cut off. We upload again."),
}

# status.rejectionReason: YouTube will not show the video
REJECTIONS: Mapping[str, ErrorRow] = {
    "claim": _content("YouTube rejected the video: somebody claims rights in it."),
    "copyright": _content("YouTube rejected the video for copyright."),
    "duplicate": _content("YouTube rejected the video as a duplicate of one that is there. Change the file."),
    "inappropriate": _content("YouTube rejected the video as inappropriate."),
    "legal": _content("YouTube rejected the video for legal reasons."),
    "length": _content("YouTube rejected the video as too long for this channel. Verify it, or shorten it."),
    "termsOfUse": _content("YouTube rejected the video: it breaks the terms of use."),
    "trademark": _content("YouTube rejected the video for trademark."),
    "uploaderAccountClosed": _account(_CLOSED),
    "uploaderAccountSuspended": _account(_CLOSED),
}

UNUSABLE = _media("YouTube could not process the video. MP4 with H.264 and AAC is the safest.")
REFUSED = _content("YouTube rejected the video. See the code.")
REMOVED = _content("YouTube removed the video, or it was deleted there.")
KEPT_PRIVATE = _account(
    "The video is at YouTube, but YouTube keeps it private. Look in YouTube Studio for the reason."
)


def row_for_status(status: int) -> ErrorRow:
    """Return how an answer without a known reason is understood, by its HTTP status."""
    if status == 401:
        return _REAUTH
    if status == 403:
        return ERRORS["forbidden"]
    if status == 429:
        return _RATE
    if status == 408 or status >= 500:
        return _TRANSIENT
    return _content("YouTube refused this. See the code.")


def error(
    row: ErrorRow, code: str, details: Mapping[str, Any] | None = None, *, retry_after: float | None = None
) -> PlatformAPIError:
    """Return the error a row describes. YouTube's own words are not repeated: they may hold secrets.

    `retry_after` is what the answer asked for, in seconds.
    """
    retry_at = clock.now() + row.wait if row.wait else None
    if row.new_day:
        retry_at = next_day()
    elif retry_after is not None and row.kind in ("rate", "transient"):
        retry_at = clock.now() + timedelta(seconds=retry_after)
    return row.raises(
        row.sentence,
        dict(details or {}) | ({BLOCKED: True} if row.blocks else {}),
        platform="youtube",
        kind=row.kind,
        platform_code=code,
        retry_at=retry_at,
    )


def next_day() -> datetime:
    """Return when YouTube's quotas begin anew: the next midnight, Pacific time."""
    return window_at(clock.now(), length=_DAY, timezone=PACIFIC).ends_at
