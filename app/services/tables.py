"""Posts as a table: what an import reads, and what an export writes, of which an import makes the posts again.

A row is a post, or one target of a post whose other targets stand in other rows with the same `post_id`.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from flask import json as http_json  # as strict as bodies are
from sqlalchemy import select
from sqlalchemy.orm import selectinload

from app import clock
from app.domain.principal import Principal
from app.domain.target_state import STATUS
from app.exceptions import AppException, ValidationError
from app.extensions import db
from app.models import Post, Target
from app.services import post_list
from app.services.bulk import check_number
from app.services.post_list import Filter

BATCH = 200  # posts read at a time for an export
MOST_SHOWN = 1000  # characters of what was found instead of a table
# Columns by what becomes of them: of the post itself, of the video it is to have, of one target, of nothing.
OF_POST = (
    "scheduled_at", "scheduled_local", "timezone", "late_until", "draft", "publish_now", "if_over_quota", "labels",
    "options", "fit", "metadata",
)  # fmt: skip
OF_SOURCE = {f"video_{name}": name for name in ("url", "title", "description", "filename")}
OF_POST_OR_TARGET = ("video_id", "title", "caption")
OF_TARGET = {f"target_{name}": name for name in ("scheduled_at", "options", "fit")}
OF_RESULT = (
    "target_id", "status", "platform", "channel", "due_at", "published_at", "permalink", "error_code", "error_message",
)  # fmt: skip
IMPORTED = (
    "post_id", "channel_ids", "channel_id", *OF_POST_OR_TARGET, *OF_SOURCE, *OF_POST, *OF_TARGET,
)  # fmt: skip
EXPORTED = (
    "post_id", "target_id", "status", "platform", "channel", "channel_id", "video_id", "title", "caption", "due_at",
    "published_at", "permalink", "labels", "error_code", "error_message", "draft", "scheduled_at", "timezone",
    "late_until", "if_over_quota", "options", "fit", "metadata", *OF_TARGET,
)  # fmt: skip
LISTS = ("channel_ids", "labels")
OBJECTS = ("options", "fit", "metadata", "target_options", "target_fit")  # as JSON
SAME = (*OF_POST, *OF_SOURCE)  # in all rows of a post
GUARDED = re.compile(r"'*[=+\-@\t\r]")  # with an apostrophe before it no spreadsheet takes it for a formula
Row = dict[str, Any]
Item = Row | AppException


# -- reading


def read_csv(text: str) -> dict[int, Item]:
    """Return what a table's rows say as bodies of posts, or as the errors in them, by the number of their first row.

    The first line names the columns. `channel_ids` and `labels` hold several values parted by `;`, OBJECTS are JSON.
    Raises ValidationError when the table as a whole cannot be read.
    """
    reader = csv.DictReader(io.StringIO(text.removeprefix("\ufeff"), newline=""))
    try:
        names, rows = list(reader.fieldnames or ()), list(reader)
    except csv.Error as fault:
        raise ValidationError(details={"rows": [f"This is not a readable CSV table: {fault}."]}) from None
    _check_columns(names)
    check_number(len(rows))
    return _posts([_read(row) for row in rows])


def read_json_lines(text: str) -> dict[int, Item]:
    """Return what a table says that has a JSON object a line instead of a row, as `read_csv` does."""
    lines = [line for line in text.removeprefix("\ufeff").split("\n") if line.strip()]
    check_number(len(lines))
    return _posts([_parsed(line) for line in lines])


def _check_columns(names: Sequence[str]) -> None:
    known = (*IMPORTED, *OF_RESULT)
    lacking = {"video_id", "video_url"}.isdisjoint(names) or {"channel_id", "channel_ids"}.isdisjoint(names)
    if lacking or len(set(names)) < len(names) or not set(names) <= set(known):
        shown = ", ".join(names)[:MOST_SHOWN] or "none"
        found = f"Found the columns {shown}; known are {', '.join(known)}, each once."
        needed = "video_id or video_url, and channel_ids or channel_id, are needed."
        raise ValidationError(details={"columns": [f"{found} {needed}"]})


def _read(row: Mapping[Any, Any]) -> Item:
    """Return the values of a row; those it does not have are left out.

    In rows with a `post_id` texts are taken as they stand, empty ones too: so an export gives back what was there.
    """
    if None in row or None in row.values():
        return ValidationError(details={"row": ["This row has more or fewer values than there are columns."]})
    exact = ("title", "caption") if row.get("post_id", "").strip() else ()
    values: Row = {
        name: _unguarded(value) if name in exact else _unguarded(value.strip())
        for name, value in row.items()
        if value.strip() or name in exact
    }
    for name in OBJECTS:
        try:
            values |= {name: http_json.loads(values[name])} if name in values else {}
        except (ValueError, RecursionError):
            return ValidationError(details={name: ["This is not JSON."]})
    return values | {name: _parted(values[name]) for name in LISTS if name in values}


def _parsed(line: str) -> Item:
    try:
        row = http_json.loads(line)
    except (ValueError, RecursionError):
        row = None
    if not isinstance(row, dict):
        return ValidationError(details={"row": ["This line is not a JSON object."]})
    unknown = [name for name in row if name not in (*IMPORTED, *OF_RESULT)]
    if unknown:
        return ValidationError(details={name: ["Unknown field."] for name in unknown})
    return {name: value for name, value in row.items() if value is not None}


def _parted(text: str) -> list[str]:
    """Return values parted by `;`; a JSON list of texts may stand for those that contain one."""
    try:
        found = http_json.loads(text) if text.startswith("[") else None
    except (ValueError, RecursionError):
        found = None
    if isinstance(found, list) and all(isinstance(each, str) for each in found):
        return found
    return [part.strip() for part in text.split(";") if part.strip()]


# -- rows as posts


def _posts(rows: Sequence[Item]) -> dict[int, Item]:
    """Return a body for each post, by the number of its first row; an error of one row is that of its post."""
    numbers: dict[str, int] = {}
    together: dict[int, list[Item]] = {}
    for number, row in enumerate(rows):
        name = str(row.get("post_id") or "") if isinstance(row, dict) else ""
        together.setdefault(numbers.setdefault(name, number) if name else number, []).append(row)
    return {number: _post(each) for number, each in together.items()}


def _post(rows: Sequence[Item]) -> Item:
    wanted: list[Row] = []
    for row in rows:
        if isinstance(row, AppException):
            return row
        if row.get("status") != "cancelled":
            wanted.append(row)
    if not wanted:
        return ValidationError(
            details={"status": ["All of this post was cancelled. Empty its status to import it."]}
        )
    first = wanted[0]
    different = [name for name in SAME if any(row.get(name) != first.get(name) for row in wanted)]
    if different:
        problem = "Rows with the same post_id are one post and must agree in this."
        return ValidationError(details={name: [problem] for name in different})
    body = {name: first[name] for name in (*OF_POST, *OF_POST_OR_TARGET) if name in first}
    if source := {name: first[column] for column, name in OF_SOURCE.items() if column in first}:
        body["video"] = source
    return body | {"targets": [target for row in wanted for target in _targets(row, first)]}


def _targets(row: Row, first: Row) -> Iterator[Row]:
    """Yield a target for each channel of a row; of what a post says too, what differs from the post's."""
    own = {name: row[name] for name in OF_POST_OR_TARGET if name in row and row[name] != first.get(name)}
    own |= {name: row[column] for column, name in OF_TARGET.items() if column in row}
    several = row.get("channel_ids", [])
    channels = [*(several if isinstance(several, list) else [several])]
    channels += [row["channel_id"]] if "channel_id" in row else []
    for channel_id in channels:
        yield {"channel_id": channel_id} | own


