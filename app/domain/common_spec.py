"""What several platforms take alike: the limits all of them keep. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

from app.domain.video_spec import VideoSpec

WORDS = ("source", "checked_on")


def combine(specs: Sequence[VideoSpec]) -> VideoSpec | None:
    """Return limits such that what meets them meets each of `specs`; None when nothing can.

    What they say of their sources is joined. The first that prefers something is heard.
    """
    found = specs[0]
    for other in specs[1:]:
        values = {item.name: _both(item.name, found, other) for item in fields(VideoSpec)}
        if () in [value for name, value in values.items() if _is_narrowed(name, found, other)]:
            return None
        found = replace(found, **values)
    return found if _is_possible(found) else None


def _both(name: str, one: VideoSpec, other: VideoSpec) -> Any:
    first, second = getattr(one, name), getattr(other, name)
    if name in WORDS:
        return first if first == second else f"{first}; {second}"
    if isinstance(first, tuple):
        return tuple(value for value in first if value in second) if first and second else first or second
    if name.startswith("needs_"):
        return first or second
    if name.startswith("allows_"):
        return first and second
    known = [value for value in (first, second) if value is not None]
    if name.startswith("preferred_aspect"):
        return known[0] if known else None
    choose = max if name.startswith("min_") else min
    return choose(known, default=None)


def _is_narrowed(name: str, one: VideoSpec, other: VideoSpec) -> bool:
    """Do both list what they take, so that nothing in common means nothing at all?"""
    return isinstance(getattr(one, name), tuple) and bool(getattr(one, name)) and bool(getattr(other, name))


def _is_possible(spec: VideoSpec) -> bool:
    for item in fields(VideoSpec):
        if item.name.startswith("min_"):
            lowest, highest = getattr(spec, item.name), getattr(spec, "max_" + item.name[4:], None)
            if lowest is not None and highest is not None and lowest > highest:
                return False
    return True
