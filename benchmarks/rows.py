"""What a benchmark returns."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One figure, and the same figure of a bare baseline measured in the same run. `ratio` is value / baseline."""

    name: str
    value: float
    unit: str
    baseline: float | None = None
    ratio: float | None = None


def compared(name: str, value: float, unit: str, baseline: float) -> Row:
    """Return a row with its ratio."""
    return Row(name, value, unit, baseline, value / baseline if baseline else None)


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least `share` (0..1) of the values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]
