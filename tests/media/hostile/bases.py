"""Small sound videos that hostile ones are made of."""

from __future__ import annotations

from pathlib import Path

from tests.clips import make_clip

_LATE = ("-movflags", "-faststart")
_KINDS: dict[str, tuple[str, ...]] = {
    "mp4": ("-movflags", "+faststart"),
    "mov": ("-c:a", "pcm_s16le", *_LATE),
    "fragments.mp4": ("-movflags", "+frag_keyframe+empty_moov"),
    "mkv": (),
    "webm": ("-c:a", "libopus"),
    "avi": ("-c:v", "mjpeg", "-c:a", "pcm_s16le"),
    "ts": (),
    "raw.avi": ("-c:v", "rawvideo", "-an"),
    "png.mov": ("-c:v", "png", "-an", *_LATE),
}


def bases(folder: Path) -> dict[str, bytes]:
    """Return one video for each kind of container, half a second long."""
    folder.mkdir(parents=True)
    return {
        kind: make_clip(
            folder / (kind if "." in kind else f"base.{kind}"),
            seconds=0.5,
            size="64x64",
            rate="10",
            extra=extra,
        ).read_bytes()
        for kind, extra in _KINDS.items()
    }
