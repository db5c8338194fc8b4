"""Measures, pictures and converts every hostile file; run under strace by test_hostile.

`drive.py FOLDER FFMPEG PATH...` prints a JSON line for each file: what each step ended in.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from app.domain.recipe import Picture, Recipe, Sound
from app.domain.video_spec import VideoFacts
from app.exceptions import AppException
from app.media import best_moment, convert, image, measure, sniff, thumbnail
from app.media.child import Limits

SECONDS = 8.0  # a hostile file may not hold a worker up longer than its limits; here they are short
_PROBE_LIMITS = Limits(cpu=8, memory=4 * 1024**3, file=0)
_RECIPE = Recipe(
    picture=Picture(
        width=64, height=114, shape="blur", frame_rate="10", max_bit_rate=200_000, is_tone_mapped=False
    ),
    sound=Sound(channels=2, sample_rate=48_000, bit_rate=64_000),
    end=0.4,
)
_COPIED = Recipe(picture=None, sound="copy")
_JPEG = b"\xff\xd8\xff"


def main(folder: Path, ffmpeg: str, paths: list[str]) -> None:
    sys.modules["app.media.convert"].__dict__["BASE_SECONDS"] = SECONDS
    usual = measure(folder / "bases" / "base.mp4")
    for path in map(Path, paths):
        start = time.monotonic()
        ends = _ends(path, usual, ffmpeg)
        line = {"name": path.parent.name, "seconds": round(time.monotonic() - start, 2), **ends}
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()


def _ends(path: Path, usual: VideoFacts, ffmpeg: str) -> dict[str, str]:
    """Return what each step ended in. It is converted whatever measuring said: ffmpeg must be as safe alone."""
    known: list[VideoFacts] = []
    picture = path.with_name("out.jpg")
    return {
        "measure": _end(lambda: known.append(measure(path, seconds=SECONDS, limits=_PROBE_LIMITS))),
        "thumbnail": _end(lambda: thumbnail(path, at_seconds=0, out=picture, ffmpeg=ffmpeg)),
        "moment": _end(lambda: _look(path)),
        "convert": _end(lambda: _convert(path, _RECIPE, known[0] if known else usual, ffmpeg)),
        "remux": _end(lambda: _convert(path, _COPIED, known[0] if known else usual, ffmpeg)),
        "image": _end(lambda: image(path, out=picture, ffmpeg=ffmpeg)),
        "named image": _end(lambda: _image(path, picture, ffmpeg)),
    }


def _look(path: Path) -> None:
    moment = best_moment(path, duration=2.0)
    if not 0 <= moment <= 1e9:
        raise ValueError(f"no moment of a video: {moment}")


def _convert(path: Path, recipe: Recipe, facts: VideoFacts, ffmpeg: str) -> None:
    seen = replace(facts, container=sniff(path.read_bytes()[:4096]))
    out = path.with_name("out.mp4")
    convert(path, recipe, seen, out, ffmpeg=Path(ffmpeg), on_progress=lambda *_: None)


def _image(path: Path, picture: Path, ffmpeg: str) -> None:
    """Send it as a picture too: what begins like a JPEG is given to ffmpeg as one."""
    sent = path.with_name("sent.jpg")
    sent.write_bytes(_JPEG + path.read_bytes()[len(_JPEG) :])
    image(sent, out=picture, ffmpeg=ffmpeg)


def _end(step: Callable[[], None]) -> str:
    try:
        step()
    except AppException as error:
        return error.code
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "ok"


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3:])
