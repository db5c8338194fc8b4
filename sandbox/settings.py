"""What the control API may change about the platforms' behaviour."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any


@dataclass
class SandboxSettings:
    """Durations are seconds of the virtual clock, except `speed`, which divides the first three."""

    processing_seconds: float = 2.0  # last byte -> the platform says "published"
    moderation_seconds: float = 3.0  # published -> the post's id is told
    late_reject_seconds: float = 5.0  # id told -> removed, for `[sim:late-reject]`
    speed: float = 1.0
    access_token_seconds: float = 86_400.0
    refresh_token_seconds: float = 31_536_000.0
    code_seconds: float = 600.0
    upload_url_seconds: float = 3_600.0
    rotate_refresh_tokens: bool = True
    rate_limits: bool = True
    auto_consent: str = "ask"  # ask | approve | deny
    auto_account: str = ""  # whose consent `auto` gives; empty: the platform's first account
    any_loopback_redirect: bool = True  # else only the client's own list
    pkce_required_on_loopback: bool = True  # TikTok's rule for apps that return to the user's machine
    audited: bool = True  # else private posts to private accounts only
    daily_posts: int = 0  # posts an account may make in 24 h; 0: any number
    refuse_multi_chunk: bool = False  # the field report of 2026-08: "The chunk size is invalid"
    content_range_counts: str = "bytes"  # bytes | last_index: how an answer's Content-Range tells progress
    dead_upload_status: str = "FAILED"  # FAILED | PROCESSING_UPLOAD: an upload past its hour
    late_reject_status: str = "silent"  # silent: the id vanishes | FAILED: status says so too
    measure_media: bool = False  # refuse what the real ones refuse, as measured from the bytes that arrived
    instagram_quota: int = 50  # posts an Instagram account may make in 24 h, while `rate_limits` hold
    instagram_code_answer: str = "data"  # data | flat: how Instagram Login answers a code
    instagram_login_rupload: bool = False  # whether uploads work with Instagram Login; reports differ
    app_usage: float = 1.0  # percent of its calls that Meta says the app has used
    account_usage: float = 1.0  # the same of each account
    regain_minutes: int = 0  # until when Meta says that it takes the account's calls again
    list_lag_seconds: float = 0.0  # how long a new YouTube video is missing from answers and from the list
    comment_lag_seconds: float = 0.0  # how long a new comment is missing from the lists of comments
    upload_session_seconds: float = 604_800.0  # YouTube's upload sessions
    daily_uploads: int = 0  # videos a Google project may upload in a Pacific day; 0: any number
    daily_units: int = 0  # units of its other calls in a Pacific day; 0: any number
    channel_verified: bool = True  # else YouTube takes neither thumbnails nor videos over 15 minutes
    keeps_private: bool = False  # YouTube leaves videos private, whatever it is asked
    webhook_url: str = ""
    webhook_copies: int = 1  # how often each notice is sent

    @property
    def key(self) -> str:
        return "settings"

    def update(self, changes: dict[str, Any]) -> None:
        """Change several at once or none. Raises ValueError naming each unknown name or wrong type."""
        known = {spec.name: type(getattr(SandboxSettings, spec.name)) for spec in fields(self)}
        faults = [fault for name, value in changes.items() if (fault := _fault(known, name, value))]
        if faults:
            raise ValueError("; ".join(faults))
        for name, value in changes.items():
            setattr(self, name, known[name](value))


_CHOICES = {
    "auto_consent": ("ask", "approve", "deny"),
    "content_range_counts": ("bytes", "last_index"),
    "dead_upload_status": ("FAILED", "PROCESSING_UPLOAD"),
    "late_reject_status": ("silent", "FAILED"),
    "instagram_code_answer": ("data", "flat"),
}


def _fault(known: dict[str, type], name: str, value: Any) -> str | None:
    if name not in known:
        return f"{name}: unknown setting"
    kind = known[name]
    accepted = (int, float) if kind is float else (kind,)
    if not isinstance(value, accepted) or (isinstance(value, bool) and kind is not bool):
        return f"{name}: must be {kind.__name__}"
    if isinstance(value, int | float) and value < 0:
        return f"{name}: must not be negative"
    if name == "speed" and value == 0:
        return "speed: must be above 0"
    if name in _CHOICES and value not in _CHOICES[name]:
        return f"{name}: must be one of {', '.join(_CHOICES[name])}"
    return None
