"""Small real videos for tests, made by the same ffmpeg the product uses."""

from __future__ import annotations

import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Literal

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
    subprocess.run([*command, str(path)], check=True, timeout=240)
    return path


@cache
def picture_bytes(kind: Literal["jpg", "png"] = "jpg", *, size: str = "320x240") -> bytes:
    """Return a test picture."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"picture.{kind}"
        source = ["-f", "lavfi", "-i", f"testsrc2=size={size}:rate=1:duration=1", "-frames:v", "1"]
        subprocess.run(
            [ffmpeg(), "-nostdin", "-loglevel", "error", *source, str(path)], check=True, timeout=60
        )
        return path.read_bytes()


def make_dull_clip(path: Path) -> Path:
    """Write four seconds of video: two of black, one blurred, and one that is worth a look."""
    dull = "color=black:size=320x240:rate=25:duration=2[black];testsrc2=size=320x240:rate=25:duration=2"
    blurred = "gblur=sigma=20:enable='lt(t,1)'[bright];[black][bright]concat=n=2:v=1"
    command = [ffmpeg(), "-nostdin", "-y", "-loglevel", "error", "-filter_complex", f"{dull},{blurred}"]
    command += ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", str(path)]
    subprocess.run(command, check=True, timeout=60)
    return path
