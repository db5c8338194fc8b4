"""YouTube as far as it is about channels: consent, what they may post, their figures, and removal."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from app.exceptions import PlatformAPIError, PlatformAuthError
from app.platforms import _youtube_errors as errors
from app.platforms import _youtube_rules as rules
from app.platforms import oauth
from app.platforms._setting_values import read_number
from app.platforms._youtube_api import YouTubeApi
from app.platforms._youtube_upload import part, text
from app.platforms.base import (
    Account,
    Consent,
    Platform,
    PlatformConfig,
    PostingOptions,
    RemoteAccount,
    Stats,
    Tokens,
)
from app.platforms.http import HttpClient

PARTS = "id,snippet,contentDetails,status"


class YouTubeAccount(Platform):
    """The half of YouTube that knows no post. Thread-safe: nothing is kept on the instance but the settings."""

    def __init__(self, config: PlatformConfig, http: HttpClient) -> None:
        super().__init__(config, http)
        self.api = YouTubeApi(http, config)
        self.chunk_size = self._number("CHUNK_SIZE", rules.GRAIN, rules.CHUNK_MAX, step=rules.GRAIN)
        self.quotas = rules.quotas(
            inserts=self._number("INSERTS_PER_DAY", 1, 1_000_000),
            units=self._number("UNITS_PER_DAY", 1, 1_000_000_000),
        )

    def _number(self, name: str, low: int, high: int, *, step: int = 1) -> int:
        return read_number(self.config[name], low, high, name=f"YOUTUBE_{name}", step=step)

    # -- connecting

    def consent(self, *, state: str, login: str = "") -> Consent:  # noqa: ARG002 - there is one way
        """Return the consent page's address. Asked for anew each time, else there is no refresh token."""
        verifier = oauth.new_verifier()
        query = {
            "client_id": self.config["CLIENT_ID"],
            "redirect_uri": self.config.callback_url,
            "response_type": "code",
            "scope": self.config["SCOPES"],
            "access_type": "offline",
            "prompt": "consent select_account",
            "state": state,
            "code_challenge": oauth.challenge_base64url(verifier),
            "code_challenge_method": "S256",
        }
        return Consent(oauth.consent_url(self.config["AUTH_URL"], query), verifier)

    def exchange(self, *, params: Mapping[str, str], verifier: str) -> Tokens:
        """Trade the code. The person may untick scopes: without uploading and reading nothing can be posted."""
        form = {
            "code": oauth.callback_code(params, platform=self.name),
            "grant_type": "authorization_code",
            "redirect_uri": self.config.callback_url,
            "code_verifier": verifier,
        }
        tokens = self.api.tokens(form, operation="token")
        if not (tokens.scopes & rules.MAY_UPLOAD and tokens.scopes & rules.MAY_READ):
            message = "You did not allow uploading and reading, so nothing can be posted. Connect again and allow it."
            raise PlatformAuthError(message, platform=self.name, platform_code="insufficientPermissions")
        return tokens

    def refresh(self, refresh_token: str) -> Tokens:
        form = {"grant_type": "refresh_token", "refresh_token": refresh_token}
        return self.api.tokens(form, operation="refresh")

    def revoke(self, tokens: Tokens) -> None:
        self.api.revoke(tokens.refresh_token or tokens.access_token)

    def accounts(self, tokens: Tokens) -> Sequence[RemoteAccount]:
        channel = self.api.own_channel(tokens.access_token, parts=PARTS)
        channel_id = oauth.text(channel, "id", "channels", platform=self.name)
        snippet = part(channel, "snippet")
        title, handle = text(snippet.get("title")), text(snippet.get("customUrl")).removeprefix("@")
        avatar = text(part(part(snippet, "thumbnails"), "default").get("url")) or None
        shown = handle or title or channel_id
        return [
            RemoteAccount(
                channel_id,
                shown,
                title or shown,
                avatar,
                self._profile_url(channel_id, handle),
                details={"uploads": _uploads(channel)},
            )
        ]

    def _profile_url(self, channel_id: str, handle: str) -> str:
        base = self.config["WEB_URL"].rstrip("/")
        plain = handle.replace("_", "").replace("-", "").replace(".", "")
        return f"{base}/@{handle}" if plain.isalnum() else f"{base}/channel/{channel_id}"

    def uploads_of(self, account: Account) -> str:
        """Return the playlist that holds all of the channel's videos, private ones included."""
        known = text(account.details.get("uploads"))
        return known or _uploads(self.api.own_channel(account.access_token, parts="contentDetails"))

    # -- what the channel may post

    def posting_options(self, account: Account) -> PostingOptions:
        """Ask whether videos over 15 minutes are allowed; a channel has to be verified for them."""
        channel = self.api.own_channel(account.access_token, parts="status")
        told = text(part(channel, "status").get("longUploadsStatus"))
        is_limited = told in ("eligible", "disallowed")
        return PostingOptions(max_duration_seconds=rules.UNVERIFIED_SECONDS if is_limited else None)

    def may(self, account: Account, scopes: Collection[str]) -> bool:
        """Return whether one of these permissions was given, as far as is known."""
        return not account.scopes or not account.scopes.isdisjoint(scopes)

    def needs(self, account: Account, scopes: Collection[str]) -> None:
        """Raise the typed error unless one of these permissions was given."""
        if not self.may(account, scopes):
            code = "insufficientPermissions"
            raise errors.error(errors.ERRORS[code], code, {"needed": sorted(scopes)})

    # -- afterwards

    def stats(self, account: Account, remote_ids: Sequence[str]) -> Mapping[str, Stats]:
        query = {"part": "statistics", "id": [*remote_ids]}
        items = self.api.listed("videos:batchGetStats", account.access_token, operation="stats", query=query)
        told = {text(item.get("id")): part(item, "statistics") for item in items}
        return {video_id: _stats(told[video_id]) for video_id in remote_ids if video_id in told}

    def remove(self, account: Account, remote_id: str) -> None:
        self.needs(account, rules.MAY_CHANGE)
        try:
            self.api.call(
                "videos", account.access_token, operation="remove", method="DELETE", query={"id": remote_id}
            )
        except PlatformAPIError as error:
            if error.details.get("status") != 404:
                raise


def _uploads(channel: Mapping[str, Any]) -> str:
    return text(part(part(channel, "contentDetails"), "relatedPlaylists").get("uploads"))


def _stats(statistics: Mapping[str, Any]) -> Stats:
    views, likes, comments = (_count(statistics.get(f"{name}Count")) for name in ("view", "like", "comment"))
    return Stats(views=views, likes=likes, comments=comments)


def _count(value: object) -> int | None:
    """Return a figure; YouTube writes them as strings."""
    told = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    return int(told) if told.isascii() and told.isdigit() and len(told) <= 18 else None
