"""One picture of a video, or a picture somebody sent, made into a JPEG by ffmpeg in a limited child."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from app.exceptions import VideoProcessingError, VideoValidationError
from app.media.child import Ended, Limits, run_limited
from app.media.demuxers import DEMUXERS, FORMAT_WHITELIST, MAX_PIXELS
from app.media.sniff import SNIFF_BYTES, sniff

THUMBNAIL_PIXELS = 1280  # longer side of a frame of the video
IMAGE_PIXELS = 1920  # and of a picture that was sent
MAX_IMAGE_BYTES = 20 * 1024**2
MAX_IMAGE_PIXELS = 50_000_000
MIN_IMAGE_SIDE = 100
IMAGE_ALLOWED = f"a JPEG or PNG of at most {MAX_IMAGE_BYTES} bytes and {MAX_IMAGE_PIXELS} pixels"
SECONDS = 60.0
IMAGE_SECONDS = 15.0
LIMITS = Limits(cpu=50, memory=4 * 1024**3, file=20 * 1024**2)
IMAGE_LIMITS = Limits(cpu=12, memory=2 * 1024**3, file=20 * 1024**2)
_PICK = Path(__file__).with_name("pick.py")
_MAGIC = {b"\xff\xd8\xff": "jpeg_pipe", b"\x89PNG\r\n\x1a\n": "png_pipe"}
_JUST_BEFORE = (
    0.002  # seconds; ffmpeg takes the first frame at or after a moment, which we give in milliseconds
)
_ENDING = [
    "-map_metadata",
    "-1",
    "-an",
    "-sn",
    "-dn",
    "-frames:v",
    "1",
    "-c:v",
    "mjpeg",
    "-pix_fmt",
    "yuvj420p",
]


def best_moment(path: Path, *, duration: float) -> float:
    """Return when to take a video's picture, in seconds: not a black frame, not a blurred one.

    Looks at some frames, for at most a quarter of a minute. What cannot be looked at gets a moment a little
    after its beginning.
    """
    with path.open("rb") as file:
        container = sniff(file.read(SNIFF_BYTES))
    command = [sys.executable, "-I", str(_PICK), str(path), DEMUXERS[container], FORMAT_WHITELIST]
    ended = run_limited([*command, str(MAX_PIXELS), str(duration)], limits=LIMITS, seconds=SECONDS)
    found = json.loads(ended.output)["at"] if ended.code == 0 else None
    return min(1.0, duration / 2) if found is None else float(found)


def thumbnail(path: Path, *, at_seconds: float, out: Path, ffmpeg: str, or_first: bool = True) -> None:
    """Write the frame at `at_seconds` as a JPEG to `out`; the first frame when there is none there.

    `path` and `out` are names we made. `or_first=False`: no frame but that will do. Raises
    VideoValidationError when no frame can be decoded, VideoProcessingError when ffmpeg cannot be run.
    """
    with path.open("rb") as file:
        container = sniff(file.read(SNIFF_BYTES))
    moment = max(at_seconds - _JUST_BEFORE, 0.0)
    for start in dict.fromkeys((moment, 0.0)) if or_first else (moment,):
        source = ["-f", DEMUXERS[container], "-max_pixels", str(MAX_PIXELS), "-ss", f"{start:.3f}"]
        if _made(ffmpeg, path, out, source, whitelist=FORMAT_WHITELIST, pixels=THUMBNAIL_PIXELS):
            return
    raise VideoValidationError(
        "No picture of this video can be shown: it is damaged or uses a codec we cannot read.",
        {"found": "no decodable frame", "allowed": "a video that plays from its beginning"},
    )


def image(path: Path, *, out: Path, ffmpeg: str) -> None:
    """Decode a picture that was sent and write it anew as a JPEG to `out`: upright, with nothing but its pixels.

    Raises VideoValidationError when it is no JPEG or PNG, damaged, or out of bounds; VideoProcessingError when
    ffmpeg cannot be run.
    """
    with path.open("rb") as file:
        head = file.read(16)
    demuxer = next((name for magic, name in _MAGIC.items() if head.startswith(magic)), None)
    if demuxer is None:
        raise _no_image("something else" if head else "an empty file")
    source = ["-xerror", "-err_detect", "explode", "-f", demuxer, "-max_pixels", str(MAX_IMAGE_PIXELS)]
    if not _made(ffmpeg, path, out, source, whitelist=demuxer, pixels=IMAGE_PIXELS, is_image=True):
        raise _no_image("a picture that is damaged, too large, or smaller than 100 pixels")


def _no_image(found: str) -> VideoValidationError:
    return VideoValidationError(
        "This picture cannot be used as a thumbnail. Send another one, or choose a frame of the video.",
        {"found": found, "allowed": IMAGE_ALLOWED},
    )


def _made(
    ffmpeg: str,
    path: Path,
    out: Path,
    source: list[str],
    *,
    whitelist: str,
    pixels: int,
    is_image: bool = False,
) -> bool:
    """Run ffmpeg over one input; did a picture come of it?"""
    guards = ["-nostdin", "-hide_banner", "-loglevel", "fatal", "-y", "-threads", "1"]
    guards += ["-protocol_whitelist", "file", "-format_whitelist", whitelist, *source, "-i", f"file:{path}"]
    size = f"scale=w='if(gte(iw,ih),min({pixels},iw),-2)':h='if(gte(iw,ih),-2,min({pixels},ih))'"
    filters = f"{size},{_LARGE_ENOUGH}" if is_image else size
    result = [
        "-map",
        "0:v:0" if is_image else "0:V:0",
        "-vf",
        filters,
        *_ENDING,
        "-q:v",
        "3" if is_image else "4",
    ]
    limits, seconds = (IMAGE_LIMITS, IMAGE_SECONDS) if is_image else (LIMITS, SECONDS)
    out.unlink(missing_ok=True)
    command = [ffmpeg, *guards, *result, "-f", "mjpeg", f"file:{out}"]
    if _has_picture(run_limited(command, limits=limits, seconds=seconds), out):
        return True
    out.unlink(missing_ok=True)
    return False


# A filter that passes on nothing of a picture that is too small, so that none is written.
_LARGE_ENOUGH = f"select='gte(min(iw,ih),{MIN_IMAGE_SIDE})'"


def _has_picture(ended: Ended, out: Path) -> bool:
    if ended.code == 127:
        raise VideoProcessingError("ffmpeg could not be started. Run `flask doctor`.")
    return ended.code == 0 and out.is_file() and out.stat().st_size > 0
