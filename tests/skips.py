"""One way to leave a test out: loudly, and never where it counts."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest

skipped: list[str] = []


def skip_or_fail(reason: str) -> NoReturn:
    """Skip the running test because of `reason`; with CI=true in the environment fail it instead."""
    if os.environ.get("CI", "").lower() in {"1", "true", "yes"}:
        pytest.fail(f"CI must have it: {reason}", pytrace=False)
    if reason not in skipped:
        skipped.append(reason)
    pytest.skip(reason)
