from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from app.domain.video_spec import VideoFacts, VideoSpec, problems

GOOD = VideoFacts(
    container="mp4",
    size_bytes=12_000_000,
    duration_seconds=8.0,
    bit_rate=12_000_000,
    video_codec="h264",
    video_profile="High",
    video_level=40,
    video_bit_rate=11_800_000,
    pixel_format="yuv420p",
    bit_depth=8,
    is_hdr=False,
    is_interlaced=False,
    coded_width=1920,
    coded_height=1080,
    width=1080,
    height=1920,
    rotation=90,
    frame_rate=30.0,
    is_constant_rate=True,
    keyframe_seconds=2.0,
    audio_codec="aac",
    audio_profile="LC",
    audio_channels=2,
    audio_sample_rate=48000,
    audio_bit_rate=128000,
    is_fast_start=True,
    has_edit_list=False,
)
STRICT = VideoSpec(
    source="a page",
    checked_on="2026-11-23",
    containers=("mp4", "mov"),
    video_codecs=("h264", "hevc"),
    audio_codecs=("aac",),
    pixel_formats=("yuv420p",),
    max_size_bytes=300_000_000,
    min_duration_seconds=3,
    max_duration_seconds=900,
    min_frame_rate=23,
    max_frame_rate=60,
    min_side=360,
    max_side=4096,
    max_width=1920,
    min_aspect=0.01,
    max_aspect=10,
    max_bit_rate=25_000_000,
    max_audio_sample_rate=48000,
    max_audio_channels=2,
    needs_fast_start=True,
    needs_progressive=True,
    needs_constant_rate=True,
    allows_edit_list=False,
)


def test_a_video_within_all_limits_has_no_problems() -> None:
    assert problems(GOOD, STRICT) == []


@pytest.mark.parametrize(
    ("change", "rule", "fixable"),
    [
        ({"container": "avi"}, "container", True),
        ({"video_codec": "prores"}, "video_codec", True),
        ({"audio_codec": "mp3"}, "audio_codec", True),
        ({"pixel_format": "yuv422p10le"}, "pixel_format", True),
        ({"size_bytes": 300_000_001}, "size", True),
        ({"duration_seconds": 2.9}, "duration", False),
        ({"duration_seconds": 900.1}, "duration", False),
        ({"frame_rate": 15.0}, "frame_rate", True),
        ({"frame_rate": 120.0}, "frame_rate", True),
        ({"width": 300}, "short_side", False),
        ({"height": 5000}, "long_side", True),
        ({"width": 1922}, "width", True),
        ({"video_bit_rate": 25_000_001}, "bit_rate", True),
        ({"audio_sample_rate": 96000}, "audio_sample_rate", True),
        ({"audio_channels": 6}, "audio_channels", True),
        ({"is_fast_start": False}, "fast_start", True),
        ({"has_edit_list": True}, "edit_list", True),
        ({"is_interlaced": True}, "progressive", True),
        ({"is_constant_rate": False}, "constant_rate", True),
    ],
)
def test_each_broken_limit_is_named_and_says_if_it_can_be_mended(
    change: dict[str, Any], rule: str, *, fixable: bool
) -> None:
    found = problems(replace(GOOD, **change), STRICT)

    assert [(problem.rule, problem.fixable) for problem in found] == [(rule, fixable)]


def test_exactly_at_a_limit_is_allowed() -> None:
    assert problems(replace(GOOD, duration_seconds=3.0, size_bytes=300_000_000, width=360), STRICT) == []


@pytest.mark.parametrize("rate", [23.976, 59.94, 60.0])
def test_broadcast_frame_rates_count_as_their_round_ones(rate: float) -> None:
    assert problems(replace(GOOD, frame_rate=rate), STRICT) == []


def test_a_video_without_sound_breaks_no_limit_on_sound() -> None:
    silent = replace(GOOD, audio_codec=None, audio_channels=None, audio_sample_rate=None, audio_bit_rate=None)

    assert problems(silent, STRICT) == []


def test_a_problem_says_what_was_found_and_what_is_allowed() -> None:
    (problem,) = problems(replace(GOOD, size_bytes=4_294_967_297), STRICT)

    assert problem.message == "The file has 4,294,967,297 bytes; at most 300,000,000 allowed."
    assert (problem.measured, problem.allowed) == (4_294_967_297, 300_000_000)


def test_facts_survive_json() -> None:
    read_back = json.loads(json.dumps(GOOD.to_dict())) | {"from_a_newer_version": 1}

    assert VideoFacts.from_dict(read_back) == GOOD
