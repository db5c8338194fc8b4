"""YouTube's limits as data, and the pure checks of what an app sends."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from flask import Response, g, jsonify

PREFIX = "https://www.googleapis.com/auth/"
SCOPES = [PREFIX + name for name in ("youtube.upload", "youtube.readonly", "youtube.force-ssl", "youtube")]
UPLOAD, READ, CHANGE = (
    ("youtube.upload", "youtube.force-ssl", "youtube"),
    ("youtube.readonly", "youtube.force-ssl", "youtube"),
    ("youtube.force-ssl", "youtube"),
)
COMMENT = ("youtube.force-ssl",)
GRAIN = 262_144
FILE_MAX = 274_877_906_944
THUMBNAIL_MAX = 50 * 1024 * 1024
PRIVACIES = ("public", "unlisted", "private")
REJECTIONS = {
    "claim", "copyright", "duplicate", "inappropriate", "legal", "length", "termsOfUse", "trademark",
    "uploaderAccountClosed", "uploaderAccountSuspended",
}  # fmt: skip
_DEFAULTS: dict[str, Any] = {
    "embeddable": True,
    "license": "youtube",
    "publicStatsViewable": True,
    "selfDeclaredMadeForKids": False,
    "containsSyntheticMedia": False,
}
_RANGE = re.compile(r"bytes (?:(\d{1,15})-(\d{1,15})|\*)/(\d{1,15})")
_IMAGES = {"image/jpeg": b"\xff\xd8\xff", "image/png": b"\x89PNG"}


class RefusedError(Exception):
    """A call that is turned down: HTTP status, Google's reason, a sentence, the domain of the reason."""

    def __init__(self, status: int, reason: str, message: str, domain: str = "youtube.video") -> None:
        super().__init__(message)
        self.status, self.reason, self.message, self.domain = status, reason, message, domain

    def answer(self) -> tuple[Response, int]:
        g.error_code = self.reason
        one = {"domain": self.domain, "reason": self.reason, "message": self.message}
        return jsonify(error={"code": self.status, "message": self.message, "errors": [one]}), self.status


@dataclass(frozen=True)
class Range:
    """Bytes `start` to `end` (exclusive) of `total`; a question has neither."""

    total: int
    start: int | None = None
    end: int | None = None


def parse_range(header: str) -> Range | None:
    """Return a Content-Range, or None if it is missing or makes no sense."""
    found = _RANGE.fullmatch(header)
    if found is None:
        return None
    total = int(found.group(3))
    if found.group(1) is None:
        return Range(total)
    start, last = int(found.group(1)), int(found.group(2))
    return Range(total, start, last + 1) if start <= last < total else None


def check_snippet(given: Any) -> dict[str, Any]:
    """Return the texts of a video. Raises RefusedError."""
    snippet = given if isinstance(given, dict) else {}
    title, description = snippet.get("title"), snippet.get("description", "")
    if not isinstance(title, str) or not 0 < len(title.strip()) <= len(title) <= 100 or _has_angle(title):
        raise RefusedError(400, "invalidTitle", "The request metadata specifies an invalid or empty title.")
    if (
        not isinstance(description, str)
        or len(description.encode("utf-8", "replace")) > 5000
        or _has_angle(description)
    ):
        raise RefusedError(
            400, "invalidDescription", "The request metadata specifies an invalid description."
        )
    tags = snippet.get("tags", [])
    if (
        not isinstance(tags, list)
        or not all(isinstance(tag, str) for tag in tags)
        or _tags_length(tags) > 500
    ):
        raise RefusedError(400, "invalidTags", "The request metadata specifies invalid keywords.")
    category = snippet.get("categoryId", "22")
    if not isinstance(category, str) or not category.isdigit():
        raise RefusedError(400, "invalidCategoryId", "The request metadata specifies an invalid category id.")
    return {"title": title, "description": description, "tags": tags, "categoryId": category}


def _has_angle(text: str) -> bool:
    return "<" in text or ">" in text


def _tags_length(tags: list[str]) -> int:
    return sum(len(tag) + (2 if " " in tag else 0) for tag in tags) + max(len(tags) - 1, 0)


def check_status(given: Any) -> dict[str, Any]:
    """Return the whole status of a video: what is left out has its default, privacy `public`."""
    status = given if isinstance(given, dict) else {}
    privacy = status.get("privacyStatus", "public")
    if privacy not in PRIVACIES:
        raise RefusedError(400, "invalidVideoMetadata", "privacyStatus is unknown.")
    if "publishAt" in status:
        raise RefusedError(400, "invalidPublishAt", "publishAt is not played here.")
    values = {name: status.get(name, default) for name, default in _DEFAULTS.items()}
    if any(type(values[name]) is not type(default) for name, default in _DEFAULTS.items()):
        raise RefusedError(400, "invalidVideoMetadata", "A value of status has the wrong type.")
    if values["license"] not in ("youtube", "creativeCommon"):
        raise RefusedError(400, "invalidVideoMetadata", "The license is unknown.")
    return values | {"privacyStatus": privacy}


def check_image(content_type: str, data: bytes) -> None:
    """Raise RefusedError for what is no image YouTube takes."""
    if len(data) > THUMBNAIL_MAX or not data:
        raise RefusedError(400, "invalidImage", "The image is empty or too large.", "youtube.thumbnail")
    if content_type not in _IMAGES or not data.startswith(_IMAGES[content_type]):
        raise RefusedError(400, "invalidImage", "The image is no JPEG or PNG.", "youtube.thumbnail")
