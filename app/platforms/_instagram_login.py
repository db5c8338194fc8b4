"""Instagram Login: consent at instagram.com, a token of 60 days, and its renewal. Facebook Login is Meta's.

There is no refresh token: the access token itself is what the next one is asked with, from 24 hours on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.exceptions import PlatformAPIError, PlatformAuthError
from app.platforms import _instagram_rules as rules
from app.platforms import _meta_rules, oauth
from app.platforms._meta import API_DEADLINE, Graph, objects, text, whole
from app.platforms.base import Consent, PlatformConfig, RemoteAccount, Tokens
from app.platforms.http import Response

_PROFILE = "user_id,username,name,account_type,profile_picture_url"


class InstagramLogin:
    """`graph` is the API's host, version included; tokens are traded at its root and at `TOKEN_URL`."""

    def __init__(self, graph: Graph, config: PlatformConfig) -> None:
        self.graph = graph
        self.config = config
        base, _, version = graph.base.rpartition("/")
        self._root = base if version.startswith("v") and version[1:2].isdigit() else graph.base

    def consent(self, *, state: str, verifier: str) -> Consent:
        """Return the consent page's address. There is no PKCE."""
        query = {
            "client_id": self.config["APP_ID"],
            "redirect_uri": self.config.callback_url,
            "response_type": "code",
            "scope": self.config["SCOPES"],
            "state": state,
        }
        return Consent(oauth.consent_url(self.config["AUTH_URL"], query), verifier)

    def exchange(self, params: Mapping[str, str]) -> Tokens:
        """Turn the callback's code into a token of 60 days."""
        code = oauth.callback_code(params, platform=self.graph.http.platform).removesuffix("#_")
        answer = self._redeem(code)
        short = self._text(answer, "access_token", "token")
        query = {"grant_type": "ig_exchange_token", "client_secret": self.config["APP_SECRET"]}
        longer = self._trade("/access_token", short, query, operation="long_token")
        scopes = _permissions(answer.get("permissions"))
        return self._tokens(longer, scopes, "long_token", user_id=_id(answer.get("user_id")))

    def refresh(self, token: str) -> Tokens:
        """Trade a token that is at least 24 hours old and not over for one of 60 days."""
        answer = self._trade(
            "/refresh_access_token", token, {"grant_type": "ig_refresh_token"}, operation="refresh"
        )
        return self._tokens(answer, _permissions(answer.get("permissions")), "refresh")

    def account(self, token: str) -> RemoteAccount:
        """Return the account of a token. `user_id` names it everywhere, `id` is the app's own number."""
        answer = self.graph.call("GET", "/me", token, operation="me", params={"fields": _PROFILE})
        answer = next(iter(objects(answer.get("data"))), answer)
        remote_id = _id(answer.get("user_id"))
        if remote_id is None:
            remote_id = self._text(answer, "user_id", "me")
        username = text(answer.get("username")) or remote_id
        avatar = text(answer.get("profile_picture_url")) or None
        details = {"login": rules.INSTAGRAM}
        return RemoteAccount(
            remote_id, username, text(answer.get("name")) or username, avatar, details=details
        )

    def _redeem(self, code: str) -> dict[str, Any]:
        """Trade a code for a short-lived token; the answer is flat, or the one object of a list."""
        form = {
            "client_id": self.config["APP_ID"],
            "client_secret": self.config["APP_SECRET"],
            "grant_type": "authorization_code",
            "redirect_uri": self.config.callback_url,
            "code": code,
        }
        response = self.graph.http.request(
            "POST", self.config["TOKEN_URL"], operation="token", data=form, deadline=API_DEADLINE
        )
        if response.status >= 400:
            raise self._refusal(response)
        answer = response.json()
        if "error_type" in answer or "error" in answer:
            raise self._refusal(response)
        return next(iter(objects(answer.get("data"))), answer)

    def _refusal(self, response: Response) -> PlatformAPIError:
        """The code is over or the app's settings are wrong; the answer's shape does not tell them apart."""
        details = {"operation": "token", "status": response.status}
        if response.status == 429 or response.status >= 500:
            return self.graph.error(_meta_rules.row_for_status(response.status), "token", details)
        message = (
            "Instagram did not complete the consent. Connect again; if that does not help, check the "
            "Instagram app id, its secret and the redirect address."
        )
        return PlatformAuthError(message, details, platform=self.graph.http.platform, platform_code="token")

    def _trade(self, path: str, token: str, query: Mapping[str, str], *, operation: str) -> dict[str, Any]:
        """Trade a token for a longer one, below the host's root: these paths have no version."""
        params = {**query, "access_token": token}
        return self.graph.call("GET", self._root + path, "", operation=operation, params=params)

    def _tokens(
        self, answer: Mapping[str, Any], scopes: frozenset[str], operation: str, *, user_id: str | None = None
    ) -> Tokens:
        token = self._text(answer, "access_token", operation)
        ends = oauth.expiry(answer.get("expires_in"))
        return Tokens(token, token, ends, None, scopes, user_id)  # renewed in time, the grant does not end

    def _text(self, answer: Mapping[str, Any], key: str, operation: str) -> str:
        return oauth.text(answer, key, operation, platform=self.graph.http.platform)


def _permissions(value: object) -> frozenset[str]:
    """Return granted permissions from a list, or from a text separated by commas."""
    if isinstance(value, list):
        return frozenset(item for item in value if isinstance(item, str))
    return oauth.scope_set(value)


def _id(value: object) -> str | None:
    number = whole(value)
    return str(number) if number is not None and number > 0 else None
