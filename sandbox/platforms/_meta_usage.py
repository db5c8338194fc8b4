"""What the stand-ins' answers tell of the calls used, in the headers that Meta sends."""

from __future__ import annotations

import json

from sandbox.settings import SandboxSettings


def headers(settings: SandboxSettings, account_id: str | None) -> dict[str, str]:
    """Return the app's usage and, if an account's token was used, that account's."""
    quiet = {"total_cputime": 1, "total_time": 1}
    found = {"X-App-Usage": json.dumps({"call_count": settings.app_usage, **quiet})}
    if account_id is not None:
        entry = {"type": "pages", "call_count": settings.account_usage, **quiet}
        entry["estimated_time_to_regain_access"] = settings.regain_minutes
        found["X-Business-Use-Case-Usage"] = json.dumps({account_id: [entry]})
    return found
