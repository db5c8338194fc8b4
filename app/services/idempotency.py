"""A request with an `Idempotency-Key` takes effect once: the same again is answered from what was stored.

The answer is stored in the transaction of the effect, so neither can be there without the other. Only success
is stored; a refused request changed nothing and may simply be repeated. An answer that holds a secret or a signed
link is stored sealed.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import delete, func, select

from app import clock
from app.domain.principal import Principal
from app.exceptions import StateConflictError, ValidationError
from app.extensions import db, key_ring
from app.models import IdempotencyKey
from app.models.base import JsonObject, new_id

Remember = Callable[[Any], None]  # called with a result just before the commit that makes it true
LIFE = timedelta(hours=24)
MAX_KEY = 255  # characters


def forget(_result: Any) -> None:
    """Remember nothing: for callers without a key."""


@dataclass(frozen=True)
class Claim:
    """The right to take effect under this key, for as long as the transaction lasts."""

    key: str
    workspace_id: uuid.UUID
    principal: str
    request_hash: str


@dataclass(frozen=True)
class Replay:
    """What was answered the first time."""

    status: int
    body: JsonObject


def claim(key: str, principal: Principal, *, request: bytes) -> Claim | Replay:
    """Return the stored answer to this request, or the right to answer it, in a transaction now begun.

    `request` is everything that makes the request what it is: method, path, body. Raises ValidationError for
    an unusable key or one used for something else, StateConflictError while the first is still under way.
    """
    if not 1 <= len(key) <= MAX_KEY or not key.isascii() or not key.isprintable():
        problem = f"Must be 1 to {MAX_KEY} printable ASCII characters, found {len(key)}."
        raise ValidationError(details={"Idempotency-Key": [problem]})
    wanted = Claim(key, principal.workspace_id, principal.name, hashlib.sha256(request).hexdigest())
    _lock(wanted)
    row = db.session.scalar(select(IdempotencyKey).where(*_same(wanted)))
    if row is None or row.status is None or row.expires_at <= clock.now():
        db.session.execute(delete(IdempotencyKey).where(*_same(wanted)))
        return wanted
    if row.request_hash != wanted.request_hash:
        problem = "This key was used for another request. Use a new key, or repeat that request exactly."
        raise ValidationError(details={"Idempotency-Key": [problem]})
    return Replay(row.status, _opened(row))


def claim_again(key: str, principal: Principal, *, request: bytes) -> Claim:
    """Return the right to answer a request whose first claim was let go, to ask others in no transaction.

    Raises StateConflictError when another request answered it meanwhile, and what `claim` raises.
    """
    again = claim(key, principal, request=request)
    if isinstance(again, Replay):
        raise StateConflictError("Another request with this Idempotency-Key was answered meanwhile.")
    return again


def _opened(row: IdempotencyKey) -> JsonObject:
    if row.body_encrypted is None:
        return row.body or {}
    opened: JsonObject = json.loads(key_ring().decrypt(row.body_encrypted, context=_place(row.id)))
    return opened


def _place(id_: uuid.UUID) -> str:
    return f"idempotency_keys:body:{id_}"


def store(wanted: Claim, *, status: int, body: JsonObject, sealed: bool = False) -> None:
    """Keep the answer, in the transaction of the effect; `sealed`: it holds a secret or a signed link."""
    id_ = new_id()
    db.session.add(
        IdempotencyKey(
            id=id_,
            workspace_id=wanted.workspace_id,
            principal=wanted.principal,
            key=wanted.key,
            request_hash=wanted.request_hash,
            status=status,
            body=None if sealed else body,
            body_encrypted=key_ring().encrypt(json.dumps(body), context=_place(id_)) if sealed else None,
            expires_at=clock.now() + LIFE,
        )
    )


def _same(wanted: Claim) -> list[Any]:
    return [
        IdempotencyKey.workspace_id == wanted.workspace_id,
        IdempotencyKey.principal == wanted.principal,
        IdempotencyKey.key == wanted.key,
    ]


def _lock(wanted: Claim) -> None:
    """Let one request with this key through at a time. SQLite has one writer anyway, and the second waits."""
    if db.engine.dialect.name != "postgresql":
        return
    name = f"{wanted.workspace_id}:{wanted.principal}:{wanted.key}"
    number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], signed=True)
    if not db.session.scalar(select(func.pg_try_advisory_xact_lock(number))):
        raise StateConflictError("A request with this Idempotency-Key is still under way. Ask again shortly.")
