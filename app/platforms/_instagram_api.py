"""Instagram's calls, the same for both flavours: which host, which token, and what an answer must hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from app.exceptions import PlatformAPIError
from app.platforms import _instagram_rules as rules
from app.platforms._meta import API_DEADLINE, Graph, objects, part, text, whole
from app.platforms._transport import PatientBody, StreamBody
from app.platforms.base import Account, ByteSource
from app.platforms.http import Line

_RECENT = "10"
_METRICS = ("views", "reach", "likes", "comments", "shares", "saved", "total_interactions")
_WATCH_METRICS = ("ig_reels_avg_watch_time", "ig_reels_video_view_total_time")
MISSING = frozenset({"100/33", "24/2207006"})


def flavour_of(account: Account) -> str:
    """Return by which login an account was connected: its scopes say it, else what was noted then."""
    if any(scope.startswith("instagram_business_") for scope in account.scopes):
        return rules.INSTAGRAM
    return rules.INSTAGRAM if account.details.get("login") == rules.INSTAGRAM else rules.FACEBOOK


class InstagramApi:
    """The calls of one flavour for one account, with the account's token."""

    def __init__(self, graph: Graph, account: Account, *, daily_posts: int) -> None:
        self.graph = graph
        self.daily_posts = daily_posts  # where Instagram does not tell the account's own number
        self.account = account
        self._token = account.access_token

    # -- containers

    def create(self, fields: Mapping[str, str]) -> tuple[str, str]:
        """Make a container; return its id and, for one to upload to, the address, checked."""
        answer = self._post(f"/{self.account.remote_id}/media", fields, operation="container")
        uri = text(answer.get("uri"))
        if fields.get("upload_type") == "resumable":
            uri = self.graph.http.check_url(self._text(answer, "uri", "container"))
        return self._id(answer, "container"), uri

    def upload(self, uri: str, source: ByteSource, *, offset: int, on_stretch: Callable[[int], None]) -> None:
        """Send the file from `offset` on, in one request, streamed; see PatientBody."""
        self.graph.http.check_url(uri)
        length = source.size - offset
        with source.open(offset, length) as opened:
            body = PatientBody(StreamBody(opened, length), on_stretch)
            answer = self.graph.upload(uri, self._token, body, offset=offset, size=source.size)
        if answer.get("success") is not True:
            raise self._missing("success", "upload")

    def received(self, container_id: str) -> int | None:
        """Ask how many bytes of an upload have arrived; None when Instagram does not tell."""
        params = {"fields": "video_status"}
        try:
            answer = self._get(f"/{container_id}", params, operation="upload_status")
        except PlatformAPIError as error:
            if error.kind == "content" and error.platform_code not in MISSING:
                return None  # the field is not known on the node: core-platforms 3.3 (1c)
            raise
        phase = part(part(answer.get("video_status")).get("uploading_phase"))
        told = phase.get("bytes_transferred", phase.get("bytes_transfered"))
        return whole(told)

    def status(self, container_id: str, *, deadline: float = API_DEADLINE) -> tuple[str, int]:
        """Ask how far a container is: its status code, and the subcode of its failure, or 0."""
        params, operation = {"fields": "status_code,status"}, "container_status"
        answer = self._get(f"/{container_id}", params, operation=operation, deadline=deadline)
        return self._text(answer, "status_code", "container_status"), rules.subcode_of(
            text(answer.get("status"))
        )

    def publish(self, container_id: str, *, deadline: float, line: Line) -> str:
        """Publish a container: the commit. Return the media's id. What leaves it in doubt is ambiguous."""
        answer = self.graph.call(
            "POST",
            f"/{self.account.remote_id}/media_publish",
            self._token,
            operation="publish",
            data={"creation_id": container_id},
            deadline=deadline,
            commits=True,
            line=line,
        )
        return self._made(answer, "publish")

    def publishing_limit(self) -> tuple[int, int] | None:
        """Ask how many posts of the last 24 hours count, and how many may; None when it is not told."""
        path = f"/{self.account.remote_id}/content_publishing_limit"
        params = {"fields": "config,quota_usage"}
        try:
            answer = self._get(path, params, operation="publishing_limit")
        except PlatformAPIError as error:
            if error.kind in {"content", "config"}:
                return None
            raise
        facts = next(iter(objects(answer.get("data"))), {})
        used, total = whole(facts.get("quota_usage")), whole(part(facts.get("config")).get("quota_total"))
        return None if used is None else (used, self.daily_posts if total is None else total)

    # -- posts

    def recent(self) -> list[dict[str, Any]]:
        """Return the account's newest posts."""
        params = {"fields": "id,caption,timestamp,permalink,media_product_type", "limit": _RECENT}
        answer = self._get(f"/{self.account.remote_id}/media", params, operation="media_list")
        return self.graph.rows(answer, operation="media_list")

    def is_listed(self, media_id: str) -> bool:
        """Return whether the account's newest 100 posts hold this one: as many as two days can bring."""
        params = {"fields": "id", "limit": "100"}
        answer = self._get(f"/{self.account.remote_id}/media", params, operation="media_list")
        rows = self.graph.rows(answer, operation="media_list")
        return any(_number(item.get("id")) == media_id for item in rows)

    def permalink(self, media_id: str) -> str | None:
        """Ask for a post's address. Raises when it is not there (platform_code in MISSING)."""
        answer = self._get(f"/{media_id}", {"fields": "id,permalink,media_product_type"}, operation="media")
        return text(answer.get("permalink")) or None

    def delete(self, media_id: str) -> None:
        self.graph.call("DELETE", f"/{media_id}", self._token, operation="remove")

    # -- comments and figures

    def comment(self, media_id: str, message: str) -> str:
        """Write a comment; return its id. What leaves in doubt whether it is there is ambiguous."""
        answer = self.graph.call(
            "POST",
            f"/{media_id}/comments",
            self._token,
            operation="comment",
            data={"message": message},
            commits=True,
        )
        return self._made(answer, "comment")

    def comments(self, media_id: str) -> list[dict[str, Any]]:
        params = {"fields": "id,text,username,timestamp", "limit": "50"}
        return self.graph.listing(f"/{media_id}/comments", self._token, operation="comments", params=params)

    def insights(self, media_id: str) -> dict[str, Any]:
        """Return a reel's figures by Instagram's names. One metric it does not know fails the whole call."""
        for metrics in ((*_METRICS, *_WATCH_METRICS), _METRICS):
            try:
                return self._insights(media_id, metrics)
            except PlatformAPIError as error:
                if error.kind != "content" or error.platform_code in MISSING:
                    raise
        return {}

    def counts(self, media_id: str) -> dict[str, Any]:
        """Return what is told of a post without the permission for insights."""
        return self._get(f"/{media_id}", {"fields": "like_count,comments_count"}, operation="media_counts")

    def _insights(self, media_id: str, metrics: Sequence[str]) -> dict[str, Any]:
        params = {"metric": ",".join(metrics)}
        answer = self._get(f"/{media_id}/insights", params, operation="insights")
        values = (
            (text(item.get("name")), objects(item.get("values"))) for item in objects(answer.get("data"))
        )
        return {name: found[0].get("value") for name, found in values if name and found}

    # -- plumbing

    def _get(
        self, path: str, params: Mapping[str, str], *, operation: str, deadline: float = API_DEADLINE
    ) -> dict[str, Any]:
        return self.graph.call(
            "GET", path, self._token, operation=operation, params=params, deadline=deadline
        )

    def _post(self, path: str, data: Mapping[str, str], *, operation: str) -> dict[str, Any]:
        return self.graph.call("POST", path, self._token, operation=operation, data=data)

    def _id(self, answer: Mapping[str, Any], operation: str) -> str:
        found = _number(answer.get("id"))
        if not found:
            raise self._missing("id", operation)
        return found

    def _made(self, answer: Mapping[str, Any], operation: str) -> str:
        """Return the id of what a call made. Raises (ambiguous) without one: it may be there."""
        try:
            return self._id(answer, operation)
        except PlatformAPIError as error:
            error.kind = "ambiguous"
            raise

    def _text(self, answer: Mapping[str, Any], key: str, operation: str) -> str:
        found = text(answer.get(key))
        if not found:
            raise self._missing(key, operation)
        return found

    def _missing(self, key: str, operation: str) -> PlatformAPIError:
        message = f"Instagram's answer to {operation} lacks {key}. We ask again."
        return PlatformAPIError(message, {"missing": key}, platform=self.graph.http.platform)


def _number(value: object) -> str:
    """Return an id, which is a number that may come as one or as text, else an empty text."""
    number = whole(value)
    return str(number) if number is not None and number > 0 else ""


def matching(
    posts: Sequence[Mapping[str, Any]], *, caption: str, since: datetime, until: datetime | None
) -> Mapping[str, Any] | None:
    """Return the one reel with this caption that was made in that time; None if there are more, or none."""
    found = [
        post
        for post in posts
        if post.get("media_product_type") == "REELS"
        and _same(text(post.get("caption")), caption)
        and (made_at := _instant(post.get("timestamp"))) is not None
        and made_at >= since
        and (until is None or made_at <= until)
        and _number(post.get("id"))
    ]
    return found[0] if len(found) == 1 else None


def _same(found: str, wanted: str) -> bool:
    """Instagram trims and folds blanks; nothing else of a caption may differ."""
    return found.split() == wanted.split()


def _instant(value: object) -> datetime | None:
    """Return an ISO 8601 time as Meta writes it (2026-11-23T19:00:00+0000), or None."""
    try:
        found = datetime.fromisoformat(text(value))
    except ValueError:
        return None
    return found if found.tzinfo else None
