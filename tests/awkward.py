"""Facts of videos that make trouble, as they are measured; tests/domain and tests/flows use them by name."""

from __future__ import annotations

from dataclasses import replace

from app.domain.video_spec import VideoFacts
from tests.factories import FACTS

PLAIN = replace(
    FACTS,
    size_bytes=20_000_000,
    duration_seconds=20.0,
    bit_rate=8_000_000,
    video_level=40,
    video_bit_rate=7_800_000,
    coded_width=1080,
    coded_height=1920,
    width=1080,
    height=1920,
    audio_sample_rate=48_000,
)


def shown(width: int, height: int) -> VideoFacts:
    return replace(PLAIN, width=width, height=height, coded_width=width, coded_height=height)


SILENT = replace(
    PLAIN,
    audio_codec=None, audio_profile=None, audio_channels=None, audio_sample_rate=None, audio_bit_rate=None,
)  # fmt: skip
HDR = replace(
    PLAIN, container="mov", video_codec="hevc", video_profile="Main 10", pixel_format="yuv420p10le",
    bit_depth=10, is_hdr=True,
)  # fmt: skip
PCM = replace(PLAIN, container="mov", audio_codec="pcm_s16le", audio_profile=None, audio_bit_rate=1_536_000)
SURROUND = replace(PLAIN, audio_channels=6, audio_bit_rate=384_000)
WEBM = replace(
    PLAIN, container="webm", video_codec="vp9", video_profile="Profile 0", audio_codec="opus",
    audio_profile=None, is_fast_start=None, has_edit_list=None,
)  # fmt: skip
PRORES = replace(
    PCM, video_codec="prores", video_profile="HQ", pixel_format="yuv422p10le", bit_depth=10,
    video_bit_rate=200_000_000, bit_rate=202_000_000, size_bytes=505_000_000,
)  # fmt: skip
MPEG2 = replace(
    shown(1440, 1080), container="mpegts", video_codec="mpeg2video", video_profile="Main", is_interlaced=True,
    width=1920, frame_rate=25.0, audio_codec="mp2", audio_profile=None, is_fast_start=None, has_edit_list=None,
)  # fmt: skip
XVID = replace(
    shown(640, 480), container="avi", video_codec="mpeg4", video_profile="Advanced Simple Profile",
    frame_rate=25.0, audio_codec="mp3", audio_profile=None, is_fast_start=None, has_edit_list=None,
)  # fmt: skip

AWKWARD: dict[str, VideoFacts] = {
    "plain 9:16": PLAIN,
    "HEVC 10-bit HDR": HDR,
    "varying frame rate": replace(PLAIN, frame_rate=29.61, is_constant_rate=False),
    "rotated": replace(PLAIN, coded_width=1920, coded_height=1080, rotation=90),
    "4K at 60": replace(
        shown(3840, 2160), frame_rate=60.0, video_bit_rate=50_000_000, size_bytes=125_000_000
    ),
    "square": shown(1080, 1080),
    "landscape": shown(1920, 1080),
    "ultra-wide": shown(2560, 720),
    "61 frames a second": replace(PLAIN, frame_rate=61.0),
    "3 seconds": replace(PLAIN, duration_seconds=3.0, size_bytes=3_000_000),
    "20 minutes": replace(PLAIN, duration_seconds=1200.0, size_bytes=1_200_000_000),
    "no sound": SILENT,
    "5.1 sound": SURROUND,
    "PCM in MOV": PCM,
    "VP9 and Opus in WebM": WEBM,
    "AV1": replace(PLAIN, video_codec="av1", video_profile="Main"),
    "ProRes": PRORES,
    "MPEG-2": MPEG2,
    "AVI with Xvid": XVID,
    "odd sizes": replace(shown(853, 481), pixel_format="yuv444p", video_profile="High 4:4:4 Predictive"),
    "index at the end": replace(PLAIN, is_fast_start=False),
    "edit list": replace(PLAIN, has_edit_list=True),
}
