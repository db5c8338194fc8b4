from __future__ import annotations

import base64
import hashlib

import pytest

from tests.sandbox.client import CALLBACK, VERIFIER, TikTok, error_code, returned
from tests.sandbox_server import Sim


def test_the_consent_page_shows_accounts_and_scopes(tiktok: TikTok) -> None:
    page = tiktok.authorize()

    assert page.status_code == 200
    for text in ("sandbox_creator", "sandbox_second", "video.publish", "Approve", "Deny"):
        assert text in page.text


def test_approving_returns_a_code_the_scopes_and_the_state(tiktok: TikTok) -> None:
    form = {"decision": "approve", "grant": "user.info.basic", "account": "sandbox_second"}

    back = returned(tiktok.authorize(method="POST", **form))

    assert (back["scopes"], back["state"]) == ("user.info.basic", "s1")
    assert tiktok.redeem(back["code"])["scope"] == "user.info.basic"


def test_denying_returns_access_denied(tiktok: TikTok) -> None:
    back = returned(tiktok.authorize(method="POST", decision="deny"))

    assert back["error"] == "access_denied"
    assert "code" not in back


def test_consent_can_be_given_by_a_setting(tiktok: TikTok, sim: Sim) -> None:
    sim.settings(auto_consent="approve", auto_account="sandbox_second")

    tokens = tiktok.redeem(returned(tiktok.authorize())["code"])

    assert tokens["open_id"] == sim.token("sandbox_second")["remote_id"]


@pytest.mark.parametrize(
    ("change", "value"),
    [
        ("client_key", "another"),
        ("response_type", "token"),
        ("scope", "user.info.basic,make.coffee"),
        ("redirect_uri", "https://evil.example/callback"),
        ("redirect_uri", CALLBACK + "?next=1"),
        ("redirect_uri", "http://127.0.0.1.evil.example/callback"),
        ("code_challenge", None),
        ("code_challenge", "ZtNPunH49FD35FWYhT5Tv8I7vRKQJ8uxMaL0_9eHjNA"),
        ("code_challenge_method", "plain"),
    ],
)
def test_a_wrong_request_is_shown_and_never_sent_back(tiktok: TikTok, change: str, value: str | None) -> None:
    answer = tiktok.authorize(auto="approve", **{change: value})

    assert answer.status_code == 400
    assert "Location" not in answer.headers


def test_a_code_becomes_flat_tokens(tiktok: TikTok) -> None:
    tokens = tiktok.redeem(tiktok.code())

    assert tokens["token_type"] == "Bearer"
    assert tokens["expires_in"] in (86_399, 86_400)
    assert tokens["scope"] == "user.info.basic,video.publish"
    assert tokens["access_token"] != tokens["refresh_token"]


def test_a_code_works_once(tiktok: TikTok) -> None:
    code = tiktok.code()
    tiktok.redeem(code)

    assert tiktok.redeem(code)["error"] == "invalid_grant"


@pytest.mark.parametrize(
    ("change", "value", "error"),
    [
        ("redirect_uri", CALLBACK + "/", "invalid_grant"),
        ("code_verifier", "w" * 43, "invalid_grant"),
        ("code_verifier", "", "invalid_grant"),
        ("client_secret", "wrong", "invalid_client"),
        ("grant_type", "password", "unsupported_grant_type"),
    ],
)
def test_a_wrong_token_request_is_a_flat_error_with_200(
    tiktok: TikTok, change: str, value: str, error: str
) -> None:
    form = {"grant_type": "authorization_code", "redirect_uri": CALLBACK, "code_verifier": VERIFIER}

    answer = tiktok.token(**(form | {"code": tiktok.code(), change: value}))

    assert answer.status_code == 200
    assert answer.json()["error"] == error
    assert "access_token" not in answer.json()


def test_an_expired_code_is_refused(tiktok: TikTok, sim: Sim) -> None:
    code = tiktok.code()
    sim.advance(601)

    assert tiktok.redeem(code)["error"] == "invalid_grant"


def test_the_challenge_is_hexadecimal_and_not_the_one_of_the_rfc() -> None:
    digest = hashlib.sha256(b"a" * 43)

    assert digest.hexdigest() == "66d34fba71f8f450f7e45598853e53bfc23bbd129027cbb131a2f4ffd7878cd0"
    assert base64.urlsafe_b64encode(digest.digest())[:43] == b"ZtNPunH49FD35FWYhT5Tv8I7vRKQJ8uxMaL0_9eHjNA"


def test_refreshing_rotates_and_the_old_token_is_dead(tiktok: TikTok) -> None:
    first = tiktok.redeem(tiktok.code())

    second = tiktok.refresh(first["refresh_token"])

    assert second["refresh_token"] != first["refresh_token"]
    assert tiktok.refresh(first["refresh_token"])["error"] == "invalid_grant"
    assert "access_token" in tiktok.refresh(second["refresh_token"])


def test_rotation_can_be_switched_off(tiktok: TikTok, sim: Sim) -> None:
    sim.settings(rotate_refresh_tokens=False)
    old = sim.token()["refresh_token"]

    assert tiktok.refresh(old)["refresh_token"] == old


def test_another_client_cannot_refresh_the_token(tiktok: TikTok, sim: Sim) -> None:
    sim.call("POST", "clients", json={"platform": "tiktok", "client_id": "other", "secret": "other-secret"})

    answer = tiktok.refresh(sim.token()["refresh_token"], client_key="other", client_secret="other-secret")

    assert answer["error"] == "invalid_grant"


def test_an_access_token_expires_by_the_virtual_clock(tiktok: TikTok, sim: Sim) -> None:
    assert tiktok.creator_info().status_code == 200
    sim.advance(86_401)

    answer = tiktok.creator_info()

    assert (answer.status_code, error_code(answer)) == (401, "access_token_invalid")


def test_revoking_ends_all_tokens_of_the_grant(tiktok: TikTok) -> None:
    tokens = tiktok.redeem(tiktok.code())
    form = {
        "client_key": "sandbox-client-key",
        "client_secret": "sandbox-client-secret",
        "token": tokens["access_token"],
    }

    answer = tiktok.http.post(f"{tiktok.base_url}/v2/oauth/revoke/", data=form)

    assert (answer.status_code, answer.content) == (200, b"")
    assert tiktok.refresh(tokens["refresh_token"])["error"] == "invalid_grant"
