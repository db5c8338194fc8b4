"""TikTok's calls: what is sent, and how an answer becomes data or a typed error."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from app.exceptions import PlatformAPIError
from app.platforms import _tiktok_rules as rules
from app.platforms import oauth
from app.platforms._transport import RequestBody
from app.platforms.base import PlatformConfig, PublishRequest, Tokens
from app.platforms.http import AnswerLost, HttpClient, Line, Response

API_DEADLINE = 20.0  # seconds for one call without a file
GONE = frozenset({"invalid_publish_id", "token_not_authorized_for_specified_publish_id"})
_LOG_ID = re.compile(rb'"log_id"\s*:\s*"([0-9A-Za-z]{1,64})"')
_CODE = re.compile(r"[A-Za-z0-9_.-]{1,64}")


class TikTokApi:
    """The data endpoints and the upload host. Every method may raise what `refusal` and HttpClient raise."""

    def __init__(self, http: HttpClient, config: PlatformConfig) -> None:
        self.http = http
        self.base = config["API_BASE"].rstrip("/")
        self._client = {"client_key": config["CLIENT_KEY"], "client_secret": config["CLIENT_SECRET"]}

    def tokens(self, form: Mapping[str, str], *, operation: str) -> Tokens:
        """Ask the token endpoint, whose answers are flat. Raises as `oauth.post_form`."""
        url = f"{self.base}/oauth/token/"
        answer = oauth.post_form(self.http, url, self._client | dict(form), operation=operation)
        return Tokens(
            access_token=oauth.text(answer, "access_token", operation, platform=self.http.platform),
            refresh_token=text(answer.get("refresh_token")) or None,
            expires_at=oauth.expiry(answer.get("expires_in")),
            refresh_expires_at=oauth.expiry(answer.get("refresh_expires_in")),
            scopes=oauth.scope_set(answer.get("scope")),
            user_id=text(answer.get("open_id")) or None,
        )

    def revoke(self, token: str) -> None:
        url, form = f"{self.base}/oauth/revoke/", self._client | {"token": token}
        response = self.http.request("POST", url, operation="revoke", data=form, deadline=API_DEADLINE)
        if response.status >= 400:
            raise self.refusal(response)

    def call(
        self,
        path: str,
        token: str,
        *,
        operation: str,
        method: str = "POST",
        params: Mapping[str, str] | None = None,
        json: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Call a data endpoint and return the `data` of its envelope."""
        headers = {"Authorization": f"Bearer {token}"}
        if method == "POST":
            headers["Content-Type"] = "application/json; charset=UTF-8"
        response = self.http.request(
            method,
            self.base + path,
            operation=operation,
            headers=headers,
            params=params,
            json=json,
            deadline=API_DEADLINE,
            log_id=log_id,
        )
        return self._data(response)

    def creator(self, token: str) -> dict[str, Any]:
        """Ask what the account may post now. "Cannot post now" is an error here, though it comes with 200."""
        return self.call("/post/publish/creator_info/query/", token, operation="creator_info")

    def status(self, token: str, publish_id: str) -> dict[str, Any]:
        """Ask what became of an upload. Raises (transient) for an answer that does not say."""
        body = {"publish_id": publish_id}
        data = self.call("/post/publish/status/fetch/", token, operation="status", json=body)
        if not text(data.get("status")):
            raise PlatformAPIError("TikTok's answer names no status. We ask again.", platform="tiktok")
        return data

    def videos(
        self, token: str, ids: Sequence[str], *, fields: Sequence[str]
    ) -> dict[str, Mapping[str, Any]]:
        """Return those of up to 20 posts that are among the account's public videos, by id."""
        data = self.call(
            "/video/query/",
            token,
            operation="video_query",
            params={"fields": ",".join(fields)},
            json={"filters": {"video_ids": [*ids]}},
        )
        videos = data.get("videos")
        found = [video for video in videos if isinstance(video, dict)] if isinstance(videos, list) else None
        if found is None or (videos and not found):  # not told is not the same as not there
            raise PlatformAPIError("TikTok's answer names no videos. We ask again.", platform="tiktok")
        return {str(video.get("id")): video for video in found}

    def put(
        self,
        request: PublishRequest,
        upload_url: str,
        body: bytes | RequestBody,
        content_range: tuple[int, int, int],
        *,
        operation: str,
        deadline: float,
        line: Line | None = None,
    ) -> Response:
        """Send bytes `start` to `end` (exclusive) of `total`. No Authorization: the URL has its own token."""
        start, end, total = content_range
        headers = {
            "Content-Type": request.source.content_type,
            "Content-Range": f"bytes {start}-{end - 1}/{total}",
        }
        return self.http.request(
            "PUT",
            upload_url,
            operation=operation,
            headers=headers,
            body=body,
            deadline=deadline,
            commits=operation == "commit",
            line=line,
            log_id=log_id,
        )

    def _data(self, response: Response) -> dict[str, Any]:
        """Success is `error.code == "ok"`, whatever the HTTP status."""
        try:
            envelope = response.json()
        except AnswerLost:
            if response.status < 400:
                raise
            envelope = {}
        error = envelope.get("error")
        code = error.get("code") if isinstance(error, dict) else None
        if code == "ok" and response.status < 500:
            data = envelope.get("data")
            return data if isinstance(data, dict) else {}
        if code is None and response.status < 400:
            raise response.unreadable("no error code in the envelope")
        message = error.get("message") if isinstance(error, dict) else ""
        raise self.refusal(response, code=_word(code), message=text(message))

    def refusal(self, response: Response, *, code: str | None = None, message: str = "") -> PlatformAPIError:
        """Return the typed error of an answer: by its code, else by its HTTP status."""
        row = rules.ERRORS.get(code or "") or rules.row_for_status(response.status)
        details = {"operation": response.operation, "status": response.status, "log_id": log_id(response)}
        if "chunk size" in message.lower():
            details["chunk_size_refused"] = True
        return rules.error(row, code or f"http_{response.status}", details)


def doubt(message: str) -> PlatformAPIError:
    """Return the error for a post that may exist: only asking helps, never sending again."""
    return PlatformAPIError(message, platform="tiktok", kind="ambiguous")


def log_id(response: Response) -> str | None:
    """Return TikTok's own name for the call, which its support asks for."""
    found = _LOG_ID.search(response.body)
    return found.group(1).decode("ascii") if found else None


def text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _word(value: object) -> str | None:
    return value if isinstance(value, str) and _CODE.fullmatch(value) else None
