"""Bodies nobody means well by: each ends in a clear refusal, never in an error of ours."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from app import clock
from tests import factories
from tests.factories import Person

pytestmark = pytest.mark.usefixtures("database_url")


def nested(depth: int) -> Any:
    found: Any = 1
    for _ in range(depth):
        found = {"a": [found]}
    return found


HOSTILE: list[dict[str, Any]] = [
    {"metadata": nested(100)},
    {"metadata": nested(450)},
    {"metadata": nested(3000)},
    {"metadata": {"a": "x" * 9000}},
    {"metadata": {"a": "\0"}},
    {"metadata": {"\ud800": 1}},
    {"metadata": {"a": 10**400}},
    {"options": {"tiktok": {"privacy_level": {"a": 1}}}},
    {"options": {"tiktok": {"privacy_level": "SELF_ONLY", "is_aigc": 1}}},
    {"options": {"tiktok": {"privacy_level": "SELF_ONLY", "video_cover_timestamp_ms": 10**400}}},
    {"options": {"tiktok": None}},
    {"options": []},
    {"labels": ["a" * 51]},
    {"labels": ["a"] * 21},
    {"labels": "abc"},
    {"title": "\0"},
    {"caption": "\ud83d"},
    {"caption": 7},
    {"scheduled_at": "2027-01-31T18:00:00Z" * 5},
    {"scheduled_at": "0000-00-00T00:00:00Z"},
    {"scheduled_at": 1800000000},
    {"scheduled_at": "2027-W05-7T10:00:00+01:00:00.5"},
    {"timezone": "/etc/passwd"},
    {"late_until": "9999-12-31T23:59:59-12:00"},
    {"video_id": "../../etc/passwd"},
    {"targets": []},
    {"targets": [{}]},
    {"targets": "all"},
    {"targets": [{"channel_id": "0" * 32}]},
    {"targets": [{"channel_id": "0" * 32, "state": "published"}]},
    {"workspace_id": "0" * 32},
    {"status": "published"},
]


@pytest.mark.parametrize("more", HOSTILE, ids=lambda more: next(iter(more)))
def test_a_hostile_body_is_no_error_of_ours(
    app: Flask, owner: Person, client: FlaskClient, auth_headers: dict[str, str], more: dict[str, Any]
) -> None:
    with app.app_context():
        video, channel = factories.make_video(owner.workspace_id), factories.make_channel(owner.workspace_id)
        body = {
            "video_id": str(video.id),
            "scheduled_at": clock.isoformat(clock.now() + timedelta(days=1)),
            "options": {"tiktok": {"privacy_level": "SELF_ONLY"}},
            "targets": [{"channel_id": str(channel.id)}],
        }
    text = _dumps(body | more)

    answer = client.post("/api/v1/posts", data=text, content_type="application/json", headers=auth_headers)

    assert answer.status_code in (201, 400, 404, 422), answer.text
    if answer.status_code != 201:
        assert answer.json["error"]["message"]


def _dumps(body: Any) -> str:
    import sys

    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(20_000)
    try:
        return json.dumps(body)
    finally:
        sys.setrecursionlimit(limit)
