"""Recipes that tests of converting share, and the shortest way to execute one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from app.domain.recipe import Picture, Recipe, Sound
from app.media import convert, measure
from tests.clips import ffmpeg

STEREO = Sound(channels=2, sample_rate=48_000, bit_rate=128_000)
REMUX = Recipe(picture=None, sound="copy")
SMALL = Picture(
    width=180, height=320, shape=None, frame_rate="30", max_bit_rate=2_000_000, is_tone_mapped=False
)
WIDE = replace(SMALL, width=160, height=90)


def quietly(share: float, remaining: float | None) -> None:
    """Hear the progress and do nothing."""


def converted(source: Path, recipe: Recipe, out: Path) -> Path:
    convert(source, recipe, measure(source), out, ffmpeg=Path(ffmpeg()), on_progress=quietly)
    return out
