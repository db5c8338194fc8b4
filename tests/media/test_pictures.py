from __future__ import annotations

import struct
import subprocess
import zlib
from pathlib import Path
from typing import Literal

import pytest

from app.exceptions import VideoValidationError
from app.media import best_moment, image, thumbnail
from tests.clips import ffmpeg, make_clip, make_dull_clip, picture_bytes


def luminance(path: Path) -> float:
    """Return how bright a picture is on average, 0 to 255."""
    command = [ffmpeg(), "-loglevel", "error", "-i", str(path), "-f", "rawvideo", "-pix_fmt", "gray", "-"]
    gray = subprocess.run(command, check=True, capture_output=True, timeout=30).stdout
    return sum(gray) / len(gray)


def test_the_best_moment_is_neither_black_nor_blurred(tmp_path: Path) -> None:
    clip = make_dull_clip(tmp_path / "clip.mp4")

    moment = best_moment(clip, duration=4.0)
    thumbnail(clip, at_seconds=moment, out=tmp_path / "out.jpg", ffmpeg=ffmpeg())

    assert moment >= 3.0
    assert luminance(tmp_path / "out.jpg") > 60


def test_a_frame_is_the_one_shown_at_its_time(tmp_path: Path) -> None:
    clip = make_dull_clip(tmp_path / "clip.mp4")

    thumbnail(clip, at_seconds=1.0, out=tmp_path / "black.jpg", ffmpeg=ffmpeg())
    thumbnail(clip, at_seconds=3.5, out=tmp_path / "bright.jpg", ffmpeg=ffmpeg())

    assert luminance(tmp_path / "black.jpg") < 20 < 60 < luminance(tmp_path / "bright.jpg")


def test_a_moment_without_a_frame_is_refused_when_no_other_will_do(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4", seconds=1)

    with pytest.raises(VideoValidationError):
        thumbnail(clip, at_seconds=60.0, out=tmp_path / "out.jpg", ffmpeg=ffmpeg(), or_first=False)
    thumbnail(clip, at_seconds=60.0, out=tmp_path / "out.jpg", ffmpeg=ffmpeg())


@pytest.mark.parametrize("kind", ["jpg", "png"])
def test_a_picture_is_written_anew_without_what_hung_on_it(
    tmp_path: Path, kind: Literal["jpg", "png"]
) -> None:
    sent = tmp_path / "sent"
    tail = b"#EXTM3U\nfile:///etc/passwd" if kind == "jpg" else b""
    sent.write_bytes(picture_bytes(kind, size="2400x1600") + tail)

    image(sent, out=tmp_path / "out.jpg", ffmpeg=ffmpeg())

    made = (tmp_path / "out.jpg").read_bytes()
    assert made.startswith(b"\xff\xd8\xff")
    assert b"passwd" not in made
    assert b"Exif" not in made
    assert (1280).to_bytes(2) + (1920).to_bytes(2) in made  # the frame header: height, width


def bomb() -> bytes:
    """A PNG of a few kilobytes that says it is 400 million pixels large."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 20_000, 20_000, 1, 0, 0, 0, 0)
    pixels = zlib.compress(bytes(1_000_000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


HOSTILE = {
    "nothing": lambda: b"",
    "a text": lambda: b"#EXTM3U\nfile:///etc/passwd",
    "an SVG": lambda: b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>",
    "only a head": lambda: picture_bytes()[:20],
    "a cut JPEG": lambda: picture_bytes()[:4000],
    "a cut PNG": lambda: picture_bytes("png")[:2000],
    "a PNG with a tail": lambda: picture_bytes("png") + b"#EXTM3U\nfile:///etc/passwd",
    "a bomb": bomb,
    "too small": lambda: picture_bytes(size="64x640"),
    "a JPEG's name on a PNG's body": lambda: b"\xff\xd8\xff" + picture_bytes("png"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_no_whole_picture_is_refused_and_nothing_is_left(tmp_path: Path, name: str) -> None:
    sent = tmp_path / "sent"
    sent.write_bytes(HOSTILE[name]())

    with pytest.raises(VideoValidationError) as refused:
        image(sent, out=tmp_path / "out.jpg", ffmpeg=ffmpeg())

    assert "found" in refused.value.details
    assert not (tmp_path / "out.jpg").exists()
