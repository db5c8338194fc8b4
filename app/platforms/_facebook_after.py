"""What follows a Facebook post: its cover, its first comment, its figures, its removal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from app.exceptions import PlatformAPIError
from app.platforms import _facebook_rules as rules
from app.platforms._facebook_upload import FormBody, stream
from app.platforms._meta import (
    API_DEADLINE,
    SLOWEST_BYTES_PER_SECOND,
    Graph,
    doubt,
    identifier,
    objects,
    part,
    text,
    whole,
)
from app.platforms._meta_rules import GONE
from app.platforms.base import Account, PlannedStep, PublishRequest, Stats, StepDone, StepNotDone, StepUnknown

MAX_STATS = 5  # posts asked for at once; with insights each takes one call a metric
_COUNTS = "views,likes.summary(true).limit(0),comments.summary(true).limit(0)"
# One unknown metric fails a whole call and one of the other kind comes back empty, so each is asked alone.
_METRICS = (
    "blue_reels_play_count",
    "fb_reels_total_plays",
    "total_video_views",
    "post_video_avg_time_watched",
    "post_video_view_time",
    "post_video_social_actions",
    "post_video_likes_by_reaction_type",
)


def planned(options: Mapping[str, Any]) -> list[PlannedStep]:
    """Return the steps a post's options ask for."""
    steps = [PlannedStep("thumbnail")] if options.get("use_thumbnail") is True else []
    comment = text(options.get("first_comment")).strip()
    return steps + ([PlannedStep("first_comment", {"text": comment})] if comment else [])


def set_thumbnail(graph: Graph, request: PublishRequest) -> StepDone:
    """Make the video's thumbnail its cover; doing it again changes nothing."""
    source = request.thumbnail()
    if source is None:
        raise PlatformAPIError("The video has no thumbnail to use.", platform="facebook", kind="content")
    with stream(source, 0, source.size) as inner:
        body = FormBody(
            inner, {"is_preferred": "true"}, field_name="source", content_type=source.content_type
        )
        graph.call(
            "POST",
            f"/{quote(request.remote_id or '')}/thumbnails",
            request.account.access_token,
            operation="thumbnail",
            body=body,
            headers={"Content-Type": body.content_type},
            deadline=API_DEADLINE + len(body) / SLOWEST_BYTES_PER_SECOND,
        )
    return StepDone()


def comment(graph: Graph, request: PublishRequest, step: PlannedStep) -> StepDone:
    """Write the first comment. A lost answer is ambiguous: comments are no more repeated than posts."""
    path = f"/{quote(request.remote_id or '')}/comments"
    answer = graph.call(
        "POST",
        path,
        request.account.access_token,
        operation="first_comment",
        data={"message": str(step.payload["text"])},
        commits=True,
    )
    if not (comment_id := identifier(answer.get("id"))):
        raise doubt("facebook", graph.label)
    return StepDone({"id": comment_id})


def find_comment(
    graph: Graph, request: PublishRequest, step: PlannedStep
) -> StepDone | StepNotDone | StepUnknown:
    """Look for the first comment in the post's list: the Page's own, with the same text."""
    params = {"fields": "id,message,from", "filter": "stream", "limit": "100"}
    path, token = f"/{quote(request.remote_id or '')}/comments", request.account.access_token
    try:
        listed = graph.listing(path, token, operation="comments", params=params)
    except PlatformAPIError as error:
        if error.platform_code == GONE:
            return StepUnknown("Facebook does not know the post any more.")
        raise
    wanted = _plain(str(step.payload["text"]))
    same = [item for item in listed if _plain(text(item.get("message"))) == wanted]
    own = [item for item in same if _author(item) == request.account.remote_id]
    if own:
        return StepDone({"id": identifier(own[0].get("id"))})
    if any(not _author(item) for item in same):
        return StepUnknown("There is such a comment, but Facebook does not say whose it is.")
    return StepNotDone()


def _author(item: Mapping[str, Any]) -> str:
    """Return whose the comment is; empty where Facebook does not tell."""
    return identifier(part(item.get("from")).get("id"))


def _plain(value: str) -> str:
    return " ".join(value.split())


def stats(graph: Graph, account: Account, video_id: str) -> Stats | None:
    """Return one video's figures, None when Facebook does not know it. What is not told stays None."""
    try:
        counts = graph.call(
            "GET", f"/{quote(video_id)}", account.access_token, operation="stats", params={"fields": _COUNTS}
        )
    except PlatformAPIError as error:
        if error.platform_code == GONE:
            return None
        raise
    insights = _insights(graph, account, video_id) if rules.INSIGHTS_SCOPE in account.scopes else {}
    return _as_stats(counts, insights)


def _insights(graph: Graph, account: Account, video_id: str) -> dict[str, Any]:
    found = {}
    for metric in _METRICS:
        value = _metric(graph, account, video_id, metric)
        if value is not None:
            found[metric] = value
    return found


def _metric(graph: Graph, account: Account, video_id: str, metric: str) -> Any:
    """Return one metric's value, None when this video has no such metric."""
    path, params = f"/{quote(video_id)}/video_insights", {"metric": metric}
    try:
        answer = graph.call("GET", path, account.access_token, operation="insights", params=params)
    except PlatformAPIError as error:
        if error.kind == "content":  # (#100): not a metric of this kind of video
            return None
        raise
    rows = [row for row in objects(answer.get("data")) if row.get("name") == metric]
    values = objects(rows[0].get("values")) if rows else []
    return values[0].get("value") if values else None


def _as_stats(counts: Mapping[str, Any], insights: Mapping[str, Any]) -> Stats:
    social = {key.upper(): value for key, value in part(insights.get("post_video_social_actions")).items()}
    likes = part(insights.get("post_video_likes_by_reaction_type"))
    plays = (insights.get("blue_reels_play_count"), insights.get("total_video_views"), counts.get("views"))
    reactions = (
        sum(count for value in likes.values() if (count := whole(value)) is not None) if likes else None
    )
    seen = {
        name: insights[name] for name in ("fb_reels_total_plays",) if whole(insights.get(name)) is not None
    }
    return Stats(
        views=next((count for value in plays if (count := whole(value)) is not None), None),
        likes=_first(_total(counts.get("likes")), reactions),
        comments=_first(_total(counts.get("comments")), whole(social.get("COMMENT"))),
        shares=whole(social.get("SHARE")),
        watch_seconds=_seconds(insights.get("post_video_view_time")),
        average_watch_seconds=_seconds(insights.get("post_video_avg_time_watched")),
        more=seen,
    )


def _first(*counts: int | None) -> int | None:
    return next((count for count in counts if count is not None), None)


def _total(edge: object) -> int | None:
    return whole(part(part(edge).get("summary")).get("total_count"))


def _seconds(milliseconds: object) -> float | None:
    found = whole(milliseconds)
    return None if found is None or not 0 <= found < 10**15 else found / 1000


def remove(graph: Graph, account: Account, video_id: str) -> None:
    """Delete a video; one that is gone already is no error."""
    try:
        graph.call("DELETE", f"/{quote(video_id)}", account.access_token, operation="remove")
    except PlatformAPIError as error:
        if error.platform_code != GONE:
            raise
