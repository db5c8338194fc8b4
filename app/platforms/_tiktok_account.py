"""TikTok as far as it is about accounts: consent, what they may post, their figures, and the webhook."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from app.exceptions import PlatformAPIError, PlatformAuthError
from app.platforms import _tiktok_rules as rules
from app.platforms import _tiktok_webhook as webhook
from app.platforms import oauth
from app.platforms._setting_values import read_flag, read_number
from app.platforms._tiktok_api import TikTokApi, text
from app.platforms._tiktok_upload import CHUNK_MAX, CHUNK_MIN
from app.platforms.base import (
    Account,
    Callback,
    Consent,
    Platform,
    PlatformConfig,
    PostingOptions,
    Received,
    RemoteAccount,
    Stats,
    Tokens,
)
from app.platforms.http import HttpClient

FIGURES = ("view_count", "like_count", "comment_count", "share_count")
USED_UP = "spam_risk_too_many_posts"


class TikTokAccount(Platform):
    """The half of TikTok that knows no post. Thread-safe: nothing is kept on the instance but the settings."""

    def __init__(self, config: PlatformConfig, http: HttpClient) -> None:
        super().__init__(config, http)
        self.api = TikTokApi(http, config)
        self.audited = read_flag(config["AUDITED"], name="TIKTOK_AUDITED")
        self.chunk_size = self._number("CHUNK_SIZE", CHUNK_MIN, CHUNK_MAX)
        self.options = rules.options(audited=self.audited)
        self.quotas = rules.quotas(
            daily_posts=self._number("DAILY_POSTS", 1, 1_000_000),
            inits_per_minute=self._number("INITS_PER_MINUTE", 1, 1_000_000),
        )

    def _number(self, name: str, low: int, high: int) -> int:
        return read_number(self.config[name], low, high, name=f"TIKTOK_{name}")

    # -- connecting

    def consent(self, *, state: str, login: str = "") -> Consent:  # noqa: ARG002 - there is one way
        """Return the consent page's address. PKCE, in hexadecimal, is for loopback callbacks only."""
        verifier = oauth.new_verifier()
        query = {
            "client_key": self.config["CLIENT_KEY"],
            "response_type": "code",
            "scope": self.config["SCOPES"],
            "redirect_uri": self.config.callback_url,
            "state": state,
        }
        if oauth.is_loopback_url(self.config.callback_url):
            query |= {"code_challenge": oauth.challenge_hex(verifier), "code_challenge_method": "S256"}
        return Consent(oauth.consent_url(self.config["AUTH_URL"], query), verifier)

    def exchange(self, *, params: Mapping[str, str], verifier: str) -> Tokens:
        form = {
            "code": oauth.callback_code(params, platform=self.name),
            "grant_type": "authorization_code",
            "redirect_uri": self.config.callback_url,
        }
        if oauth.is_loopback_url(self.config.callback_url):
            form["code_verifier"] = verifier
        tokens = self.api.tokens(form, operation="token")
        if not tokens.scopes & set(rules.MODE_SCOPES.values()):
            message = (
                "You did not allow posting videos, so nothing can be posted. Connect again and allow it."
            )
            raise PlatformAuthError(message, platform=self.name, platform_code="scope_not_authorized")
        return tokens

    def refresh(self, refresh_token: str) -> Tokens:
        return self.api.tokens(
            {"grant_type": "refresh_token", "refresh_token": refresh_token}, operation="refresh"
        )

    def revoke(self, tokens: Tokens) -> None:
        self.api.revoke(tokens.access_token)

    def accounts(self, tokens: Tokens) -> Sequence[RemoteAccount]:
        fields, token = "open_id,avatar_url,display_name", tokens.access_token
        if "user.info.profile" in tokens.scopes:
            fields += ",username"
        query = {"fields": fields}
        user = self.api.call("/user/info/", token, operation="user_info", method="GET", params=query).get(
            "user"
        )
        user = user if isinstance(user, dict) else {}
        open_id = oauth.text(user, "open_id", "user_info", platform=self.name)
        username = text(user.get("username"))
        if not username and rules.MODE_SCOPES[rules.DIRECT] in tokens.scopes:
            username = text(self.api.creator(token).get("creator_username"))
        shown, profile = username or open_id, self.profile_url(username) if username else None
        avatar = text(user.get("avatar_url")) or None
        return [RemoteAccount(open_id, shown, text(user.get("display_name")) or shown, avatar, profile)]

    def profile_url(self, username: str) -> str:
        return f"{self.config['WEB_URL'].rstrip('/')}/@{quote(username, safe='')}"

    # -- what the account may post

    def posting_options(self, account: Account) -> PostingOptions:
        """Ask creator_info. Used-up posts are told as such; whoever may not post at all is the typed error."""
        modes = [mode for mode in rules.MODES if self.may(account, mode)]
        if rules.DIRECT not in modes:
            return PostingOptions(choices={"mode": modes})
        try:
            creator = self.api.creator(account.access_token)
        except PlatformAPIError as error:
            if error.platform_code != USED_UP:
                raise
            return PostingOptions(choices={"mode": modes}, posts_left=0, resets_at=error.retry_at)
        return rules.posting_options(creator, modes=modes, audited=self.audited)

    def may(self, account: Account, mode: str) -> bool:
        """Return whether the account's owner allowed posting in this mode, as far as is known."""
        return not account.scopes or rules.MODE_SCOPES[mode] in account.scopes

    # -- afterwards

    def stats(self, account: Account, remote_ids: Sequence[str]) -> Mapping[str, Stats]:
        """Return the figures of public posts; none without the scope to list, which the owner may leave out."""
        if account.scopes and "video.list" not in account.scopes:
            return {}
        videos = self.api.videos(account.access_token, remote_ids, fields=("id", *FIGURES))
        return {name: _stats(video) for name, video in videos.items() if name in remote_ids}

    def receive(self, callback: Callback) -> Received:
        key, secret = self.config["CLIENT_KEY"], self.config["CLIENT_SECRET"]
        return webhook.read(callback, client_key=key, client_secret=secret)


def _stats(video: Mapping[str, Any]) -> Stats:
    views, likes, comments, shares = (_count(video.get(name)) for name in FIGURES)
    return Stats(views=views, likes=likes, comments=comments, shares=shares)


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
