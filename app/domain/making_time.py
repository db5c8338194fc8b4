"""About how long making a rendition takes: round figures for two cores, rather too slow than too quick. Pure.

ffmpeg's test pictures took a quarter to a half of it (2026-11-27, two cores, processor time halved: 2.3 s of 5.4 for
8 s of 1080x1920 made 720x1280, 4.1 s of 14.2 for 4 s of 2160p60 made 1080p60); what is filmed is harder to encode.
"""

from __future__ import annotations

from fractions import Fraction

from app.domain.recipe import Recipe
from app.domain.video_spec import VideoFacts
from app.domain.wish import Wish

START = 1.0  # seconds: reading the file in, measuring what came out
BYTES = 100_000_000  # copied a second
SOUND = 60.0  # seconds of sound encoded in one
ENCODED = 100_000_000  # pixels encoded a second
DECODED = 250_000_000  # pixels decoded a second
TONE_MAPPING = 3.0  # as slow as that against encoding alone


def likely_seconds(facts: VideoFacts, recipe: Recipe) -> float:
    """Return about how many seconds a worker is busy with it."""
    seconds = Wish(start=recipe.start, end=recipe.end).cut(facts).duration_seconds
    found = START + facts.size_bytes / BYTES
    if recipe.work != "remux":
        found += seconds / SOUND
    if recipe.picture is not None:
        rate = float(Fraction(recipe.picture.frame_rate))
        encoded = recipe.picture.width * recipe.picture.height * rate * seconds / ENCODED
        decoded = facts.coded_width * facts.coded_height * facts.frame_rate * seconds / DECODED
        found += encoded * (TONE_MAPPING if recipe.picture.is_tone_mapped else 1) + decoded
    return round(found, 1)
