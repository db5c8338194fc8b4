"""Measures a video once: the outline by us, the rest by PyAV in a limited child."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from app.domain.video_spec import VideoFacts
from app.exceptions import VideoProcessingError, VideoValidationError
from app.media.child import Ended, Limits, run_limited
from app.media.demuxers import DEMUXERS, FORMAT_WHITELIST, MAX_PIXELS
from app.media.layout import inspect_layout, read_at_path
from app.media.sniff import SNIFF_BYTES, Container, sniff

SECONDS = 300.0
LIMITS = Limits(cpu=240, memory=4 * 1024**3, file=0)
_PROBE = Path(__file__).with_name("probe.py")


def measure(path: Path, *, seconds: float = SECONDS, limits: Limits = LIMITS) -> VideoFacts:
    """Return what the file is. Takes well under a second for most; at most `seconds`.

    Raises VideoValidationError when it is no usable video (not a video, empty, cut off, a playlist in
    disguise, or one that our parser cannot bear), VideoProcessingError when it could not be looked at.
    """
    with path.open("rb") as file:
        container = sniff(file.read(SNIFF_BYTES))
    size = path.stat().st_size
    layout = inspect_layout(read_at_path(path), size=size, container=container)
    measured = _probe(path, container, seconds=seconds, limits=limits)
    bit_rate = measured.pop("bit_rate") or round(size * 8 / max(measured["duration_seconds"], 0.001))
    return VideoFacts(
        container=container,
        size_bytes=size,
        bit_rate=bit_rate,
        is_fast_start=layout.is_fast_start,
        has_edit_list=layout.has_edit_list,
        **measured,
    )


def _probe(path: Path, container: Container, *, seconds: float, limits: Limits) -> dict[str, Any]:
    script = [sys.executable, "-I", str(_PROBE)]
    arguments = [str(path), DEMUXERS[container], FORMAT_WHITELIST, str(MAX_PIXELS)]
    ended = run_limited([*script, *arguments], limits=limits, seconds=seconds)
    if ended.code != 0:
        raise _gave_up(ended)
    answer: dict[str, Any] = json.loads(ended.output)
    if refused := answer.get("refused"):
        raise VideoValidationError(
            refused["message"],
            {"found": refused["reason"], "allowed": "a complete video that can be decoded"},
        )
    facts: dict[str, Any] = answer["facts"]
    return facts


def _gave_up(ended: Ended) -> VideoValidationError | VideoProcessingError:
    """A parser that crashed or ran out of its limits is the file's doing; one that never ran is ours."""
    if ended.code == 127:
        return VideoProcessingError("The measuring process could not be started. Run `flask doctor`.")
    reason = "out of time" if ended.code is None else f"the reader ended with {ended.code}"
    return VideoValidationError(
        "This file could not be measured within the limits. It may be damaged; export it again as MP4.",
        {"found": reason, "allowed": "a video that can be read safely"},
    )
