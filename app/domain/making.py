"""Which recipe makes a video meet limits with the least work, and what comes of it. Pure.

Whatever is encoded is H.264 High and AAC-LC in an MP4: every platform takes that.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from fractions import Fraction
from math import sqrt
from typing import Literal

from app.domain.picture_size import picture_size
from app.domain.recipe import Picture, Recipe, Sound
from app.domain.video_spec import VideoFacts, VideoSpec, problems
from app.domain.wish import Wish

PICTURE_RULES = frozenset(
    {
        "video_codec", "pixel_format", "hdr", "progressive", "constant_rate", "frame_rate", "short_side",
        "long_side", "width", "height", "aspect", "bit_rate", "size",
    }
)  # fmt: skip
SOUND_RULES = frozenset({"audio_codec", "audio_profile", "audio_sample_rate", "audio_channels"})
IN_MP4 = frozenset({"h264", "hevc", "av1", "vp9"})  # what an MP4 that everybody reads may hold
SOUND_IN_MP4 = frozenset({"aac", "mp3", "ac3", "eac3", "opus"})
AAC_RATES = (48_000, 44_100, 32_000)  # others are brought to the first
RATES = tuple(
    Fraction(rate) for rate in ("24000/1001", "24", "25", "30000/1001", "30", "48", "50", "60000/1001", "60")
)
FAST = (Fraction(100), Fraction(120_000, 1001), Fraction(120))
GENEROUS = 12_000_000 / (1920 * 1080 * 30)  # bits a pixel: more shows nothing more (core-platforms 7)
GOOD = 8_000_000 / (1920 * 1080 * 30)  # as commonly advised for 1080p at 30
POOR = 2_000_000 / (1920 * 1080 * 30)  # below it a smaller picture looks better
LOWEST, HIGHEST = 1_000_000, 40_000_000  # bits a second
TYPICAL = 0.6  # of what is allowed at most, quality alone needs about that much: a guess
MARGIN = 0.96  # of a size budget: the container and the encoder's own swings take the rest
KEYFRAME_SECONDS = 2.0


def make_recipe(facts: VideoFacts, spec: VideoSpec, wish: Wish) -> Recipe:
    """Return the recipe with the least work that brings the wanted part of a video within the limits.

    Whether it does is for the caller to see: `outcome` says what comes of it.
    """
    broken = {problem.rule for problem in problems(wish.cut(facts), spec)}
    is_cut = wish.cuts  # copied, it would begin at a key frame and end some pictures late or with gaps
    sound = _sound(facts, spec, broken, is_cut=is_cut)
    recipe = Recipe(picture=None, sound=sound, start=wish.start, end=wish.end)
    if is_cut or broken & PICTURE_RULES or facts.video_codec not in IN_MP4:
        return _with_picture(recipe, facts, spec, wish)
    return recipe


# -- sound


def _sound(
    facts: VideoFacts, spec: VideoSpec, broken: Collection[str], *, is_cut: bool
) -> Sound | Literal["copy", "none"]:
    if facts.audio_codec is None:
        return "none"
    if not is_cut and not SOUND_RULES & set(broken) and facts.audio_codec in SOUND_IN_MP4:
        return "copy"
    channels = min(facts.audio_channels or 2, spec.max_audio_channels or 6, 6)
    found = facts.audio_sample_rate or AAC_RATES[0]
    highest = spec.max_audio_sample_rate or AAC_RATES[0]
    rate = found if found in AAC_RATES and found <= highest else min(AAC_RATES[0], highest)
    return Sound(
        channels=channels, sample_rate=rate, bit_rate=128_000 if channels <= 2 else 64_000 * channels
    )


# -- picture


def _with_picture(recipe: Recipe, facts: VideoFacts, spec: VideoSpec, wish: Wish) -> Recipe:
    width, height, shape = picture_size(facts, spec, wish.shape)
    rate = frame_rate(facts, spec)
    seconds = wish.cut(facts).duration_seconds
    bits, max_bytes = _bit_rate(width * height * float(rate), seconds, _sound_bits(recipe, facts), spec)
    width, height = _worth(width, height, float(rate), bits, spec)
    picture = Picture(
        width=width,
        height=height,
        shape=shape,
        frame_rate=str(rate) if rate.denominator > 1 else f"{rate.numerator}/1",
        max_bit_rate=bits,
        is_tone_mapped=facts.is_hdr,
    )
    return replace(recipe, picture=picture, max_bytes=max_bytes)


def frame_rate(facts: VideoFacts, spec: VideoSpec) -> Fraction:
    """Return the constant rate for a picture made anew: its own, made even, within the limits."""
    found = Fraction(facts.frame_rate).limit_denominator(10_000) or Fraction(30)
    known = [rate for rate in (*RATES, *FAST) if abs(rate - found) <= found / 2000]
    exact = known[0] if known else found.limit_denominator(1001)
    if not facts.is_constant_rate and not known:  # enough that hardly a picture is lost
        exact = next((rate for rate in RATES if rate >= found * Fraction(99, 100)), RATES[-1])
    lowest, highest = Fraction(spec.min_frame_rate or 0), Fraction(spec.max_frame_rate or 1000)
    if exact > highest * Fraction(101, 100):
        halves = [exact / n for n in (2, 3, 4, 5) if exact / n <= highest and exact / n in RATES]
        exact = halves[0] if halves else highest
    if exact < lowest * Fraction(99, 100):
        doubles = [exact * n for n in range(2, 31) if lowest <= exact * n <= highest]
        exact = doubles[0] if doubles else lowest
    return exact


def _sound_bits(recipe: Recipe, facts: VideoFacts) -> int:
    if isinstance(recipe.sound, Sound):
        return recipe.sound.bit_rate
    return 0 if recipe.sound == "none" else facts.audio_bit_rate or 256_000


def _bit_rate(pixels: float, seconds: float, sound_bits: int, spec: VideoSpec) -> tuple[int, int | None]:
    """Return the most bits a second the picture may take, and the size of the file if that is what limits it.

    `pixels` are those of a second.
    """
    found = min(max(GENEROUS * pixels, LOWEST), HIGHEST, (spec.max_bit_rate or HIGHEST) * 0.9)
    budgets = []
    if spec.max_size_bytes:
        budgets.append((_bits_within(spec.max_size_bytes, seconds, sound_bits), spec.max_size_bytes))
    if spec.preferred_size_bytes:
        wanted = _bits_within(spec.preferred_size_bytes, seconds, sound_bits)
        if wanted >= max(GOOD * pixels, LOWEST):
            budgets.append((wanted, spec.preferred_size_bytes))
    tightest = min(budgets, default=(found, None))
    return (int(tightest[0]), tightest[1]) if tightest[0] < found else (int(found), None)


def _bits_within(size_bytes: int, seconds: float, sound_bits: int) -> float:
    return max(size_bytes * 8 * MARGIN / max(seconds, 0.1) - sound_bits, 1.0)


def _worth(width: int, height: int, rate: float, bits: int, spec: VideoSpec) -> tuple[int, int]:
    """Return a smaller picture where so few bits would spoil a large one, but none below a limit."""
    factor = sqrt(bits / (POOR * width * height * rate))
    smallest = max(spec.min_side or 0, spec.min_width or 0, spec.min_height or 0, 360)
    if factor >= 1 or min(width, height) * factor < smallest:
        return width, height
    return int(width * factor) // 2 * 2, int(height * factor) // 2 * 2


# -- what comes of it


def outcome(facts: VideoFacts, recipe: Recipe) -> VideoFacts:
    """Return what the rendition will measure like; its sizes are the most they can be."""
    part = Wish(start=recipe.start, end=recipe.end).cut(facts)
    found = replace(part, container="mp4", is_fast_start=True, has_edit_list=False)
    if isinstance(recipe.sound, Sound):
        found = replace(
            found,
            audio_codec="aac",
            audio_profile="LC",
            audio_channels=recipe.sound.channels,
            audio_sample_rate=recipe.sound.sample_rate,
            audio_bit_rate=recipe.sound.bit_rate,
        )
    if recipe.picture is None:
        return found
    sound_bits = _sound_bits(recipe, facts)
    return _with_outcome(found, recipe.picture, sound_bits)


def _with_outcome(facts: VideoFacts, picture: Picture, sound_bits: int) -> VideoFacts:
    bits = picture.max_bit_rate or HIGHEST
    return replace(
        facts,
        size_bytes=int((bits + sound_bits) * facts.duration_seconds / 8) + 1,
        bit_rate=bits + sound_bits,
        video_codec="h264",
        video_profile="High",
        video_level=None,
        video_bit_rate=bits,
        pixel_format="yuv420p",
        bit_depth=8,
        is_hdr=False,
        is_interlaced=False,
        coded_width=picture.width,
        coded_height=picture.height,
        width=picture.width,
        height=picture.height,
        rotation=0,
        frame_rate=round(float(Fraction(picture.frame_rate)), 4),
        is_constant_rate=True,
        keyframe_seconds=KEYFRAME_SECONDS,
    )


def likely_bytes(facts: VideoFacts, recipe: Recipe) -> int:
    """Return about how large the rendition will be, in bytes."""
    most = outcome(facts, recipe)
    if recipe.picture is None:
        return most.size_bytes
    bits = recipe.picture.max_bit_rate or HIGHEST
    saved = bits * (1 - TYPICAL) * most.duration_seconds / 8
    return int(most.size_bytes - saved)
