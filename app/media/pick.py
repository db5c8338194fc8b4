"""Looks at a few frames of a video and prints the moment of the best as JSON. Run as a script in a limited child.

`pick.py PATH DEMUXER FORMAT_WHITELIST MAX_PIXELS DURATION`. Imports nothing of ours. Prints {"at": seconds}, or
{"at": null} when no frame could be decoded. The best frame is neither black nor white, and sharp: of blurred
frames and of those in the middle of a fade or a wipe neighbouring pixels differ less.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from itertools import islice
from operator import mul, sub
from typing import Any

try:
    import av
except ImportError:
    sys.exit(127)  # our installation is broken, not the file

SHARES = (0.03, 0.1, 0.2, 0.32, 0.45, 0.58, 0.7, 0.85)  # of the duration
SECONDS = 12.0  # after this long, the best of what was seen
MAX_DECODED = 90  # frames from a keyframe to a moment; a frame before it will do as well
LONGER_SIDE = 160  # pixels; enough to tell blurred from sharp
DARK, BRIGHT = 20.0, 240.0  # mean luminance of frames that show nothing
FLAT = 6.0  # standard deviation of luminance below which there is nothing to see
ENOUGH = 45.0  # and above which more contrast is no better


def main(path: str, demuxer: str, whitelist: str, max_pixels: str, duration: str) -> dict[str, float | None]:
    av.logging.set_level(None)
    guards = {"protocol_whitelist": "file", "format_whitelist": whitelist, "max_pixels": max_pixels}
    best: tuple[float, float | None] = (-1.0, None)
    try:
        with av.open(path, format=demuxer, options=guards, metadata_errors="replace") as container:
            for at, frame in _frames(container, float(duration)):
                best = max(best, (_worth(frame), at), key=lambda seen: seen[0])  # of equals the first
    except (av.error.FFmpegError, EOFError):
        pass  # what was seen until then may do
    return {"at": best[1]}


def _frames(container: Any, duration: float) -> Iterator[tuple[float, Any]]:
    """Yield (seconds, frame) near each moment, as long as there is time."""
    cover = av.stream.Disposition.attached_pic
    moving = [each for each in container.streams.video if not each.disposition & cover]
    stream = max(moving, key=lambda each: each.codec_context.width * each.codec_context.height)
    origin = (container.start_time or 0) / av.time_base
    until = time.monotonic() + SECONDS
    for share in SHARES:
        if time.monotonic() > until:
            return
        moment = duration * share
        container.seek(int((moment + origin) * av.time_base))
        found = None
        for frame in islice(container.decode(stream), MAX_DECODED):
            found = frame
            if frame.time is None or frame.time - origin >= moment or time.monotonic() > until:
                break
        if found is not None and found.time is not None:
            yield max(found.time - origin, 0.0), found


def _worth(frame: Any) -> float:
    scale = LONGER_SIDE / max(frame.width, frame.height)
    width, height = (max(round(side * scale), 2) for side in (frame.width, frame.height))
    plane = frame.reformat(width=width, height=height, format="gray").planes[0]
    raw, stride = bytes(plane), plane.line_size
    rows = [raw[start : start + width] for start in range(0, stride * height, stride)]
    gray = b"".join(rows)
    mean = sum(gray) / len(gray)
    deviation = max(sum(map(mul, gray, gray)) / len(gray) - mean * mean, 0.0) ** 0.5
    across = sum(abs(step) for row in rows for step in map(sub, row, row[1:]))
    down = sum(map(abs, map(sub, gray, gray[width:])))
    sharpness = (across + down) / len(gray)
    if not DARK < mean < BRIGHT or deviation < FLAT:
        return float(sharpness / 1000)  # only if there is nothing else
    return float(sharpness * min(deviation / ENOUGH, 1.0))


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(*sys.argv[1:])))
