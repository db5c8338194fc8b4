from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import Any

import pytest

from app.exceptions import VideoProcessingError, VideoValidationError
from app.media import measure, thumbnail
from app.media.child import Limits
from tests.clips import ffmpeg, make_clip


def test_a_clip_is_measured(clip: Path) -> None:
    facts = measure(clip)

    assert (facts.container, facts.video_codec, facts.audio_codec) == ("mp4", "h264", "aac")
    assert (facts.width, facts.height, facts.rotation) == (180, 320, 0)
    assert (facts.frame_rate, facts.is_constant_rate, facts.keyframe_seconds) == (30.0, True, 1.0)
    assert facts.duration_seconds == pytest.approx(2, abs=0.05)
    assert facts.size_bytes == clip.stat().st_size
    assert facts.is_fast_start is True
    assert (facts.audio_channels, facts.audio_sample_rate) == (1, 48000)
    assert (facts.pixel_format, facts.bit_depth, facts.is_hdr, facts.is_interlaced) == (
        "yuv420p",
        8,
        False,
        False,
    )


def test_streams_colours_and_beginnings_are_measured(tmp_path: Path, clip: Path) -> None:
    tagged = (
        "-vf",
        "setparams=color_primaries=bt709:color_trc=bt709:colorspace=bt709",
        "-map",
        "1",
        "-map",
        "0",
    )
    facts = measure(make_clip(tmp_path / "tagged.mkv", extra=tagged))

    assert (facts.color_primaries, facts.color_transfer, facts.color_matrix) == ("bt709",) * 3
    assert (facts.video_index, facts.audio_index) == (1, 0)
    assert abs(facts.video_start - (facts.audio_start or 0.0)) < 0.03
    assert measure(clip).color_matrix is None


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("late.mp4", {"extra": ()}, {"container": "mp4", "is_fast_start": False}),
        ("clip.mov", {"extra": ()}, {"container": "mov", "is_fast_start": False}),
        ("clip.mkv", {"extra": ()}, {"container": "matroska", "is_fast_start": None}),
        ("clip.webm", {"sound": False, "extra": ()}, {"container": "webm", "video_codec": "vp8"}),
        ("clip.avi", {"extra": ()}, {"container": "avi"}),
        ("clip.ts", {"extra": ()}, {"container": "mpegts"}),
        ("silent.mp4", {"sound": False}, {"audio_codec": None, "audio_channels": None}),
        (
            "wide.mp4",
            {"size": "320x180", "rate": "24000/1001"},
            {"width": 320, "height": 180, "frame_rate": 23.976},
        ),
        ("frag.mp4", {"extra": ("-movflags", "+frag_keyframe+empty_moov")}, {"is_fast_start": True}),
    ],
)
def test_each_kind_of_file_is_measured(
    tmp_path: Path, name: str, options: dict[str, Any], expected: dict[str, Any]
) -> None:
    facts = measure(make_clip(tmp_path / name, **options)).to_dict()

    assert {key: facts[key] for key in expected} == expected
    assert facts["duration_seconds"] == pytest.approx(2, abs=0.1)


def test_a_turned_picture_is_measured_as_it_is_shown(tmp_path: Path) -> None:
    upright = make_clip(tmp_path / "upright.mp4", size="320x180", sound=False)
    turned = tmp_path / "turned.mp4"
    command = f"{ffmpeg()} -nostdin -loglevel error -display_rotation 90 -i {upright} -c copy {turned}"
    assert os.system(command) == 0

    facts = measure(turned)

    assert (facts.coded_width, facts.coded_height) == (320, 180)
    assert (facts.width, facts.height) == (180, 320)
    assert facts.rotation in (90, 270)


def test_a_varying_frame_rate_is_noticed(tmp_path: Path) -> None:
    uneven = ("-vf", "select='not(eq(mod(n,3),1))'", "-fps_mode", "vfr")

    assert measure(make_clip(tmp_path / "vfr.mp4", extra=uneven)).is_constant_rate is False


@pytest.mark.parametrize("share", [0.3, 0.9, 0.999])
@pytest.mark.parametrize("name", ["clip.mp4", "late.mp4", "clip.mkv"])
def test_a_file_that_is_cut_off_is_refused(tmp_path: Path, name: str, share: float) -> None:
    extra = ("-movflags", "+faststart") if name == "clip.mp4" else ()
    whole = make_clip(tmp_path / name, extra=extra).read_bytes()
    (tmp_path / name).write_bytes(whole[: int(len(whole) * share)])

    with pytest.raises(VideoValidationError, match="cut off"):
        measure(tmp_path / name)


