from __future__ import annotations

import uuid

import pytest

from app.domain.principal import ROLES, Principal, Role, Scope, role_of_key
from app.exceptions import AuthorizationError

WORKSPACE, USER, KEY = uuid.uuid4(), uuid.uuid4(), uuid.uuid4()


def person(role: Role) -> Principal:
    return Principal(workspace_id=WORKSPACE, user_id=USER, role=role)


def key(*scopes: Scope) -> Principal:
    return Principal(
        workspace_id=WORKSPACE,
        user_id=USER,
        role=role_of_key(scopes, maker="owner"),
        scopes=frozenset(scopes),
        via="api_key",
        key_id=KEY,
    )


@pytest.mark.parametrize(
    ("have", "need", "allowed"),
    [
        ("viewer", "viewer", True),
        ("viewer", "editor", False),
        ("editor", "viewer", True),
        ("editor", "owner", False),
        ("owner", "editor", True),
    ],
)
def test_each_role_may_do_what_the_one_before_may(*, have: Role, need: Role, allowed: bool) -> None:
    if allowed:
        person(have).check(role=need, scope="write")
        return
    with pytest.raises(AuthorizationError) as refusal:
        person(have).check(role=need, scope="write")
    assert refusal.value.details == {"required_role": need, "role": have}


def test_a_key_needs_the_scope_itself() -> None:
    key("write").check(role="editor", scope="write")

    with pytest.raises(AuthorizationError) as refusal:
        key("write").check(role="viewer", scope="read")

    assert refusal.value.details == {"required_scope": "read", "scopes": ["write"]}


def test_a_key_never_does_what_is_for_people_or_owners() -> None:
    with pytest.raises(AuthorizationError):
        key("read", "write", "publish").check(role="viewer", scope=None)
    with pytest.raises(AuthorizationError):
        key("read", "write", "publish").check(role="owner", scope="write")


@pytest.mark.parametrize("maker", ROLES)
@pytest.mark.parametrize("scopes", [("read",), ("write",), ("read", "write", "publish")])
def test_a_key_acts_in_the_lesser_role_of_its_scopes_and_its_maker(
    maker: Role, scopes: tuple[Scope, ...]
) -> None:
    role = role_of_key(scopes, maker=maker)

    assert ROLES.index(role) <= ROLES.index(maker)
    assert role == ("viewer" if scopes == ("read",) or maker == "viewer" else "editor")


def test_names_tell_callers_apart() -> None:
    assert person("owner").name == f"user:{USER}"
    assert key("read").name == f"api_key:{KEY}"
