"""Small real videos for tests, made by the same ffmpeg the product uses."""

from __future__ import annotations

import subprocess
from pathlib import Path

from app.embedded import find_ffmpeg
from tests.skips import skip_or_fail


def ffmpeg() -> str:
    """Return the ffmpeg to use, or skip the test loudly."""
    found = find_ffmpeg()
    if found is None:
        skip_or_fail("no ffmpeg on the PATH and no imageio-ffmpeg for this machine")
    assert found is not None
    return found


def make_clip(
    path: Path,
    *,
    seconds: float = 2,
    size: str = "180x320",
    rate: str = "30",
    sound: bool = True,
    extra: tuple[str, ...] = ("-movflags", "+faststart"),
) -> Path:
    """Write a test picture, with a tone unless `sound` is False; the ending of `path` names the container."""
    picture = ["-f", "lavfi", "-i", f"testsrc2=size={size}:rate={rate}:duration={seconds}"]
    tone = ["-f", "lavfi", "-i", f"sine=frequency=440:sample_rate=48000:duration={seconds}"] if sound else []
    codecs = (
        [] if path.suffix == ".webm" else ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p"]
    )
    fast = ["-c:v", "libvpx", "-deadline", "realtime"] if path.suffix == ".webm" else []
    command = [
        ffmpeg(),
        "-nostdin",
        "-y",
        "-loglevel",
        "error",
        *picture,
        *tone,
        *codecs,
        *fast,
        "-g",
        "30",
        *extra,
    ]
    subprocess.run([*command, str(path)], check=True, timeout=60)
    return path
