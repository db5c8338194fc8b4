"""A made-up platform, as short as an adapter can be: a video is put in one call, and a second one makes it a post.

Its uploads can be asked by their id, so that an answer that was lost is found out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from app.domain.video_spec import VideoSpec
from app.exceptions import PlatformAPIError
from app.platforms import oauth
from app.platforms.base import (
    Consent,
    Handle,
    LocateResult,
    NotCommitted,
    Option,
    Platform,
    PreparedCommit,
    Published,
    PublishRequest,
    RemoteAccount,
    Setting,
    Staged,
    TextLimit,
    Tokens,
    Wait,
)

DEADLINE = 20.0  # seconds


class Kite(Platform):
    name = "kite"
    label = "Kite"
    guarantee = "resumable"
    stage_ahead = timedelta(hours=1)
    settings = (
        Setting("BASE", "https://api.kite.example", "Its API.", role="server"),
        Setting("CLIENT_ID", "", "The app's id.", secret=True),
        Setting("CLIENT_SECRET", "", "The app's secret.", secret=True),
    )
    scopes = ("post",)
    post_types: Mapping[str, VideoSpec] = {"video": VideoSpec(source="made up", checked_on="2026-11-27")}
    text_limits = (TextLimit("caption", 100, "characters", len, "made up"),)
    options = (Option("wind", "string", "Where it blows from.", default="west", choices=("west", "east")),)

    # -- connecting

    def consent(self, *, state: str, login: str = "") -> Consent:  # noqa: ARG002 - there is one way
        verifier = oauth.new_verifier()
        params = {
            "client_id": self.config["CLIENT_ID"],
            "response_type": "code",
            "scope": "post",
            "redirect_uri": self.config.callback_url,
            "state": state,
            "code_challenge": oauth.challenge_base64url(verifier),
            "code_challenge_method": "S256",
        }
        return Consent(oauth.consent_url(self._url("/authorize"), params), verifier)

    def exchange(self, *, params: Mapping[str, str], verifier: str) -> Tokens:
        code = oauth.callback_code(params, platform=self.name)
        form = {"code": code, "code_verifier": verifier, "redirect_uri": self.config.callback_url}
        return self._tokens(form | {"grant_type": "authorization_code"})

    def refresh(self, refresh_token: str) -> Tokens:
        return self._tokens({"grant_type": "refresh_token", "refresh_token": refresh_token})

    def accounts(self, tokens: Tokens) -> Sequence[RemoteAccount]:
        me = self._call("GET", "/me", tokens.access_token, operation="me")
        return [RemoteAccount(me["id"], me["username"], me["username"])]

    def revoke(self, tokens: Tokens) -> None:
        """It has no such call."""

    # -- publishing

    def stage(
        self, request: PublishRequest, handle: Handle | None, save: Callable[[Handle], None]
    ) -> Staged | Wait:
        if handle is None:
            source, length = request.source, request.source.size
            with source.open(0, length) as file:
                made = self._call(
                    "POST", "/uploads", request.account.access_token, operation="upload", body=file.read()
                )
            save({"id": made["id"]})
        return Staged(None)

    def preflight(self, request: PublishRequest, handle: Handle) -> None:
        """It has nothing to ask."""

    def prepare_commit(self, request: PublishRequest, handle: Handle) -> PreparedCommit:
        def send(deadline: float) -> Published:
            text = {"caption": request.caption, "wind": request.options["wind"]}
            path, token = f"/uploads/{handle['id']}/post", request.account.access_token
            answer = self._call(
                "POST", path, token, operation="post", data=text, deadline=deadline, commits=True
            )
            return Published(answer["post_id"], answer["url"])

        return PreparedCommit(send)

    def locate(self, request: PublishRequest, handle: Handle) -> LocateResult:
        path = f"/uploads/{handle['id']}"
        answer = self._call("GET", path, request.account.access_token, operation="status")
        return Published(answer["post_id"], answer["url"]) if answer["post_id"] else NotCommitted()

    # -- its wire

    def _url(self, path: str) -> str:
        return self.config["BASE"] + path

    def _tokens(self, form: Mapping[str, str]) -> Tokens:
        ours = {"client_id": self.config["CLIENT_ID"], "client_secret": self.config["CLIENT_SECRET"]}
        answer = oauth.post_form(self.http, self._url("/token"), {**ours, **form}, operation="token")
        expires_at = oauth.expiry(answer["expires_in"])
        return Tokens(
            answer["access_token"], answer["refresh_token"], expires_at, None, frozenset(self.scopes)
        )

    def _call(
        self, method: str, path: str, token: str, *, operation: str, commits: bool = False, **what: Any
    ) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {token}"}
        deadline = what.pop("deadline", DEADLINE)
        answer = self.http.request(
            method,
            self._url(path),
            operation=operation,
            deadline=deadline,
            headers=headers,
            commits=commits,
            **what,
        )
        if answer.status >= 400:
            kind = "ambiguous" if commits else "transient"
            raise PlatformAPIError("Kite refused.", platform=self.name, kind=kind)
        return answer.json()
