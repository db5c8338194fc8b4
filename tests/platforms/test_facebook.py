"""Facebook's own rules; what all platforms promise is in test_contract.py."""

from __future__ import annotations

from app.platforms import _facebook_rules as rules
from tests.platforms.sources import Case

CASE = Case(
    name="facebook",
    options={},
    scopes=frozenset(rules.SCOPES),
    commit="facebook.finish",
    ask="facebook.status",
    refresh="facebook.token",
    begin="facebook.start",
    stretch=17_300_000,
    handle_seconds=86_400,
    secret_keys=("upload_url",),
    hijack={"video_id": "7", "upload_url": "https://evil.example/video?token=stolen"},
    overdue={"dead_upload_status": "PROCESSING_UPLOAD"},
    comment="facebook.comment",
    commits_bytes=False,
    rotates=False,
    refreshes=False,
    has_verifier=False,
)
