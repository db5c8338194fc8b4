"""What the stand-ins measure of the bytes that arrive, and what each refuses of it as the real one does."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app.domain.video_spec import problems
from app.media import measure
from app.platforms import registry
from sandbox.platforms._facebook_life import BAD_FILE, reel_fault, video_fault
from sandbox.platforms._instagram_rules import media_fault as instagram_fault
from sandbox.platforms._tiktok_rules import media_fault as tiktok_fault
from sandbox.probe import Probe, probe
from tests.clips import ffmpeg, make_clip

FINE = Probe(
    container="mov,mp4,m4a,3gp,3g2,mj2", brand="isom", width=1080, height=1920, frame_rate=30.0, duration=10.0,
    video_codec="h264", pixel_format="yuv420p", is_interlaced=False, audio_codec="aac", audio_rate=48_000,
    audio_channels=2, has_moov_first=True, has_edit_list=False, has_fixed_rate=True,
)  # fmt: skip
SILENT = {"audio_codec": "", "audio_rate": 0, "audio_channels": 0}


def verdicts(found: Probe) -> list[str]:
    """Return who refuses a file."""
    faults: dict[str, Callable[[Probe], Any]] = {
        "reel": reel_fault,
        "page video": video_fault,
        "instagram": lambda each: instagram_fault(each, size=1_000_000),
        "tiktok": lambda each: tiktok_fault(each, max_seconds=600),
    }
    return [name for name, fault in faults.items() if fault(found)]


@pytest.fixture(scope="module")
def phone_video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video as a phone held upright writes it: the picture lies, and the file says how to turn it."""
    folder = tmp_path_factory.mktemp("phone")
    lying, path = folder / "lying.mp4", folder / "phone.mp4"
    plain = ("-movflags", "+faststart", "-use_editlist", "0")
    make_clip(lying, seconds=3.2, size="960x540", extra=("-af", "atrim=start_sample=1024", *plain))
    turn = ["-display_rotation", "90", "-i", str(lying), "-c", "copy", *plain, str(path)]
    subprocess.run([ffmpeg(), "-nostdin", "-y", "-loglevel", "error", *turn], check=True, timeout=60)
    return path


def test_a_phone_video_is_measured_as_it_is_shown_and_taken_as_it_is(phone_video: Path) -> None:
    found, facts = probe(phone_video), measure(phone_video)

    assert found is not None
    assert (found.width, found.height) == (facts.width, facts.height) == (540, 960)
    assert (facts.coded_width, facts.coded_height) == (960, 540)
    assert (found.pixel_format, found.audio_codec, found.audio_rate, found.audio_channels) == (
        "yuv420p", "aac", 48_000, 1,
    )  # fmt: skip
    assert verdicts(found) == []
    reel = registry.get_class("facebook").post_types["reel"]
    assert problems(facts, reel) == []


def test_the_same_bytes_without_the_turn_are_no_reel(phone_video: Path) -> None:
    lying = probe(phone_video.with_name("lying.mp4"))

    assert lying is not None
    assert (lying.width, lying.height) == (960, 540)
    assert reel_fault(lying) == 1363127
    assert verdicts(lying) == ["reel"]


@pytest.mark.parametrize(
    ("changes", "who"),
    [
        ({}, []),
        (SILENT, []),
        ({"pixel_format": "yuvj420p"}, []),
        ({"audio_codec": "opus"}, ["reel", "page video", "instagram"]),
        ({"audio_codec": "unknown"}, ["reel", "page video", "instagram"]),
        ({"audio_rate": 96_000}, ["reel", "page video", "instagram"]),
        ({"audio_channels": 6}, ["reel", "page video", "instagram"]),
        ({"pixel_format": "yuv422p"}, ["reel", "page video", "instagram", "tiktok"]),
        ({"pixel_format": "yuv420p10le"}, ["reel", "page video", "instagram", "tiktok"]),
        ({"video_codec": "mpeg4"}, ["reel", "page video", "instagram", "tiktok"]),
        ({"video_codec": "av1"}, ["instagram", "tiktok"]),
        ({"is_interlaced": True}, ["reel", "instagram"]),
        ({"brand": "qt"}, ["reel"]),
        ({"container": "avi"}, ["reel", "page video", "instagram", "tiktok"]),
        ({"container": "matroska,webm"}, ["reel", "page video", "instagram"]),
        ({"width": 1920, "height": 1080}, ["reel"]),
        ({"width": 3840, "height": 2160}, ["reel", "instagram"]),
        ({"duration": 120.0}, ["reel"]),
        ({"duration": 4 * 3600.5}, ["reel", "page video", "instagram", "tiktok"]),
        ({"frame_rate": 15.0}, ["reel", "instagram", "tiktok"]),
        ({"has_fixed_rate": False}, ["reel"]),
        ({"has_edit_list": True}, ["instagram"]),
    ],
    ids=str,
)
def test_each_refuses_what_the_real_one_refuses(changes: dict[str, Any], who: list[str]) -> None:
    assert verdicts(replace(FINE, **changes)) == who


def test_a_bad_file_has_the_code_for_it_before_any_other() -> None:
    assert reel_fault(replace(FINE, audio_codec="opus", duration=1.0)) == BAD_FILE
    assert reel_fault(replace(FINE, duration=1.0)) == 1363128


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        (("-ac", "6", "-ar", "44100"), ("yuv420p", "aac", 44_100, 6)),
        (("-pix_fmt", "yuv444p", "-c:a", "libmp3lame"), ("yuv444p", "mp3", 48_000, 1)),
        (("-an",), ("yuv420p", "", 0, 0)),
    ],
    ids=["surround", "mp3", "silent"],
)
def test_sound_and_pixels_are_measured(
    tmp_path: Path, extra: tuple[str, ...], expected: tuple[str, str, int, int]
) -> None:
    found = probe(make_clip(tmp_path / "clip.mp4", seconds=1, extra=extra))

    assert found is not None
    measured = (found.pixel_format, found.audio_codec, found.audio_rate, found.audio_channels)
    assert measured == expected


def test_bytes_without_a_picture_are_no_video(tmp_path: Path) -> None:
    path = tmp_path / "junk.mp4"
    path.write_bytes(b"\0" * 4096)

    assert probe(path) is None
