"""Which covers a platform takes; that they arrive there is in each platform's own tests."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from app.platforms import registry
from app.platforms.base import Cover, Platform, Thumbnail, cover_problem
from tests.platforms.sources import make_request, some_bytes
from tests.platforms.test_tiktok import CASE, PUBLIC
from tests.sandbox_server import Sim

PICTURE = Cover("picture", source="-", checked_on="2026-11-23", max_bytes=8_000_000)
FRAME = Cover("frame", source="-", checked_on="2026-11-23")


@pytest.mark.parametrize(
    ("cover", "thumbnail", "words"),
    [
        (None, None, None),
        (PICTURE, Thumbnail(8_000_000, None), None),
        (PICTURE, Thumbnail(None, 1.5), None),
        (FRAME, Thumbnail(100, 0.0), None),
        (PICTURE, None, "no thumbnail"),
        (FRAME, None, "no thumbnail"),
        (FRAME, Thumbnail(100, None), "takes a frame of the video"),
        (PICTURE, Thumbnail(8_000_001, None), "at most 8000000 bytes; found 8000001"),
    ],
)
def test_what_cannot_be_a_cover_is_told_with_what_may(
    cover: Cover | None, thumbnail: Thumbnail | None, words: str | None
) -> None:
    problem = cover_problem(cover, "Here", thumbnail)

    assert (problem is None) == (words is None)
    if problem is not None and words is not None:
        assert problem.field == "options.use_thumbnail"
        assert words in problem.message


def test_every_platform_says_where_its_rule_is_from_and_has_the_option() -> None:
    for kind in registry.classes().values():
        assert kind.cover is not None, kind.name
        assert kind.cover.source and kind.cover.checked_on


@pytest.mark.parametrize(
    ("options", "at", "expected"),
    [
        ({"use_thumbnail": True}, 3.2, 3200),
        ({"use_thumbnail": True}, 0.0, 0),
        ({"use_thumbnail": True, "video_cover_timestamp_ms": 7}, 3.2, 7),
        ({"use_thumbnail": False}, 3.2, None),
        ({}, 3.2, None),
    ],
)
def test_the_chosen_frame_reaches_a_platform_that_takes_only_frames(
    tiktok: Platform, sim: Sim, options: dict[str, Any], at: float, expected: int | None
) -> None:
    asked = make_request(CASE, sim.token(scopes=sorted(CASE.scopes)), some_bytes(20_000))
    asked = replace(asked, options={**PUBLIC, **options}, thumbnail_at=at)

    tiktok.stage(asked, None, lambda _: None)

    (upload,) = sim.call("GET", "uploads")["uploads"]
    assert upload["details"]["cover_ms"] == expected
