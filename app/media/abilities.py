"""What an ffmpeg was built with: some distributions leave out what we need."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from app.media.child import Limits, run_limited

ENCODERS = ("libx264", "aac", "mjpeg")
FILTERS = ("aresample", "bwdif", "crop", "fps", "gblur", "overlay", "pad", "scale", "setparams")
HDR_FILTERS = ("zscale", "tonemap")  # without them everything but HDR and wide colours works
_SECONDS = 20.0
_LIMITS = Limits(cpu=20, memory=2 * 1024**3, file=0)
_NAME = re.compile(rb"^ [A-Z.|]+ +(\w+) ", re.MULTILINE)


@dataclass(frozen=True)
class Abilities:
    """`missing`: encoders and filters we use that this ffmpeg lacks; everything, when it does not run."""

    missing: tuple[str, ...]

    @property
    def converts(self) -> bool:
        """Whether videos can be converted at all."""
        return not set(self.missing) - set(HDR_FILTERS)


@lru_cache(maxsize=8)
def abilities(ffmpeg: Path) -> Abilities:
    """Return what this ffmpeg lacks. Asked once a process; takes a tenth of a second."""
    there = {name for kind in ("-encoders", "-filters") for name in _listed(ffmpeg, kind)}
    return Abilities(tuple(name for name in (*ENCODERS, *FILTERS, *HDR_FILTERS) if name not in there))


def _listed(ffmpeg: Path, kind: str) -> list[str]:
    ended = run_limited([str(ffmpeg), "-hide_banner", kind], limits=_LIMITS, seconds=_SECONDS)
    return [name.decode() for name in _NAME.findall(ended.output)]
