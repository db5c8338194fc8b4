from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from app.platforms.base import RemoteAccount, Tokens
from app.services import grants

TOKENS = Tokens("act", "rft", datetime(2027, 1, 1, tzinfo=UTC), None, frozenset({"a", "b"}), user_id="7")
PAGE = RemoteAccount("1", "ada", "Ada", None, None, access_token="page-token", details={"kind": "page"})


@pytest.mark.parametrize(
    "tokens", [TOKENS, replace(TOKENS, refresh_token=None, expires_at=None, user_id=None)], ids=["all", "few"]
)
def test_what_is_packed_comes_out_again(tokens: Tokens) -> None:
    grant = grants.unpack(grants.pack(tokens, [PAGE]))

    assert grant.tokens == tokens
    assert grant.own == {"1": {"access_token": "page-token", "details": {"kind": "page"}}}


def test_what_is_offered_holds_no_token_and_no_details() -> None:
    (choice,) = grants.choices([PAGE])

    assert sorted(choice) == ["avatar_url", "display_name", "id", "profile_url", "username"]
    assert "page-token" not in str(choice)


def test_what_a_database_cannot_store_is_taken_out() -> None:
    hostile = replace(PAGE, username="a\0b\ud800", details={"x\0": ["y\0", {"z": "\0"}], "n": 1})

    (choice,) = grants.choices([hostile])
    grant = grants.unpack(grants.pack(TOKENS, [hostile]))

    assert choice["username"] == "ab?"
    assert grant.own["1"]["details"] == {"x": ["y", {"z": ""}], "n": 1}


@pytest.mark.parametrize("remote_id", ["", "a\0b", "x" * 201], ids=["empty", "nul", "long"])
def test_an_account_without_a_usable_id_is_not_offered(remote_id: str) -> None:
    assert grants.offered([PAGE, replace(PAGE, remote_id=remote_id)]) == [PAGE]


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "https://x.example/" + "a" * 2000, "https://ä.example"]
)
def test_an_address_that_is_none_is_left_out(url: str) -> None:
    (choice,) = grants.choices([replace(PAGE, avatar_url=url)])

    assert choice["avatar_url"] is None
