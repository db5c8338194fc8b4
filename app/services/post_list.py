"""The list of posts, by when they were made: whatever the filter, a page costs the same with a million of them."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, func, select, true, type_coerce
from sqlalchemy.dialects.postgresql import JSONB

from app.domain.principal import Principal
from app.extensions import db
from app.models import Post, Target
from app.models.base import first_id
from app.models.page import Led, Page, Within, paginate, sift
from app.services import posts, worklist

FEW = 500  # a channel with no more posts than this has them listed by their ids
# An id is made before its row's `created_at`, in one transaction, of which none lasts longer; and where more
# than one id a millisecond is made, the later ones are a little ahead of their time.
ID_ASIDE = timedelta(minutes=1)
Condition = ColumnElement[bool]


@dataclass(frozen=True)
class Filter:
    """Which posts; None leaves none out. `created_to` is exclusive."""

    status: str | None = None
    label: str | None = None
    channel_id: uuid.UUID | None = None
    created_from: datetime | None = None
    created_to: datetime | None = None


def list_posts(
    principal: Principal,
    which: Filter = Filter(),
    *,
    limit: int,
    cursor: str | None = None,
    sort: str = "-created_at",
) -> Page[Post]:
    """Return the workspace's posts with their targets; `sort`: -created_at, newest first, or created_at.

    A filter by label, or by one channel of a workspace with many posts, may leave a page short although more
    follow: see `sift`.
    """
    query = posts.whole(select(Post))
    return find(query, principal, which, limit=limit, cursor=cursor, newest_first=sort == "-created_at")


def find(
    query: Select[Post],
    principal: Principal,
    which: Filter,
    *,
    limit: int,
    cursor: str | None,
    newest_first: bool,
) -> Page[Post]:
    """Return a page of the posts that `which` names, as `query` loads them."""
    has = _has(principal, which.status)
    own = [column == value for column, value in has]
    wanted = [*_wanted(which)]
    few = _few_of(principal, which.channel_id) if which.channel_id else None
    order: dict[str, Any] = {"limit": limit, "cursor": cursor, "newest_first": newest_first}
    if few is not None:
        return paginate(query.where(*own, Post.id.in_(few), *wanted), by=(Post.id,), **order)
    if which.channel_id is not None:
        wanted.append(_is_on(which.channel_id))
    among, led_by = and_(true(), *own[:-1]), has[-1]
    if not wanted:
        return paginate(query.where(among), by=(Post.id,), led_by=led_by, **order)
    within = _ids_within(which)
    return sift(query, by=Post.id, among=among, wanted=and_(*wanted), within=within, led_by=led_by, **order)


def _has(principal: Principal, status: str | None) -> list[Led]:
    """Return what the posts have in common, in the order of the index that has just these by their ids."""
    own: Led = (Post.workspace_id, principal.workspace_id)
    return [own] if status is None else [own, (Post.status, status)]


def _wanted(which: Filter) -> Iterator[Condition]:
    """Yield what can only be seen on the post itself."""
    if which.label is not None:
        yield _is_labelled(which.label)
    if which.created_from is not None:
        yield Post.created_at >= which.created_from
    if which.created_to is not None:
        yield Post.created_at < which.created_to


def _is_labelled(label: str) -> Condition:
    if db.engine.dialect.name == "postgresql":
        found: Condition = type_coerce(Post.labels, JSONB).contains([label])
        return found
    each = func.json_each(Post.labels).table_valued("value")
    return select(each.c.value).where(each.c.value == label).exists()


def _is_on(channel_id: uuid.UUID) -> Condition:
    """Ask this of one post after the other: as EXISTS, PostgreSQL may read all of the channel's targets instead."""
    its = select(Target.id).where(Target.post_id == Post.id, Target.channel_id == channel_id)
    return its.scalar_subquery().is_not(None)


def _few_of(principal: Principal, channel_id: uuid.UUID) -> Sequence[uuid.UUID] | None:
    """Return the posts on a channel, none if it is another workspace's; None when there are many."""
    query = select(Target.post_id).where(worklist.of_channel(principal, channel_id))
    # In the order of an index, which is then used.
    found = db.session.scalars(query.order_by(Target.content_hash).limit(FEW + 1)).all()
    return found if len(found) <= FEW else None


def _ids_within(which: Filter) -> Within:
    """Return between which ids the posts are that were made in this time: ids begin with the time."""
    low, high = which.created_from, which.created_to
    return low and first_id(low, later=-ID_ASIDE), high and first_id(high, later=ID_ASIDE)
