"""What a recipe changes of a video, in words. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from app.domain.recipe import Picture, Recipe, Sound
from app.domain.video_spec import VideoFacts

SHAPES = {
    "crop": "Its edges are cut off to {size} pixels.",
    "pad": "It is put on plain bars of {size} pixels.",
    "blur": "It is put on a blurred copy of itself of {size} pixels.",
}


def changes_said(facts: VideoFacts, recipe: Recipe) -> tuple[str, ...]:
    """Return a sentence for each thing that changes."""
    return tuple(_said(facts, recipe))


def _said(facts: VideoFacts, recipe: Recipe) -> Iterator[str]:
    if recipe.start > 0 or recipe.end is not None:
        end = facts.duration_seconds if recipe.end is None else recipe.end
        yield f"Only the part from {recipe.start:g} to {end:g} seconds goes out."
    if facts.container != "mp4":
        yield f"It becomes an MP4 (it is {facts.container})."
    if facts.is_fast_start is False:
        yield "Its index is put first."
    if facts.has_edit_list:
        yield "Its edit list is applied and left out."
    if recipe.picture is not None:
        yield from _picture(facts, recipe.picture)
    if isinstance(recipe.sound, Sound):
        yield from _sound(facts, recipe.sound)
    if recipe.max_bytes is not None:
        yield f"It is made no larger than {recipe.max_bytes:,} bytes."


def _picture(facts: VideoFacts, picture: Picture) -> Iterator[str]:
    yield f"The picture is encoded as H.264 (it is {facts.video_codec}, {facts.pixel_format})."
    size = f"{picture.width} by {picture.height}"
    if picture.shape is not None:
        yield SHAPES[picture.shape].format(size=size)
    elif (picture.width, picture.height) != (facts.width, facts.height):
        verb = "enlarged" if picture.width > facts.width else "scaled"
        yield f"It is {verb} from {facts.width} by {facts.height} to {size} pixels."
    if picture.is_tone_mapped:
        yield "Its HDR colours are mapped to the usual range."
    if facts.rotation:
        yield "It is stored upright."
    if facts.is_interlaced:
        yield "It is made progressive."
    rate = float(Fraction(picture.frame_rate))
    if not facts.is_constant_rate:
        yield f"Its varying frame rate becomes {rate:g} frames a second."
    elif abs(rate - facts.frame_rate) > 0.01:
        yield f"Its frame rate becomes {rate:g} a second (it is {facts.frame_rate:g})."


def _sound(facts: VideoFacts, sound: Sound) -> Iterator[str]:
    channels = {1: "mono", 2: "stereo"}.get(sound.channels, f"{sound.channels} channels")
    yield f"The sound is encoded as AAC, {channels}, {sound.sample_rate:,} Hz (it is {facts.audio_codec})."
    if (facts.audio_channels or 0) > sound.channels:
        yield f"Its {facts.audio_channels} channels are mixed to {sound.channels}."