def test_a_recording_whose_packets_end_before_its_declared_end_is_refused(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "clip.mkv", seconds=12, sound=False, extra=())
    whole = path.read_bytes()
    segment = whole.index(b"\x18\x53\x80\x67") + 4
    unknown_size = whole[:segment] + b"\x01\xff\xff\xff\xff\xff\xff\xff" + whole[segment + 8 :]
    path.write_bytes(unknown_size[: len(whole) // 2])

    with pytest.raises(VideoValidationError, match="cut off") as caught:
        measure(path)
    assert "of 12" in caught.value.details["found"]


def test_names_in_another_alphabet_than_utf8_do_no_harm(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "clip.mkv", extra=("-metadata", "title=caf_"))
    path.write_bytes(path.read_bytes().replace(b"caf_", b"caf\xe9"))

    assert measure(path).video_codec == "h264"


def test_a_codec_nobody_knows_is_refused_as_such(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "clip.mkv", sound=False, extra=())
    path.write_bytes(path.read_bytes().replace(b"V_MPEG4/ISO/AVC", b"V_MPEG9/ISO/XYZ"))

    with pytest.raises(VideoValidationError, match="codec we cannot read"):
        measure(path)


def test_sound_nobody_knows_is_said_and_does_no_harm(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "clip.mkv", extra=("-c:a", "libopus"))
    path.write_bytes(path.read_bytes().replace(b"A_OPUS", b"A_APAC"))

    assert measure(path).audio_codec == "unknown"


def test_sound_without_pictures_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "sound.mp4"
    command = f"{ffmpeg()} -nostdin -loglevel error -f lavfi -i sine=duration=1 -c:a aac {path}"
    assert os.system(command) == 0

    with pytest.raises(VideoValidationError, match="no moving picture"):
        measure(path)


def test_a_text_named_like_a_video_and_a_header_with_rubbish_are_refused(tmp_path: Path) -> None:
    rubbish = tmp_path / "rubbish.mp4"
    for data in (b"just some text", struct.pack(">I", 16) + b"ftypisom\0\0\0\0" + os.urandom(5000)):
        rubbish.write_bytes(data)
        with pytest.raises(VideoValidationError):
            measure(rubbish)


def test_a_playlist_that_names_another_file_shows_nothing_of_it(tmp_path: Path, clip: Path) -> None:
    disguise = tmp_path / "original.mp4"
    disguise.write_text(f"#EXTM3U\n#EXTINF:2,\nfile://{clip}\n#EXT-X-ENDLIST\n")

    with pytest.raises(VideoValidationError, match="playlist"):
        measure(disguise)
    with pytest.raises(VideoValidationError, match="playlist"):
        thumbnail(disguise, at_seconds=0, out=tmp_path / "out.jpg", ffmpeg=ffmpeg())
    assert not (tmp_path / "out.jpg").exists()


def test_a_file_that_takes_too_long_is_refused(clip: Path) -> None:
    with pytest.raises(VideoValidationError, match="within the limits") as caught:
        measure(clip, seconds=0.01)
    assert caught.value.details["found"] == "out of time"


def test_a_file_that_needs_too_much_memory_is_refused(clip: Path) -> None:
    with pytest.raises((VideoValidationError, VideoProcessingError)):
        measure(clip, limits=Limits(cpu=10, memory=60 * 1024**2, file=0))


def test_a_picture_of_the_video_is_made_and_fits(tmp_path: Path) -> None:
    tall = make_clip(tmp_path / "tall.mp4", seconds=1, size="720x2000", sound=False)

    thumbnail(tall, at_seconds=0.5, out=tmp_path / "out.jpg", ffmpeg=ffmpeg())

    data = (tmp_path / "out.jpg").read_bytes()
    frame = data.index(b"\xff\xc0")
    height, width = struct.unpack(">HH", data[frame + 5 : frame + 9])
    assert data.startswith(b"\xff\xd8")
    assert (width, height) == (460, 1280)


def test_a_moment_beyond_the_end_gives_the_first_picture(tmp_path: Path, clip: Path) -> None:
    thumbnail(clip, at_seconds=99, out=tmp_path / "out.jpg", ffmpeg=ffmpeg())

    assert (tmp_path / "out.jpg").stat().st_size > 500


def test_a_missing_ffmpeg_is_our_fault_not_the_files(tmp_path: Path, clip: Path) -> None:
    with pytest.raises(VideoProcessingError, match="ffmpeg"):
        thumbnail(clip, at_seconds=0, out=tmp_path / "out.jpg", ffmpeg="/nowhere/ffmpeg")
