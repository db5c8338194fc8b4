"""Rows by the hundred thousand, made by the database itself: posts of a workspace with a target each, and events.

Number n of `count` was made 30 n seconds into a stretch that ends now: a million within a year. One in ten has the
label `tenth`, the first 100 have `first`. The first nine tenths went out (due over the past year, in order), the rest
wait (for the next 30 days). One in 97 failed, one in 193 nobody knows the end of. The last of all stand on the second
channel: what a list finds last when it goes through everything.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from sqlalchemy import text

from app import clock
from app.extensions import db
from tests.rig import PLATFORM

SECOND = 200  # targets on the second channel


@dataclass(frozen=True)
class Owners:
    """Whose rows they are."""

    workspace_id: uuid.UUID
    channel_id: uuid.UUID
    second_channel_id: uuid.UUID
    video_id: uuid.UUID


STATE = """CASE WHEN n % 97 = 0 THEN 'failed' WHEN n % 193 = 1 THEN 'unknown'
                WHEN n * 10 > :count * 9 THEN 'scheduled' ELSE 'published' END"""
STATUS = STATE.replace("unknown", "action_required")
MINUTES = """CASE WHEN n * 10 > :count * 9 THEN (n - :count * 0.9) / :count * 432000 + 60
                  ELSE (n - :count * 0.9) * 584000 / :count END"""
LABELS = """CASE WHEN n <= 100 THEN '["first"]' WHEN n % 10 = 0 THEN '["tenth"]' ELSE '[]' END"""
STATEMENTS = (
    """
    INSERT INTO posts (id, workspace_id, video_id, title, caption, options, labels, metadata, status, created_via,
                       scheduled_at, version, created_at, updated_at)
    SELECT {post_id}, :workspace_id, :video_id, '', 'One of many', '{{}}', {labels}, '{{}}', {status}, 'bench',
           {due}, 1, {made}, {made}
    FROM {numbers}""",
    """
    INSERT INTO targets (id, workspace_id, post_id, channel_id, video_id, platform, content_hash, options, state,
                         due_at, own_time, late_until, if_over_quota, next_at, fence, attempts, is_slow_commit,
                         commit_bytes, progress_bytes, retries, asked, created_at, updated_at)
    SELECT {target_id}, :workspace_id, {post_id},
           CASE WHEN n > :count - :second THEN {second_channel} ELSE {channel} END, :video_id, :platform,
           {hash}, '{{}}', {state}, {due}, false, {due}, 'fail', CASE WHEN n * 10 > :count * 9 THEN {due} END,
           0, 0, false, 0, 0, 0, 0, {now}, {now}
    FROM {numbers}""",
    """
    INSERT INTO events (workspace_id, type, post_id, target_id, subject_id, data, created_at)
    SELECT :workspace_id, 'target.published', {post_id}, {target_id}, {target_id}, '{{}}', {now}
    FROM {numbers}""",
)
DIALECTS = {
    "postgresql": {
        "post_id": "(lpad(to_hex(:began + n * 30000), 12, '0') || '70008000' || lpad(to_hex(n), 12, '0'))::uuid",
        "target_id": "(lpad(to_hex(:began + n * 30000), 12, '0') || '70018000' || lpad(to_hex(n), 12, '0'))::uuid",
        "channel": "CAST(:channel_id AS uuid)",
        "second_channel": "CAST(:second_channel_id AS uuid)",
        "numbers": "generate_series(CAST(1 AS bigint), CAST(:count AS bigint)) AS numbers (n)",
        "hash": "md5(n::text)",
        "now": "now()",
        "made": "now() - (:count - n) * interval '30 seconds'",
        "labels": f"({LABELS})::jsonb",
        "due": f"now() + ({MINUTES}) * interval '1 minute'",
    },
    "sqlite": {
        "post_id": "printf('%012x70008000%012x', :began + n * 30000, n)",
        "target_id": "printf('%012x70018000%012x', :began + n * 30000, n)",
        "channel": ":channel_id",
        "second_channel": ":second_channel_id",
        "numbers": "(WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < :count) SELECT n FROM n)",
        "hash": "printf('%064x', n)",
        "now": "strftime('%Y-%m-%d %H:%M:%f000', 'now')",
        "made": "strftime('%Y-%m-%d %H:%M:%f000', julianday('now') - (:count - n) * 30.0 / 86400)",
        "labels": LABELS,
        "due": f"strftime('%Y-%m-%d %H:%M:%f000', julianday('now') + ({MINUTES}) / 1440)",
    },
}


def fill(owners: Owners, count: int) -> None:
    """Insert so many of each and have the database look at what it holds. Commits; needs an empty workspace."""
    dialect = db.engine.dialect.name
    words = DIALECTS[dialect] | {"state": STATE, "status": STATUS}
    if dialect == "postgresql":
        db.session.execute(text("SET LOCAL statement_timeout = 0"))
    began = int(clock.now().timestamp() * 1000) - count * 30_000
    ids = {name: id_.hex if dialect == "sqlite" else id_ for name, id_ in vars(owners).items()}
    values = ids | {"platform": PLATFORM, "count": count, "began": began, "second": min(SECOND, count // 10)}
    for statement in STATEMENTS:
        sql = statement.format(**words)
        db.session.execute(text(sql), {name: value for name, value in values.items() if f":{name}" in sql})
    db.session.commit()
    if dialect == "postgresql":
        db.session.execute(text("ANALYZE"))
        db.session.commit()
