"""YouTube's calls: what is sent, and how an answer becomes data or a typed error."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from app.exceptions import PlatformAPIError
from app.platforms import _youtube_errors as errors
from app.platforms import _youtube_rules as rules
from app.platforms import oauth
from app.platforms._transport import RequestBody
from app.platforms._youtube_upload import Video, objects, part, stored_by, text
from app.platforms.base import PlatformConfig, PublishRequest, Tokens
from app.platforms.http import AnswerLost, HttpClient, Line, Response

API_DEADLINE = 20.0  # seconds for one call without a file
THUMBNAIL_DEADLINE = 120.0
MAX_RETRY_AFTER = 86_400.0
VIDEO_PARTS = "status,snippet,processingDetails"
GONE_STATUS = frozenset({404, 410})
_WORD = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_BUCKETS = {"session": rules.INSERTS}


@dataclass(frozen=True)
class SessionState:
    """What an upload session says of itself: how much it holds, the video it became, or that it is gone."""

    stored: int = 0
    video: Video | None = None
    is_gone: bool = False


class YouTubeApi:
    """The data and the upload API. Every method may raise what `refusal` and HttpClient raise."""

    def __init__(self, http: HttpClient, config: PlatformConfig) -> None:
        self.http, self._config = http, config
        self.base, self.uploads = config["API_BASE"].rstrip("/"), config["UPLOAD_BASE"].rstrip("/")

    # -- grants

    def tokens(self, form: Mapping[str, str], *, operation: str) -> Tokens:
        """Ask the token endpoint. Raises as `oauth.post_form`."""
        client = {"client_id": self._config["CLIENT_ID"], "client_secret": self._config["CLIENT_SECRET"]}
        answer = oauth.post_form(
            self.http, self._config["TOKEN_URL"], client | dict(form), operation=operation
        )
        return Tokens(
            access_token=oauth.text(answer, "access_token", operation, platform=self.http.platform),
            refresh_token=text(answer.get("refresh_token")) or None,
            expires_at=oauth.expiry(answer.get("expires_in")),
            refresh_expires_at=oauth.expiry(answer.get("refresh_token_expires_in")),
            scopes=oauth.scope_set(answer.get("scope")),
        )

    def revoke(self, token: str) -> None:
        """End a grant; one that has ended already is no error."""
        url, form = self._config["REVOKE_URL"], {"token": token}
        response = self.http.request("POST", url, operation="revoke", data=form, deadline=API_DEADLINE)
        if response.status >= 400 and response.status != 400:
            raise self.refusal(response)

    # -- the data API

    def call(
        self,
        path: str,
        token: str,
        *,
        operation: str,
        method: str = "GET",
        query: Mapping[str, str | Sequence[str]],
        json: Mapping[str, Any] | None = None,
        deadline: float = API_DEADLINE,
        commits: bool = False,
        line: Line | None = None,
    ) -> dict[str, Any]:
        """Call the data API and return its answer; of a call that `commits`, only clear refusals are such."""
        response = self.http.request(
            method,
            f"{self.base}/{path}?{urlencode(query, doseq=True)}",
            operation=operation,
            headers=_bearer(token),
            json=json,
            deadline=deadline,
            commits=commits,
            line=line,
        )
        if response.status == 204:
            return {}
        if response.status == 200:
            return response.json()
        raise self.refusal(response) if not commits else self.after_commit(response)

    def listed(
        self,
        path: str,
        token: str,
        *,
        operation: str,
        query: Mapping[str, str | Sequence[str]],
        deadline: float = API_DEADLINE,
    ) -> list[dict[str, Any]]:
        """Return the items of a list; an answer without any list is not an empty one."""
        answer = self.call(path, token, operation=operation, query=query, deadline=deadline)
        found = objects(answer)
        if found is None or len(found) != len(answer["items"]):
            raise PlatformAPIError(
                "YouTube's answer names no items. We ask again.", {"operation": operation}, platform="youtube"
            )
        return found

    def own_channel(self, token: str, *, parts: str) -> dict[str, Any]:
        """Return the channel the token is of. Raises the typed error when the account has none."""
        items = self.listed("channels", token, operation="channels", query={"part": parts, "mine": "true"})
        if not items:
            code = "youtubeSignupRequired"
            raise errors.error(errors.ERRORS[code], code)
        return items[0]

    def videos(self, token: str, ids: Sequence[str], *, deadline: float = API_DEADLINE) -> dict[str, Video]:
        """Return those of up to 50 videos that are there, by id.

        Raises (transient) when one cannot be read: nobody can say then that it is not there, or who may see it.
        """
        query = {"part": VIDEO_PARTS, "id": ",".join(ids), "maxResults": "50"}
        items = self.listed("videos", token, operation="videos", query=query, deadline=deadline)
        found = [video for item in items if (video := Video.read(item)) and video.is_readable]
        if len(found) != len(items):
            message = "YouTube's answer about the video is not complete. We ask again."
            raise PlatformAPIError(message, {"operation": "videos"}, platform="youtube")
        return {video.id: video for video in found if video.id in ids}

    def video(self, token: str, video_id: str, *, deadline: float = API_DEADLINE) -> Video | None:
        return self.videos(token, [video_id], deadline=deadline).get(video_id)

    # -- the upload API

    def start(self, request: PublishRequest, *, privacy: str) -> str:
        """Begin an upload session and return its address, checked."""
        notify = request.options.get("notify_subscribers", True) is not False
        query = {
            "uploadType": "resumable",
            "part": "snippet,status",
            "notifySubscribers": str(notify).lower(),
        }
        headers = _bearer(request.account.access_token) | {
            "Content-Type": "application/json; charset=UTF-8",
            "X-Upload-Content-Type": request.source.content_type,
            "X-Upload-Content-Length": str(request.source.size),
        }
        response = self.http.request(
            "POST",
            f"{self.uploads}/videos?{urlencode(query)}",
            operation="session",
            headers=headers,
            json={"snippet": rules.snippet(request), "status": rules.status(request, privacy=privacy)},
            deadline=API_DEADLINE,
        )
        if response.status != 200:
            raise self.refusal(response)
        location = response.headers.get("Location")
        if not location:
            raise response.unreadable("no upload address")
        return self.http.check_url(location)

    def put(
        self,
        request: PublishRequest,
        session: str,
        body: bytes | RequestBody,
        extent: tuple[int, int, int],
        *,
        deadline: float,
        commits: bool = False,
        line: Line | None = None,
    ) -> Response:
        """Send bytes `start` to `end` (exclusive) of `total` to a session."""
        start, end, total = extent
        headers = _bearer(request.account.access_token)
        headers["Content-Type"] = request.source.content_type
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{total}"
        return self.http.request(
            "PUT",
            session,
            operation="commit" if commits else "chunk",
            headers=headers,
            body=body,
            deadline=deadline,
            expect_redirect=True,  # 308: go on
            commits=commits,
            line=line,
        )

    def ask(self, request: PublishRequest, session: str, total: int) -> SessionState:
        """Ask a session how much it holds."""
        headers = _bearer(request.account.access_token) | {"Content-Range": f"bytes */{total}"}
        response = self.http.request(
            "PUT",
            session,
            operation="ask",
            headers=headers,
            body=b"",
            deadline=API_DEADLINE,
            expect_redirect=True,
        )
        return self.state(response, total)

    def state(self, response: Response, total: int) -> SessionState:
        """Read a session's answer. Raises the typed error of a refusal."""
        if response.status == 308:
            stored = stored_by(response.headers.get("Range"))
            if stored is None or stored > total:
                raise response.unreadable("no sense in its Range")
            return SessionState(stored)
        if response.status in (200, 201):
            video = Video.read(response.json())
            if video is None:
                raise response.unreadable("no video id")
            return SessionState(total, video)
        if response.status in GONE_STATUS:
            return SessionState(is_gone=True)
        raise self.refusal(response)

    def set_thumbnail(self, token: str, video_id: str, body: RequestBody, content_type: str) -> None:
        """Set a video's thumbnail; doing it again changes nothing."""
        response = self.http.request(
            "POST",
            f"{self.uploads}/thumbnails/set?{urlencode({'videoId': video_id})}",
            operation="thumbnail",
            headers=_bearer(token) | {"Content-Type": content_type},
            body=body,
            deadline=THUMBNAIL_DEADLINE,
        )
        if response.status != 200:
            raise self.refusal(response)

    # -- refusals

    def refusal(self, response: Response) -> PlatformAPIError:
        """Return the typed error of an answer: by its reason, else by its HTTP status."""
        reason = _reason(response)
        row = errors.ERRORS.get(reason or "") or errors.row_for_status(response.status)
        if response.status >= 500 or (response.operation in ("chunk", "ask") and row.kind == "content"):
            row = errors.ERRORS[
                "backendError"
            ]  # an offset that does not fit is asked for again, not the user's fault
        details: dict[str, Any] = {"operation": response.operation, "status": response.status}
        if row.bucket or row.new_day:
            details["bucket"] = row.bucket or _BUCKETS.get(response.operation, rules.UNITS)
        return errors.error(
            row, reason or f"http_{response.status}", details, retry_after=_retry_after(response)
        )

    def after_commit(self, response: Response) -> PlatformAPIError:
        """Return the error of a commit's answer: in doubt unless it is a refusal that certainly changed nothing."""
        refused = self.refusal(response)
        if response.status in (400, 401, 403, 404, 429) and refused.kind != "transient":
            return refused
        return doubt(f"YouTube answered with HTTP {response.status}; we ask what became of it.")


def doubt(message: str) -> PlatformAPIError:
    """Return the error for a post that may exist: only asking helps."""
    return PlatformAPIError(message, platform="youtube", kind="ambiguous")


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def _reason(response: Response) -> str | None:
    """Return the word by which YouTube names a refusal, if it looks like one."""
    try:
        error = part(response.json(), "error")
    except AnswerLost:
        return None
    words = [text(item.get("reason")) for item in objects(error, "errors") or []]
    words += [text(item.get("reason")) for item in objects(error, "details") or []]
    known = next((word for word in words if word in errors.ERRORS), None)
    word = known or next(iter(words), "") or text(error.get("status"))
    return word if _WORD.fullmatch(word) else None


def _retry_after(response: Response) -> float | None:
    value = response.headers.get("Retry-After", "")
    return min(float(value), MAX_RETRY_AFTER) if value.isascii() and value.isdigit() else None
