"""One picture of a video, made by ffmpeg in a limited child."""

from __future__ import annotations

from pathlib import Path

from app.exceptions import VideoProcessingError, VideoValidationError
from app.media.child import Limits, run_limited
from app.media.demuxers import DEMUXERS, FORMAT_WHITELIST, MAX_PIXELS
from app.media.sniff import SNIFF_BYTES, sniff

THUMBNAIL_PIXELS = 1280  # longer side
SECONDS = 60.0
LIMITS = Limits(cpu=50, memory=4 * 1024**3, file=20 * 1024**2)
_FIT = (
    f"scale=w='if(gte(iw,ih),min({THUMBNAIL_PIXELS},iw),-2)':h='if(gte(iw,ih),-2,min({THUMBNAIL_PIXELS},ih))'"
)


def thumbnail(path: Path, *, at_seconds: float, out: Path, ffmpeg: str) -> None:
    """Write the frame at `at_seconds` as a JPEG to `out`; the first frame when there is none there.

    `path` and `out` are names we made. Raises VideoValidationError when no frame can be decoded,
    VideoProcessingError when ffmpeg cannot be run.
    """
    with path.open("rb") as file:
        container = sniff(file.read(SNIFF_BYTES))
    for moment in dict.fromkeys((max(at_seconds, 0.0), 0.0)):
        command = _command(ffmpeg, path, moment, out, demuxer=DEMUXERS[container])
        ended = run_limited(command, limits=LIMITS, seconds=SECONDS)
        if ended.code == 127:
            raise VideoProcessingError("ffmpeg could not be started. Run `flask doctor`.")
        if ended.code == 0 and out.is_file() and out.stat().st_size:
            return
    raise VideoValidationError(
        "No picture of this video can be shown: it is damaged or uses a codec we cannot read.",
        {"found": "no decodable frame", "allowed": "a video that plays from its beginning"},
    )


def _command(ffmpeg: str, path: Path, moment: float, out: Path, *, demuxer: str) -> list[str]:
    guards = ["-nostdin", "-hide_banner", "-loglevel", "fatal", "-y", "-threads", "1"]
    source = ["-protocol_whitelist", "file", "-format_whitelist", FORMAT_WHITELIST, "-f", demuxer]
    picture = ["-max_pixels", str(MAX_PIXELS), "-ss", f"{moment:.3f}", "-i", f"file:{path}"]
    result = ["-map", "0:V:0", "-frames:v", "1", "-map_metadata", "-1", "-an", "-sn", "-dn", "-vf", _FIT]
    return [
        ffmpeg,
        *guards,
        *source,
        *picture,
        *result,
        "-c:v",
        "mjpeg",
        "-q:v",
        "4",
        "-f",
        "mjpeg",
        f"file:{out}",
    ]
