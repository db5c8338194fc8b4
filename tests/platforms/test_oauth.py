from __future__ import annotations

import re
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from app import clock
from app.exceptions import PlatformAPIError, PlatformAuthError, PlatformRateLimitError
from app.platforms import oauth
from app.platforms.http import HttpClient
from tests.platforms.wire import answers, wire

VERIFIER = "a" * 43


def test_pkce_challenges_match_the_known_vectors() -> None:
    assert oauth.challenge_hex(VERIFIER) == "66d34fba71f8f450f7e45598853e53bfc23bbd129027cbb131a2f4ffd7878cd0"
    assert oauth.challenge_base64url(VERIFIER) == "ZtNPunH49FD35FWYhT5Tv8I7vRKQJ8uxMaL0_9eHjNA"


def test_verifiers_and_states_are_long_plain_and_never_the_same() -> None:
    made = [make() for make in (oauth.new_verifier, oauth.new_state) for _ in range(50)]
    assert len(set(made)) == 100
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{43}", value) for value in made)


@pytest.mark.parametrize("base", ["https://a.example/auth/", "https://a.example/auth/?lang=de"])
def test_a_consent_url_keeps_odd_values_whole(base: str) -> None:
    url = oauth.consent_url(base, {"state": "a&b=c d", "redirect_uri": "http://127.0.0.1:8000/cb"})
    query = parse_qs(urlsplit(url).query)
    assert query["state"] == ["a&b=c d"]
    assert query["redirect_uri"] == ["http://127.0.0.1:8000/cb"]


def test_what_a_callback_says_is_not_repeated_unless_it_is_a_code() -> None:
    with pytest.raises(PlatformAuthError) as refused:
        oauth.callback_code({"error": "<script>alert(1)</script>"}, platform="somewhere")
    assert "script" not in repr(refused.value.to_dict())


def post(reply: bytes) -> dict[str, Any]:
    client = HttpClient("somewhere", user_agent="t", allowed_hosts=["localhost"], allow_http=True)
    head = b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n"
    status, _, body = reply.partition(b"|")
    with wire(answers(head % (status, len(body)) + body)) as server:
        return oauth.post_form(client, server.url, {"client_secret": "s3cret"}, operation="token")


def test_a_token_answer_is_returned_as_it_is() -> None:
    assert post(b'200 OK|{"access_token": "x"}') == {"access_token": "x"}


@pytest.mark.parametrize(
    ("reply", "error", "kind"),
    [
        (b'200 OK|{"error": "invalid_grant"}', PlatformAuthError, "reauth"),
        (b'400 Bad|{"error": "invalid_grant"}', PlatformAuthError, "reauth"),
        (b'401 No|{"error": "invalid_client"}', PlatformAPIError, "config"),
        (b'200 OK|{"error": "temporarily_unavailable"}', PlatformAPIError, "transient"),
        (b'200 OK|{"error": {"message": "another shape"}}', PlatformAPIError, "transient"),
        (b'400 Bad|{"detail": "no error key"}', PlatformAPIError, "transient"),
        (b"429 Slow|slow down", PlatformRateLimitError, "rate"),
        (b"503 Down|<html>", PlatformAPIError, "transient"),
        (b"200 OK|<html>", PlatformAPIError, "transient"),
    ],
)
def test_only_a_dead_grant_asks_the_person_to_connect_again(
    reply: bytes, error: type[PlatformAPIError], kind: str
) -> None:
    with pytest.raises(PlatformAPIError) as caught:
        post(reply)
    assert (type(caught.value) is error or error is PlatformAPIError) and caught.value.kind == kind
    assert isinstance(caught.value, PlatformAuthError) == (kind == "reauth")
    assert "s3cret" not in repr(caught.value.to_dict())


@pytest.mark.parametrize("lifetime", [None, "3600", True, 0, -5, float("nan"), float("inf"), 1e300, []])
def test_lifetimes_that_make_no_sense_are_unknown(lifetime: object) -> None:
    assert oauth.expiry(lifetime) is None


def test_lifetimes_count_from_now() -> None:
    expires_at = oauth.expiry(3600)
    assert expires_at is not None
    assert abs(expires_at - clock.now() - timedelta(hours=1)) < timedelta(seconds=5)


def test_scopes_are_read_in_both_notations() -> None:
    assert oauth.scope_set("a,b") == oauth.scope_set("a b") == {"a", "b"}
    assert oauth.scope_set(None) == frozenset()
