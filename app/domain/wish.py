"""What the user wants done to a video: which part of it goes out, and what becomes of a shape that must change.

Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

from app.domain.recipe import Fit
from app.domain.video_spec import VideoFacts

SHORTEST = 0.1  # seconds; less is no video


@dataclass(frozen=True, kw_only=True)
class Wish:
    """`shape` None: the picture's shape stays, and what would need another is impossible. Times in seconds."""

    shape: Fit | None = None
    start: float = 0.0
    end: float | None = None

    @property
    def cuts(self) -> bool:
        """Is only a part wanted?"""
        return self.start > 0 or self.end is not None

    @classmethod
    def from_dict(cls, values: Mapping[str, Any] | None) -> Self:
        """Read what a post or target stores as its `fit`; None: nothing is wanted."""
        given = values or {}
        end = given.get("end")
        return cls(
            shape=given.get("shape"),
            start=float(given.get("start") or 0),
            end=None if end is None else float(end),
        )

    def faults(self, facts: VideoFacts) -> list[str]:
        """Return why the wanted part is not a part of this video."""
        length = facts.duration_seconds
        if self.end is not None and self.end - self.start < SHORTEST:
            return [
                f"end is {self.end:g} s; it must come at least {SHORTEST:g} s after start, {self.start:g} s."
            ]
        if self.start > 0 and self.start > length - SHORTEST:
            return [f"start is {self.start:g} s, but the video is only {length:g} s long."]
        if self.end is not None and self.end > length + SHORTEST:
            return [f"end is {self.end:g} s, but the video is only {length:g} s long."]
        return []

    def within(self, facts: VideoFacts) -> Self:
        """Return the wish without a cut that takes nothing away."""
        ends = self.end is not None and self.end < facts.duration_seconds - 0.001
        return replace(self, end=self.end if ends else None)

    def cut(self, facts: VideoFacts) -> VideoFacts:
        """Return the facts of the wanted part, as it would be without any other change."""
        if not self.cuts:
            return facts
        end = facts.duration_seconds if self.end is None else min(self.end, facts.duration_seconds)
        seconds = max(end - self.start, SHORTEST)
        share = seconds / max(facts.duration_seconds, SHORTEST)
        return replace(
            facts, duration_seconds=round(seconds, 6), size_bytes=max(1, round(facts.size_bytes * share))
        )
