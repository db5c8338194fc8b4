"""What a video is, what a platform takes, and where the two do not meet. Pure.

`VideoFacts` is measured once; a platform declares its limits as a `VideoSpec`; `problems` compares them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

RATE_TOLERANCE = 0.01  # 59.94 is 60, 23.976 is not 23: rates are compared with one percent to spare


@dataclass(frozen=True, kw_only=True)
class VideoFacts:
    """A measured file. Sizes in bytes, durations in seconds, rates in bits or frames a second.

    `width` and `height` are as shown (rotation and pixel shape applied), `coded_*` as stored. None stands
    for what the file does not have (no sound) or its container does not say. `*_index` are positions among
    the file's streams, `*_start` seconds from the file's own beginning to the first picture and sound.
    Colours by ffmpeg's names (bt709, smpte2084 ...).
    """

    container: str
    size_bytes: int
    duration_seconds: float
    bit_rate: int
    video_codec: str
    video_profile: str | None
    video_level: int | None
    video_bit_rate: int | None
    pixel_format: str
    bit_depth: int
    is_hdr: bool
    is_interlaced: bool
    coded_width: int
    coded_height: int
    width: int
    height: int
    rotation: int
    frame_rate: float
    is_constant_rate: bool
    keyframe_seconds: float | None
    audio_codec: str | None
    audio_profile: str | None
    audio_channels: int | None
    audio_sample_rate: int | None
    audio_bit_rate: int | None
    is_fast_start: bool | None
    has_edit_list: bool | None
    color_primaries: str | None = None
    color_transfer: str | None = None
    color_matrix: str | None = None
    video_index: int | None = None
    audio_index: int | None = None
    video_start: float = 0.0
    audio_start: float | None = None

    @property
    def aspect(self) -> float:
        """Width divided by height, as shown."""
        return self.width / self.height

    def to_dict(self) -> dict[str, Any]:
        """Return the facts as JSON-able values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read what `to_dict` wrote; unknown names from a newer version are left out."""
        known = {item.name for item in fields(cls)}
        return cls(**{name: value for name, value in values.items() if name in known})


@dataclass(frozen=True, kw_only=True)
class VideoSpec:
    """The limits a platform sets on a video. None or an empty tuple: it sets none.

    `source` names the page they are from, `checked_on` the day it was read (YYYY-MM-DD).
    Sizes in bytes, durations in seconds, `*_side`, `*_width` and `*_height` in pixels as shown, rates a second.
    `preferred_*` is no limit: a file is not touched for it, but one that is made anew keeps to it where that
    costs nothing that can be seen. `preferred_aspect` is the shape a picture gets whose shape must change.
    """

    source: str
    checked_on: str
    containers: tuple[str, ...] = ()
    video_codecs: tuple[str, ...] = ()
    audio_codecs: tuple[str, ...] = ()
    audio_profiles: tuple[str, ...] = ()
    pixel_formats: tuple[str, ...] = ()
    max_size_bytes: int | None = None
    min_duration_seconds: float | None = None
    max_duration_seconds: float | None = None
    min_frame_rate: float | None = None
    max_frame_rate: float | None = None
    min_side: int | None = None
    max_side: int | None = None
    min_width: int | None = None
    max_width: int | None = None
    min_height: int | None = None
    min_aspect: float | None = None
    max_aspect: float | None = None
    max_bit_rate: int | None = None
    max_audio_sample_rate: int | None = None
    max_audio_channels: int | None = None
    needs_fast_start: bool = False
    needs_progressive: bool = False
    needs_constant_rate: bool = False
    allows_edit_list: bool = True
    allows_hdr: bool = True
    preferred_aspect: float | None = None
    preferred_size_bytes: int | None = None


@dataclass(frozen=True)
class Problem:
    """One limit a video breaks. `fixable`: a conversion can mend it without changing what is shown."""

    rule: str
    measured: Any
    allowed: Any
    message: str
    fixable: bool


@dataclass(frozen=True)
class _Choice:
    """A fact that must be one of the listed values."""

    rule: str
    noun: str
    measured: Callable[[VideoFacts], str | None]
    allowed: Callable[[VideoSpec], tuple[str, ...]]


@dataclass(frozen=True)
class _Range:
    """A number that must lie between two limits. `fixable_*` says which side a conversion can mend."""

    rule: str
    phrase: str
    measured: Callable[[VideoFacts], float | None]
    lowest: Callable[[VideoSpec], float | None] = lambda _: None
    highest: Callable[[VideoSpec], float | None] = lambda _: None
    fixable_above: bool = True
    fixable_below: bool = False
    tolerance: float = 0.0


@dataclass(frozen=True)
class _Demand:
    """Something a platform may insist on; what breaks it can always be converted."""

    rule: str
    message: str
    broken: Callable[[VideoFacts, VideoSpec], bool]


_CHOICES = (
    _Choice("container", "file format", lambda f: f.container, lambda s: s.containers),
    _Choice("video_codec", "video codec", lambda f: f.video_codec, lambda s: s.video_codecs),
    _Choice("audio_codec", "audio codec", lambda f: f.audio_codec, lambda s: s.audio_codecs),
    _Choice("audio_profile", "audio profile", lambda f: f.audio_profile, lambda s: s.audio_profiles),
    _Choice("pixel_format", "pixel format", lambda f: f.pixel_format, lambda s: s.pixel_formats),
)

_RANGES = (
    _Range(
        "duration",
        "The video is {} seconds long",
        lambda f: round(f.duration_seconds, 3),
        lowest=lambda s: s.min_duration_seconds,
        highest=lambda s: s.max_duration_seconds,
        fixable_above=False,
    ),
    _Range("size", "The file has {} bytes", lambda f: f.size_bytes, highest=lambda s: s.max_size_bytes),
    _Range(
        "frame_rate",
        "The video has {} frames a second",
        lambda f: round(f.frame_rate, 3),
        lowest=lambda s: s.min_frame_rate,
        highest=lambda s: s.max_frame_rate,
        fixable_below=True,
        tolerance=RATE_TOLERANCE,
    ),
    _Range(
        "short_side",
        "The shorter side has {} pixels",
        lambda f: min(f.width, f.height),
        lowest=lambda s: s.min_side,
    ),
    _Range(
        "long_side",
        "The longer side has {} pixels",
        lambda f: max(f.width, f.height),
        highest=lambda s: s.max_side,
    ),
    _Range(
        "width",
        "The picture is {} pixels wide",
        lambda f: f.width,
        lowest=lambda s: s.min_width,
        highest=lambda s: s.max_width,
    ),
    _Range("height", "The picture is {} pixels high", lambda f: f.height, lowest=lambda s: s.min_height),
    _Range(
        "aspect",
        "The picture is {} times as wide as it is high",
        lambda f: round(f.aspect, 4),
        lowest=lambda s: s.min_aspect,
        highest=lambda s: s.max_aspect,
        fixable_above=False,
    ),
    _Range(
        "bit_rate",
        "The video has {} bits a second",
        lambda f: f.video_bit_rate or f.bit_rate,
        highest=lambda s: s.max_bit_rate,
    ),
    _Range(
        "audio_sample_rate",
        "The sound has {} samples a second",
        lambda f: f.audio_sample_rate,
        highest=lambda s: s.max_audio_sample_rate,
    ),
    _Range(
        "audio_channels",
        "The sound has {} channels",
        lambda f: f.audio_channels,
        highest=lambda s: s.max_audio_channels,
    ),
)

_DEMANDS = (
    _Demand(
        "fast_start",
        "The index (moov) must come before the pictures.",
        lambda f, s: s.needs_fast_start and f.is_fast_start is False,
    ),
    _Demand(
        "edit_list",
        "The file must not have an edit list.",
        lambda f, s: not s.allows_edit_list and f.has_edit_list is True,
    ),
    _Demand("hdr", "The picture must not be HDR.", lambda f, s: not s.allows_hdr and f.is_hdr),
    _Demand(
        "progressive",
        "The video must be progressive, found interlaced.",
        lambda f, s: s.needs_progressive and f.is_interlaced,
    ),
    _Demand(
        "constant_rate",
        "The frame rate must be constant.",
        lambda f, s: s.needs_constant_rate and not f.is_constant_rate,
    ),
)


def problems(facts: VideoFacts, spec: VideoSpec) -> list[Problem]:
    """Return every limit the video breaks; none: it can go as it is."""
    return [*_choice_problems(facts, spec), *_range_problems(facts, spec), *_demand_problems(facts, spec)]


def _choice_problems(facts: VideoFacts, spec: VideoSpec) -> Iterable[Problem]:
    for rule in _CHOICES:
        measured, allowed = rule.measured(facts), rule.allowed(spec)
        if allowed and measured is not None and measured not in allowed:
            message = f"The {rule.noun} is {measured}; allowed: {', '.join(allowed)}."
            yield Problem(rule.rule, measured, list(allowed), message, fixable=True)


def _range_problems(facts: VideoFacts, spec: VideoSpec) -> Iterable[Problem]:
    for rule in _RANGES:
        measured, lowest, highest = rule.measured(facts), rule.lowest(spec), rule.highest(spec)
        if measured is None:
            continue
        found = rule.phrase.format(_number(measured))
        if highest is not None and measured > highest * (1 + rule.tolerance):
            message = f"{found}; at most {_number(highest)} allowed."
            yield Problem(rule.rule, measured, highest, message, rule.fixable_above)
        if lowest is not None and measured < lowest * (1 - rule.tolerance):
            message = f"{found}; at least {_number(lowest)} needed."
            yield Problem(rule.rule, measured, lowest, message, rule.fixable_below)


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.3f}".rstrip("0").rstrip(".")


def _demand_problems(facts: VideoFacts, spec: VideoSpec) -> Iterable[Problem]:
    for demand in _DEMANDS:
        if demand.broken(facts, spec):
            yield Problem(demand.rule, False, True, demand.message, fixable=True)
