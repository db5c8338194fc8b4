"""Many posts in one request: each stands or falls alone and has its own answer; and all posts as a table."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import selectinload

from app import clock
from app.domain.principal import Principal
from app.domain.target_state import STATUS
from app.exceptions import AppException, ValidationError
from app.extensions import db
from app.models import Post, Target
from app.services import idempotency, posts
from app.services.idempotency import Replay
from app.services.planning import PostInput

MOST = 500  # items of one request
BATCH = 200  # posts read at a time for an export
LISTS = ("channel_ids", "labels")
OBJECTS = ("options", "fit")  # as JSON
IMPORTED = (
    "video_id", "channel_ids", "title", "caption", "scheduled_at", "scheduled_local", "timezone", "late_until",
    "draft", "publish_now", "if_over_quota", "labels", "options", "fit",
)  # fmt: skip
EXPORTED = (
    "post_id", "target_id", "status", "platform", "channel", "channel_id", "video_id", "title", "caption", "due_at",
    "published_at", "permalink", "labels", "error_code", "error_message",
)  # fmt: skip


@dataclass(frozen=True)
class Answer:
    """How one item ended: an HTTP status beside a post, the stored answer of an earlier request, or an error."""

    index: int
    status: int
    post: Post | None = None
    replayed: Mapping[str, Any] | None = None
    error: Mapping[str, Any] | None = None


def create_each(
    items: Sequence[PostInput | AppException],
    principal: Principal,
    *,
    dry_run: bool = False,
    key: str | None = None,
    dump: Any = None,
) -> list[Answer]:
    """Make a post of each item, one transaction each; an item that is an error already is answered with it.

    With `key` each item takes effect once under `key:index`; `dump` writes a post as it is stored for that.
    """
    return [
        _create(index, item, principal, dry_run=dry_run, key=key and f"{key}:{index}", dump=dump)
        for index, item in enumerate(items)
    ]


def _create(
    index: int,
    item: PostInput | AppException,
    principal: Principal,
    *,
    dry_run: bool,
    key: str | None,
    dump: Any,
) -> Answer:
    try:
        if isinstance(item, AppException):
            raise item
        if not item.get("draft"):
            principal.check(role="editor", scope="publish")
        if dry_run:
            return Answer(index, 200, post=posts.preview(item, principal))
        return _stored(index, item, principal, key=key, dump=dump)
    except AppException as error:
        return Answer(index, error.status, error=error.to_dict())
    finally:
        db.session.rollback()  # of what was refused, and of what a dry run has only read


def _stored(index: int, item: PostInput, principal: Principal, *, key: str | None, dump: Any) -> Answer:
    if key is None:
        return Answer(index, 201, post=posts.create(item, principal))
    request = json.dumps(item, default=str, sort_keys=True).encode()
    claim = idempotency.claim(key, principal, request=request)
    if isinstance(claim, Replay):
        return Answer(index, claim.status, replayed=claim.body)

    def remember(post: Post) -> None:
        idempotency.store(claim, status=201, body=dump(post))

    return Answer(index, 201, post=posts.create(item, principal, remember=remember))


# -- tables


def read_csv(text: str) -> list[dict[str, Any] | AppException]:
    """Return each row of a table as a post's body, or the error that says what is wrong with it.

    The first line names the columns; `channel_ids` and `labels` hold several values parted by `;`, `options`
    and `fit` JSON. Raises ValidationError when the table as a whole cannot be read.
    """
    reader = csv.DictReader(io.StringIO(text.removeprefix("\ufeff"), newline=""))
    try:
        names, rows = list(reader.fieldnames or ()), list(reader)
    except csv.Error as fault:
        raise ValidationError(details={"rows": [f"This is not a readable CSV table: {fault}."]}) from None
    unknown = [name for name in names if name not in IMPORTED]
    if unknown or not {"video_id", "channel_ids"} <= set(names):
        problem = f"Found the columns {', '.join(names) or 'none'}; known are {', '.join(IMPORTED)}."
        raise ValidationError(details={"columns": [f"{problem} video_id and channel_ids are needed."]})
    check_number(len(rows))
    return [_body(row) for row in rows]


def check_number(found: int) -> None:
    """Raise ValidationError when there are too many items, or none."""
    if not 1 <= found <= MOST:
        raise ValidationError(details={"posts": [f"Found {found}; 1 to {MOST} are taken at a time."]})


def _body(row: Mapping[Any, Any]) -> dict[str, Any] | AppException:
    if None in row or None in row.values():
        return ValidationError(details={"row": ["This row has more or fewer values than there are columns."]})
    given = {name: value.strip() for name, value in row.items() if value.strip()}
    body: dict[str, Any] = {name: value for name, value in given.items() if name not in (*LISTS, *OBJECTS)}
    body["targets"] = [{"channel_id": each} for each in _parted(given.get("channel_ids", ""))]
    if "labels" in given:
        body["labels"] = _parted(given["labels"])
    for name in OBJECTS:
        try:
            body |= {name: json.loads(given[name])} if name in given else {}
        except (ValueError, RecursionError):
            return ValidationError(details={name: ["This is not JSON."]})
    return body


def _parted(text: str) -> list[str]:
    return [part.strip() for part in text.split(";") if part.strip()]


def export_rows(principal: Principal) -> Iterator[dict[str, Any]]:
    """Yield a row for each target of the workspace, oldest post first, without holding them all."""
    last = None
    while True:
        query = select(Post).where(Post.workspace_id == principal.workspace_id)
        query = query.where(Post.id > last) if last else query
        whole = selectinload(Post.targets).joinedload(Target.channel)
        found = db.session.scalars(query.order_by(Post.id).limit(BATCH).options(whole)).all()
        for post in found:
            yield from (_row(post, target) for target in post.targets)
        if len(found) < BATCH:
            return
        last = found[-1].id
        db.session.expunge_all()


def _row(post: Post, target: Target) -> dict[str, Any]:
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
        "due_at": clock.isoformat(target.due_at) if target.due_at else None,
        "published_at": clock.isoformat(target.published_at) if target.published_at else None,
        "permalink": target.permalink,
        "labels": post.labels,
        "error_code": error.get("code"),
        "error_message": error.get("message"),
    }


def as_csv(rows: Iterator[dict[str, Any]]) -> Iterator[str]:
    """Yield the rows as CSV (RFC 4180), the names of the columns first.

    A value that a spreadsheet would take for a formula gets an apostrophe before it.
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
    text = ";".join(value) if isinstance(value, list) else value
    return f"'{text}" if isinstance(text, str) and text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def as_json_lines(rows: Iterator[dict[str, Any]]) -> Iterator[str]:
    """Yield the rows as JSON, one a line."""
    for row in rows:
        yield json.dumps(row, ensure_ascii=False) + "\n"
