"""When a video flashes and when it beeps: whether picture and sound are still together."""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.clips import ffmpeg

FLASHES = (1.0, 2.0, 3.0)  # seconds; each lasts a tenth
_PICTURE = "drawbox=c=white:t=fill:enable='gte(t,0.999)*lt(mod(t+0.001,1),0.1)'"
_TONE = "aevalsrc='if(gte(t,1)*lt(mod(t,1),0.1),sin(2*PI*1000*t),0)':s=48000:d=4"


@dataclass(frozen=True)
class Moments:
    """Seconds at which the picture turns white and at which the tone begins."""

    flashes: list[float]
    beeps: list[float]


def make_flashing(path: Path, *, extra: tuple[str, ...] = (), after: tuple[str, ...] = ()) -> Path:
    """Write four seconds, 320x180, that flash and beep at FLASHES."""
    picture = ["-f", "lavfi", "-i", f"color=black:s=320x180:r=30:d=4,{_PICTURE}"]
    codecs = ["-c:v", "libx264", "-preset", "veryfast", "-bf", "2", "-c:a", "aac"]
    command = [ffmpeg(), "-nostdin", "-y", "-loglevel", "error", *picture, *extra, "-f", "lavfi", "-i", _TONE]
    subprocess.run([*command, *codecs, *after, str(path)], check=True, timeout=60)
    return path


def moments(path: Path) -> Moments:
    """Find the flashes and beeps of a file as a player that knows nothing of edit lists shows them."""
    import av

    with av.open(str(path)) as container:
        seen = [
            (float(frame.pts * frame.time_base), _is_bright(frame)) for frame in container.decode(video=0)
        ]
    with av.open(str(path)) as container:
        resampler = av.AudioResampler(format="s16", layout="mono")
        resampled = (part for whole in container.decode(audio=0) for part in resampler.resample(whole))
        heard = [moment for part in resampled for moment in _loudness(part)]
    return Moments(_beginnings(seen), _beginnings(heard))


def _is_bright(frame: Any) -> bool:
    grey = frame.reformat(format="gray")
    return bytes(grey.planes[0])[grey.planes[0].line_size * (grey.height // 2) + grey.width // 2] > 128


def _loudness(frame: Any) -> Iterator[tuple[float, bool]]:
    """Say for each half millisecond when it begins and whether it is loud."""
    start, step = float(frame.pts * frame.time_base), frame.sample_rate // 2000
    samples = struct.unpack_from(f"<{frame.samples}h", bytes(frame.planes[0]))
    for index in range(0, frame.samples, step):
        yield start + index / frame.sample_rate, max(samples[index : index + step]) > 3000


def _beginnings(samples: list[tuple[float, bool]]) -> list[float]:
    found: list[float] = []
    last = -1.0
    for moment, is_on in samples:
        if is_on:
            if moment - last > 0.3:
                found.append(moment)
            last = moment
    return found
