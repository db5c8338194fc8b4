"""YouTube's own rules; what all platforms promise is in test_contract.py."""

from __future__ import annotations

from app.platforms import _youtube_rules as rules
from tests.platforms.sources import Case

PUBLIC = {"privacy_status": "public", "made_for_kids": False}
CASE = Case(
    name="youtube",
    options=PUBLIC,
    scopes=frozenset(rules.SCOPES),
    commit="youtube.update",
    ask="youtube.videos",
    refresh="youtube.token",
    begin="youtube.session",
    stretch=17_300_000,
    handle_seconds=None,
    secret_keys=("session",),
    hijack={},
    hijack_headers={"Location": "https://evil.example/upload?upload_id=stolen"},
    comment="youtube.comment",
    commits_bytes=False,
    repeats_commit=True,
    rotates=False,
    begins_in_body=False,
)
