"""Many posts in one request: each stands or falls alone and has its own answer."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from app.database_errors import as_told
from app.domain.principal import Principal
from app.exceptions import AppException, ServiceUnavailableError, ValidationError
from app.extensions import db
from app.logging_config import get_logger
from app.models import Post
from app.monitoring import capture_error
from app.services import idempotency, posts
from app.services.idempotency import MAX_KEY, Replay
from app.services.lookups import Lookups
from app.services.planning import PostInput

logger = get_logger(__name__)
MOST = 500  # items of one request
LONGEST_KEY = MAX_KEY - len(f":{MOST}")  # characters; each item has its number behind it


@dataclass(frozen=True)
class Answer:
    """How one item ended: an HTTP status beside a post, the stored answer of an earlier request, or an error."""

    index: int
    status: int
    post: Post | None = None
    replayed: Mapping[str, Any] | None = None
    error: Mapping[str, Any] | None = None


def create_each(
    items: Mapping[int, PostInput | AppException],
    principal: Principal,
    *,
    dry_run: bool = False,
    key: str | None = None,
    dump: Any = None,
) -> list[Answer]:
    """Make a post of each item, one transaction each; an item that is an error already is answered with it.

    `items` have the index they are answered under. With `key` each takes effect once under `key:index`; `dump`
    writes a post as it is stored for that. The hosts that videos are to be fetched from are looked up together.
    """
    if key is not None and len(key) > LONGEST_KEY:
        problem = f"Found {len(key)} characters; for many posts at most {LONGEST_KEY} fit."
        raise ValidationError(details={"Idempotency-Key": [problem]})
    with Lookups(_addresses(items.values())) as hosts:
        return [
            _create(index, item, principal, hosts, dry_run=dry_run, key=key and f"{key}:{index}", dump=dump)
            for index, item in items.items()
        ]


def _addresses(items: Iterable[PostInput | AppException]) -> Iterator[str]:
    for item in items:
        source = None if isinstance(item, AppException) else item.get("video")
        if source:
            yield source["url"]


def _create(
    index: int,
    item: PostInput | AppException,
    principal: Principal,
    hosts: Lookups,
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
            return Answer(index, 200, post=posts.preview(item, principal, check_url=hosts.check_url))
        return _stored(index, item, principal, hosts, key=key, dump=dump)
    except AppException as error:
        return Answer(index, error.status, error=error.to_dict())
    except SQLAlchemyError as trouble:  # what was made of the others has to be told all the same
        told = _database_error(trouble)
        return Answer(index, told.status, error=told.to_dict())
    finally:
        db.session.rollback()  # of what was refused, and of what a dry run has only read


def _database_error(trouble: SQLAlchemyError) -> AppException:
    told = as_told(trouble)
    if not isinstance(told, ServiceUnavailableError):
        logger.error("one of many posts met a database error", exc_info=trouble)
        capture_error(trouble)
    return told


def _stored(
    index: int, item: PostInput, principal: Principal, hosts: Lookups, *, key: str | None, dump: Any
) -> Answer:
    create = partial(posts.create, item, principal, check_url=hosts.check_url)
    if key is None:
        return Answer(index, 201, post=create())
    request = json.dumps(item, default=str, sort_keys=True).encode()
    claim = idempotency.claim(key, principal, request=request)
    if isinstance(claim, Replay):
        return Answer(index, claim.status, replayed=claim.body)
    apart = bool(item.get("video"))
    if apart:
        db.session.rollback()  # a host is looked up before an import is stored: no transaction is open meanwhile

    def remember(post: Post) -> None:
        taken = idempotency.claim_again(key, principal, request=request) if apart else claim
        idempotency.store(taken, status=201, body=dump(post))

    return Answer(index, 201, post=create(remember=remember))


def check_number(found: int) -> None:
    """Raise ValidationError when there are too many items, or none."""
    if not 1 <= found <= MOST:
        raise ValidationError(details={"posts": [f"Found {found}; 1 to {MOST} are taken at a time."]})
