"""When a commit worker may begin something else: not within moments of a due time, and yet nothing waits for long."""

from __future__ import annotations

from app import clock

CLEARANCE = 0.03  # seconds before a due time in which nothing else is begun: a transaction takes about that
LONGEST_WAIT = 0.25  # seconds that answers and questions may be put off


class Clearance:
    """Remembers since when other work is put off. For one thread."""

    def __init__(self) -> None:
        self._since: float | None = None

    @property
    def is_short(self) -> bool:
        """Is other work being put off?"""
        return self._since is not None

    def allows(self, *, next_commit_in: float) -> bool:
        """May other work that waits be begun now, `next_commit_in` seconds before a commit is due?"""
        now = clock.monotonic()
        since = now if self._since is None else self._since
        is_allowed = next_commit_in > CLEARANCE or now - since >= LONGEST_WAIT
        self._since = None if is_allowed else since
        return is_allowed
