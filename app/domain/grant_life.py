"""How long a grant lives: when its access token is renewed, when the grant itself ends, when to look at it next."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

ENDS_SOON = timedelta(days=7)  # how long before a grant's end its owner is told


@dataclass(frozen=True)
class GrantLife:
    """The times of a grant. `renewable`: there is a refresh token; without one it ends with its access token.

    `refresh_expires_at` is when the person must consent again, whatever is renewed until then.
    """

    renewable: bool
    refreshed_at: datetime | None
    expires_at: datetime | None
    refresh_expires_at: datetime | None

    @property
    def ends_at(self) -> datetime | None:
        """When only the account's owner can go on with it; None: it does not end by time."""
        ends = [self.refresh_expires_at, None if self.renewable else self.expires_at]
        return min((end for end in ends if end is not None), default=None)

    def renew_at(self, *, ahead: timedelta) -> datetime | None:
        """Return when to renew the access token: `ahead` of its expiry, but not in the first half of its life."""
        if not self.renewable or self.expires_at is None:
            return None
        born_at = self.refreshed_at or self.expires_at - 2 * ahead
        return max(self.expires_at - ahead, born_at + (self.expires_at - born_at) / 2)

    def is_told(self, told_at: datetime | None) -> bool:
        """Was its owner told at `told_at` about this end, and not about an earlier one?"""
        return self.ends_at is None or (told_at is not None and told_at >= self.ends_at - ENDS_SOON)

    def next_look(self, *, ahead: timedelta, told_at: datetime | None) -> datetime | None:
        """Return when something is to be done next: to renew it, to tell its owner, or to see it end."""
        times = [self.renew_at(ahead=ahead)]
        if self.ends_at is not None and not self.is_told(told_at):
            times.append(self.ends_at - ENDS_SOON)
        if not self.renewable:
            times.append(self.expires_at)
        return min((time for time in times if time is not None), default=None)