# -- writing


def export_rows(principal: Principal, which: Filter) -> Iterator[Row]:
    """Yield a row for each target of the workspace, oldest post first, without holding them all.

    `which`: only those of these posts; with a channel only its own.
    """
    cursor = None
    whole = select(Post).options(selectinload(Post.targets).joinedload(Target.channel))
    while True:
        page = post_list.find(whole, principal, which, limit=BATCH, cursor=cursor, newest_first=False)
        for post in page.data:
            for target in post.targets:
                if which.channel_id in {None, target.channel_id}:
                    yield _row(post, target)
        cursor = page.next_cursor
        if cursor is None:
            return
        db.session.expunge_all()


def _row(post: Post, target: Target) -> Row:
    error = target.error or {}
    return {
        "post_id": str(post.id),
        "target_id": str(target.id),
        "status": STATUS[target.state],  # type: ignore[index]  # a plain string column
        "platform": target.platform,
        "channel": target.channel.username,
        "channel_id": str(target.channel_id),
        "video_id": str(target.video_id),
        "title": post.title if target.title is None else target.title,
        "caption": post.caption if target.caption is None else target.caption,
        "due_at": _instant(target.due_at),
        "published_at": _instant(target.published_at),
        "permalink": target.permalink,
        "labels": post.labels,
        "error_code": error.get("code"),
        "error_message": error.get("message"),
        "draft": post.status == "draft" or None,
        "scheduled_at": None if post.status == "draft" else _instant(post.scheduled_at),
        "timezone": post.timezone,
        "late_until": _instant(post.late_until),
        "if_over_quota": post.targets[0].if_over_quota,
        "options": post.options or None,
        "fit": post.fit,
        "metadata": post.details or None,
        "target_scheduled_at": _instant(target.due_at) if target.own_time else None,
        "target_options": target.options or None,
        "target_fit": target.fit,
    }


def _instant(instant: datetime | None) -> str | None:
    return clock.isoformat(instant) if instant else None


def as_csv(rows: Iterator[Row]) -> Iterator[str]:
    """Yield the rows as CSV (RFC 4180), the names of the columns first; values as `read_csv` takes them.

    A value that a spreadsheet would take for a formula gets an apostrophe before it, which an import takes away.
    """
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, EXPORTED)
    writer.writeheader()
    for row in rows:
        writer.writerow({name: _cell(value) for name, value in row.items()})
        yield buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()
    yield buffer.getvalue()


def _cell(value: Any) -> Any:
    if value is True:
        return "true"
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False)
    text = _joined(value) if isinstance(value, list) else value
    return f"'{text}" if isinstance(text, str) and GUARDED.match(text) else text


def _joined(values: Sequence[str]) -> str:
    is_plain = not any(";" in each or each != each.strip() or each.startswith("[") for each in values)
    return ";".join(values) if is_plain else json.dumps(values, ensure_ascii=False)


def _unguarded(text: str) -> str:
    return text[1:] if text.startswith("'") and GUARDED.match(text) else text


def as_json_lines(rows: Iterator[Row]) -> Iterator[str]:
    """Yield the rows as JSON, one a line."""
    for row in rows:
        yield json.dumps(row, ensure_ascii=False) + "\n"
