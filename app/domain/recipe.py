"""What is done to a video so that platforms take it: the least work that suffices. Pure.

A recipe is data: equal recipes make equal files, so a rendition is found again by (video, recipe hash).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

VERSION = 2  # raised when the same recipe would make another file; renditions of older versions are made anew

Fit = Literal[
    "crop", "blur", "pad"
]  # what becomes of a picture whose shape must change; it is never stretched
Work = Literal["pass", "remux", "audio", "video"]  # from nothing to everything


@dataclass(frozen=True, kw_only=True)
class Picture:
    """How the picture is encoded anew: H.264 High, yuv420p, progressive, constant rate, closed GOP.

    Sides in pixels as shown, both even. `shape` is None when the proportions stay (the picture is scaled at
    most). `frame_rate` is a fraction as text ("30000/1001"); `max_bit_rate` in bits a second, None: by quality
    alone. Rotation is always applied, interlaced pictures are always made progressive.
    """

    width: int
    height: int
    shape: Fit | None
    frame_rate: str
    max_bit_rate: int | None
    is_tone_mapped: bool


@dataclass(frozen=True, kw_only=True)
class Sound:
    """How the sound is encoded anew: AAC-LC. Rates in samples and bits a second."""

    channels: int
    sample_rate: int
    bit_rate: int


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One rendition: an MP4 with its index first and no edit list.

    `picture` None: copied as it is. `sound` "copy": as it is, "none": the file has none. Times in seconds from
    the video's beginning; `end` None: to its end. A cut encodes the picture.
    `max_bytes`: what the file must not exceed.
    """

    picture: Picture | None
    sound: Sound | Literal["copy", "none"]
    start: float = 0.0
    end: float | None = None
    max_bytes: int | None = None

    @property
    def work(self) -> Work:
        """Return the heaviest part of the work. A recipe that exists is never "pass"."""
        if self.picture is not None:
            return "video"
        return "audio" if isinstance(self.sound, Sound) else "remux"

    @property
    def hash(self) -> str:
        """Return what the rendition is found again by: SHA-256 of the recipe and its version, in hex."""
        text = json.dumps({"version": VERSION, **self.to_dict()}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """Return the recipe as JSON-able values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read what `to_dict` wrote."""
        picture, sound = values["picture"], values["sound"]
        return cls(
            picture=Picture(**picture) if picture else None,
            sound=Sound(**sound) if isinstance(sound, Mapping) else sound,
            start=values["start"],
            end=values["end"],
            max_bytes=values["max_bytes"],
        )
