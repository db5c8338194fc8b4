"""Bodies as somebody would really send them, for the OpenAPI document: by operation, where made-up ones mislead.

What is not here is made up from the schema (see `openapi.example`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.platforms import registry

ID = "01935d2f-6c1e-7c4a-9b57-2f4a7d8e9c10"
OTHER_ID = "01935d2f-6c1e-7c4a-9b57-2f4a7d8e9c11"
WHEN = "2027-01-31T18:00:00+01:00"
POST: Mapping[str, Any] = {
    "video_id": ID,
    "title": "How bread is baked",
    "caption": "Twelve hours in one minute. #bread",
    "scheduled_at": WHEN,
    "timezone": "Europe/Berlin",
    "labels": ["bakery"],
    "metadata": {"row": 17},
    "targets": [{"channel_id": ID}, {"channel_id": OTHER_ID, "title": "Bread, hour by hour"}],
}
BULK_POST = {
    "video_id": ID, "caption": "Good morning.", "scheduled_at": WHEN, "targets": [{"channel_id": ID}],
}  # fmt: skip

# By the name of a field: what answers hold of a post that is scheduled.
USUAL: Mapping[str, str | None] = {
    "avatar_url": None,
    "caption": "Twelve hours in one minute. #bread",
    "channel": "bakery",
    "code": "MISSED",
    "content_type": "video/mp4",
    "created_via": "api",
    "display_name": "The Bakery",
    "duplicate_of": None,
    "error": None,
    "filename": "bread.mp4",
    "fit": None,
    "hold": None,
    "hold_until": None,
    "operation": "commit",
    "outcome": "Published",
    "permalink": None,
    "platform": registry.names()[0],
    "published_at": None,
    "remote_id": None,
    "rendition": None,
    "schedule_note": None,
    "scheduled_local": "2027-01-31T18:00:00",
    "sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "stage": "scheduled",
    "status": "scheduled",
    "timezone": "Europe/Berlin",
    "title": "How bread is baked",
    "type": "target.published",
    "username": "bakery",
}
BODIES: Mapping[str, Any] = {
    "choose_video_thumbnail": {"at_seconds": 3.2},
    "create_api_key": {"name": "spreadsheet", "scopes": ["read", "write", "publish"]},
    "create_connection": {"platform": registry.names()[0]},
    "create_invitation": {"email": "ada@example.com", "role": "editor"},
    "create_post": POST,
    "create_posts": {"posts": [BULK_POST]},
    "create_upload": {"kind": "url", "url": "https://example.com/bread.mp4", "title": "How bread is baked"},
    "create_webhook": {"url": "https://example.com/hooks/video", "events": ["target.*"]},
    "create_workspace": {"name": "Bakery"},
    "edit_video": {"title": "How bread is baked", "description": "Twelve hours in one minute."},
    "import_posts": [BULK_POST],
    "login": {"email": "ada@example.com", "password": "correct horse battery"},
    "register": {"email": "ada@example.com", "password": "correct horse battery", "name": "Ada"},
    "repost_post": {"at_next_allowed": True, "caption": "Once more, for those who slept."},
    "resolve_target": {"outcome": "published", "url": "https://example.com/videos/17"},
    "sign_upload_parts": {"part_numbers": [1, 2, 3]},
    "retry_target": {"scheduled_at": WHEN},
    "update_member": {"role": "editor"},
    "update_post": {"caption": "Twelve hours in a minute.", "scheduled_at": WHEN},
    "update_target": {"title": "Bread", "scheduled_at": WHEN},
    "update_webhook": {"events": ["target.published", "target.failed"], "status": "active"},
    "update_workspace": {"name": "Bakery", "late_after_seconds": 7200},
}
CSV = f"video_id,channel_ids,caption,scheduled_at\n{ID},{ID};{OTHER_ID},Good morning.,{WHEN}\n"
JSON_LINES = (
    f'{{"video_id": "{ID}", "channel_id": "{ID}", "caption": "Good morning.", "scheduled_at": "{WHEN}"}}\n'
)
