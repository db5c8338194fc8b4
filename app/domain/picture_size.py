"""How large a picture is made, and in which shape; it is never stretched. Pure."""

from __future__ import annotations

from math import ceil

from app.domain.recipe import Fit
from app.domain.video_spec import VideoFacts, VideoSpec

LARGEST_GROWTH = 2.0  # a picture is scaled up to twice its sides at most, and only where a limit demands it
CANVAS = 1920  # longer side of a picture that gets another shape, unless the original is larger
INSIDE = 0.001  # how far from the edge of the allowed shapes one is chosen: sides are rounded to even


def picture_size(facts: VideoFacts, spec: VideoSpec, shape: Fit | None) -> tuple[int, int, Fit | None]:
    """Return width and height in pixels, both even, and how the shape changes (None: it stays).

    Without a choice of `shape` nothing is cut off, added or enlarged, even where a limit would ask for it.
    """
    width, height = float(facts.width), float(facts.height)
    wanted = _aspect(width / height, spec)
    changed = shape if wanted is not None else None
    if wanted is not None and shape is not None:
        width, height = _reshaped(width, height, wanted, shape)
    shrink = _shrink(width, height, spec)
    grow = _growth(width * shrink, height * shrink, spec) if shape is not None else 1.0
    if grow > 1:
        return _up(width * shrink * grow), _up(height * shrink * grow), changed
    return _even(width * shrink), _even(height * shrink), changed


def _aspect(found: float, spec: VideoSpec) -> float | None:
    """Return the shape that is wanted instead of this one, or None when it may stay."""
    lowest, highest = spec.min_aspect or 0.0, spec.max_aspect or float("inf")
    if lowest <= found <= highest:
        return None
    return spec.preferred_aspect or (lowest * (1 + INSIDE) if found < lowest else highest * (1 - INSIDE))


def _reshaped(width: float, height: float, aspect: float, shape: Fit) -> tuple[float, float]:
    """Return the sides of the new shape: the largest part of the picture, or a canvas the whole fits on."""
    if shape == "crop":
        return (height * aspect, height) if width / height > aspect else (width, width / aspect)
    longer = max(width, height, CANVAS)
    return (longer * aspect, longer) if aspect < 1 else (longer, longer / aspect)


def _shrink(width: float, height: float, spec: VideoSpec) -> float:
    longest = (spec.max_side or float("inf")) / max(width, height)
    return min(1.0, longest, (spec.max_width or float("inf")) / width)


def _growth(width: float, height: float, spec: VideoSpec) -> float:
    needed = max(
        (spec.min_side or 0) / min(width, height),
        (spec.min_width or 0) / width,
        (spec.min_height or 0) / height,
    )
    return needed if 1 < needed <= LARGEST_GROWTH else 1.0


def _even(side: float) -> int:
    return max(2, int(side + 0.5) // 2 * 2)


def _up(side: float) -> int:
    return ceil(round(side, 3) / 2) * 2
