"""What every platform promises of consent and grants, tried over real HTTP against its sandbox."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import requests

from app import clock
from app.exceptions import PlatformAPIError, PlatformAuthError
from app.platforms.base import (
    Tokens,
)
from tests.platforms.conftest import RegistryMaker
from tests.platforms.contract import CASES, over, where
from tests.platforms.sources import Case
from tests.sandbox_server import Sim


@where(lambda case: case.refreshes and case.rotates)
def test_refreshing_rotates_and_a_dead_grant_is_an_auth_error(
    case: Case, make_registry: RegistryMaker, sim: Sim
) -> None:
    platform, token = make_registry().get(case.name), sim.token(platform=case.name)
    tokens = platform.refresh(token["refresh_token"])
    assert tokens.access_token != token["access_token"]
    assert tokens.refresh_token not in (None, token["refresh_token"])
    assert tokens.expires_at is not None and tokens.expires_at > clock.now()
    with pytest.raises(PlatformAuthError):
        platform.refresh(token["refresh_token"])


@where(lambda case: case.refreshes and not case.rotates)
def test_refreshing_leaves_the_refresh_token_good_until_the_grant_is_revoked(
    case: Case, make_registry: RegistryMaker, sim: Sim
) -> None:
    platform, token = make_registry().get(case.name), sim.token(platform=case.name)
    first, again = (platform.refresh(token["refresh_token"]) for _ in range(2))
    assert len({token["access_token"], first.access_token, again.access_token}) == 3
    assert first.refresh_token in (None, token["refresh_token"])
    assert first.expires_at is not None and first.expires_at > clock.now()
    platform.revoke(again)
    with pytest.raises(PlatformAuthError):
        platform.refresh(token["refresh_token"])


@where(lambda case: case.refreshes)
@pytest.mark.parametrize(
    "fault", [{"action": "status", "status": 503}, {"action": "malformed"}, {"action": "drop_before"}]
)
def test_passing_trouble_on_refresh_is_not_a_dead_grant(
    case: Case, make_registry: RegistryMaker, sim: Sim, fault: Mapping[str, Any]
) -> None:
    platform, token = make_registry().get(case.name), sim.token(platform=case.name)
    sim.fault(case.refresh, **fault)
    with pytest.raises(PlatformAPIError) as passing:
        platform.refresh(token["refresh_token"])
    assert passing.value.kind == "transient"


@over(CASES)
def test_a_consent_opens_the_account_it_was_given_for(
    case: Case, make_registry: RegistryMaker, sim: Sim
) -> None:
    platform = make_registry().get(case.name)
    consent = platform.consent(state="the-state", login=case.login)
    answer = requests.get(consent.authorize_url, allow_redirects=False, timeout=5)
    came_back = dict(parse_qsl(urlsplit(answer.headers["Location"]).query))
    tokens = platform.exchange(params=came_back, verifier=consent.verifier)
    remote_id = sim.token(platform=case.name)["remote_id"]
    (account,) = (account for account in platform.accounts(tokens) if account.remote_id == remote_id)
    assert answer.headers["Location"].startswith(platform.config.callback_url)
    assert came_back["state"] == "the-state"
    assert account.username == "sandbox_creator"
    assert not case.refreshes or (tokens.expires_at is not None and tokens.refresh_token is not None)
    assert tokens.access_token not in repr(tokens) and consent.verifier not in repr(consent)


@over(CASES)
def test_a_denied_consent_is_an_auth_error(case: Case, make_registry: RegistryMaker, sim: Sim) -> None:
    sim.settings(auto_consent="deny")
    platform = make_registry().get(case.name)
    url = platform.consent(state="s", login=case.login).authorize_url
    answer = requests.get(url, allow_redirects=False, timeout=5)
    came_back = dict(parse_qsl(urlsplit(answer.headers["Location"]).query))
    with pytest.raises(PlatformAuthError, match="did not give your consent"):
        platform.exchange(params=came_back, verifier="v")


@where(lambda case: case.has_verifier)
def test_a_consent_cannot_be_completed_without_its_verifier(
    case: Case, make_registry: RegistryMaker, sim: Sim
) -> None:
    platform = make_registry().get(case.name)
    url = platform.consent(state="s", login=case.login).authorize_url
    answer = requests.get(url, allow_redirects=False, timeout=5)
    came_back = dict(parse_qsl(urlsplit(answer.headers["Location"]).query))
    with pytest.raises(PlatformAuthError):
        platform.exchange(params=came_back, verifier="x" * 43)


@over(CASES)
def test_a_revoked_grant_is_refused_afterwards(case: Case, make_registry: RegistryMaker, sim: Sim) -> None:
    platform = make_registry().get(case.name)
    token = sim.token(platform=case.name, scopes=sorted(case.scopes))
    tokens = Tokens(token["access_token"], token["refresh_token"], None, None, case.scopes)
    platform.accounts(tokens)
    platform.revoke(tokens)
    with pytest.raises(PlatformAuthError):
        platform.accounts(tokens)
