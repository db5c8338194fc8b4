"""Who is asking, and what they may do: a person by their role in the workspace, a program by its key's scopes."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

from app.exceptions import AuthorizationError

Role = Literal["viewer", "editor", "owner"]
Scope = Literal["read", "write", "publish"]

ROLES: tuple[Role, ...] = get_args(Role)  # each may do what the one before may
SCOPES: tuple[Scope, ...] = get_args(Scope)


@dataclass(frozen=True, kw_only=True)
class Principal:
    """The caller of one request, in one workspace. `user_id` of a key is whoever made it, if still known."""

    workspace_id: uuid.UUID
    user_id: uuid.UUID | None
    role: Role
    scopes: frozenset[Scope] = frozenset(SCOPES)
    via: Literal["session", "api_key"] = "session"
    session_id: uuid.UUID | None = None
    key_id: uuid.UUID | None = None

    @property
    def name(self) -> str:
        """A short text that tells callers apart, e.g. for rates and idempotency keys."""
        return f"api_key:{self.key_id}" if self.via == "api_key" else f"user:{self.user_id}"

    def check(self, *, role: Role, scope: Scope | None) -> None:
        """Raise AuthorizationError unless the caller has the role and the scope; no scope means people only."""
        if scope is None and self.via == "api_key":
            raise AuthorizationError("An API key cannot do this. Log in and send your access token.")
        if scope is not None and scope not in self.scopes:
            raise AuthorizationError(
                f"This API key does not have the scope {scope!r}.",
                {"required_scope": scope, "scopes": sorted(self.scopes)},
            )
        if ROLES.index(self.role) < ROLES.index(role):
            raise AuthorizationError(
                f"This needs the role {role!r}; {self._whose_role} is {self.role!r}.",
                {"required_role": role, "role": self.role},
            )

    @property
    def _whose_role(self) -> str:
        if self.via == "api_key":
            return "an API key acts in the lesser role of its scopes and its maker, which here"
        return "yours in this workspace"


def role_of_key(scopes: Iterable[str], *, maker: Role) -> Role:
    """Return the role a key acts in: what its scopes ask for, never an owner's, never above its maker's own."""
    asked: Role = "viewer" if set(scopes) <= {"read"} else "editor"
    return min(asked, maker, key=ROLES.index)
