"""YouTube once a video is there: what its state means, its address, its thumbnail, its first comment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from app.exceptions import PlatformAPIError
from app.platforms import _youtube_errors as errors
from app.platforms import _youtube_rules as rules
from app.platforms._covers import Cover
from app.platforms._youtube_account import YouTubeAccount
from app.platforms._youtube_api import doubt
from app.platforms._youtube_upload import Upload, Video, objects, part, stream, text
from app.platforms.base import (
    Handle,
    PlannedStep,
    PublishRequest,
    StepDone,
    StepKind,
    StepLater,
    StepNotDone,
    StepUnknown,
)

COVER = Cover(
    "picture",
    source="discovery document youtube v3, revision 20261104: thumbnails.set",
    checked_on="2026-11-23",
    advice="1280x720 or more; of a Short 9:16, once it is processed. The channel must be verified by phone.",
    max_bytes=50_000_000,  # "50 MB", since 2026-09-14
)
FIRST_COMMENT, THUMBNAIL = "first_comment", "thumbnail"
NEXT_TRY = 60.0  # seconds
COMMENT_PAGES = 5


class YouTubeAfter(YouTubeAccount):
    """See the module."""

    cover = COVER

    step_kinds = (
        StepKind(FIRST_COMMENT, "First comment", repeatable=False),
        StepKind(THUMBNAIL, "Thumbnail", repeatable=True),
    )

    def refused(self, video: Video) -> PlatformAPIError | None:
        """Return why YouTube does not show this video, or None."""
        if video.upload_status == "rejected":
            row = errors.REJECTIONS.get(video.reason, errors.REFUSED)
        elif video.upload_status == "failed" or video.processing in ("failed", "terminated"):
            row = errors.FAILURES.get(video.reason, errors.UNUSABLE)
        else:
            return None
        return errors.error(row, video.reason[:64] or video.upload_status)

    def permalink(self, request: PublishRequest, video_id: str) -> str:
        base = self.config["WEB_URL"].rstrip("/")
        return f"{base}/shorts/{video_id}" if rules.is_short(request) else f"{base}/watch?v={video_id}"

    def find(self, request: PublishRequest, upload: Upload) -> Video | None:
        """Look for a target's video among the channel's newest, by our tag; one that is out goes before others."""
        token, playlist = request.account.access_token, self.uploads_of(request.account)
        query = {"part": "contentDetails", "playlistId": playlist, "maxResults": "50"}
        items = self.api.listed("playlistItems", token, operation="playlist", query=query)
        ids = [found for item in items if (found := text(part(item, "contentDetails").get("videoId")))]
        videos = self.api.videos(token, ids).values() if ids else ()
        tag = rules.marker(request.target_id)
        ours = [video for video in videos if tag in video.tags and video.is_since(upload.started_at)]
        return min(ours, key=lambda video: video.is_private, default=None)

    # -- steps

    def plan_steps(self, request: PublishRequest, handle: Handle) -> Sequence[PlannedStep]:
        planned, thumbnail = [], Upload.from_handle(handle).thumbnail if handle else ""
        if request.options.get("use_thumbnail") is True and thumbnail not in ("set", "none"):
            planned.append(PlannedStep(THUMBNAIL))
        if comment := text(request.options.get(FIRST_COMMENT)):
            planned.append(PlannedStep(FIRST_COMMENT, {"text": comment}))
        return planned

    def perform_step(self, request: PublishRequest, step: PlannedStep) -> StepDone | StepLater:
        if step.kind == THUMBNAIL:
            return self._thumbnail_step(request)
        return self._comment(request, text(step.payload.get("text")))

    def locate_step(
        self, request: PublishRequest, step: PlannedStep
    ) -> StepDone | StepNotDone | StepLater | StepUnknown:
        """Look for the channel's own comment with the same words, newest first."""
        wanted, page = text(step.payload.get("text")), ""
        for _ in range(COMMENT_PAGES):
            answer = self._comments(request, page)
            for thread in answer["items"]:
                if self._is_ours(request, thread, wanted):
                    return StepDone({"comment_id": text(thread.get("id"))})
            page = text(answer.get("nextPageToken"))
            if not page:
                return StepNotDone()
        return StepUnknown("There are too many comments by now to tell whether ours is among them.")

    def set_thumbnail(self, request: PublishRequest, video_id: str) -> bool:
        """Set the video's thumbnail; False when it has none. Raises the typed error."""
        source = request.thumbnail()
        if source is None:
            return False
        request.reserve(rules.UNITS, rules.THUMBNAIL_COST)
        with stream(source, 0, source.size) as body:
            self.api.set_thumbnail(request.account.access_token, video_id, body, source.content_type)
        return True

    def _thumbnail_step(self, request: PublishRequest) -> StepDone | StepLater:
        video_id = request.remote_id or ""
        video = self.api.video(request.account.access_token, video_id)
        if video is None or video.is_processing:
            return StepLater(self.after(NEXT_TRY), "YouTube still processes the video")
        return StepDone({"set": self.set_thumbnail(request, video_id)})

    def _comment(self, request: PublishRequest, words: str) -> StepDone:
        self.needs(request.account, rules.MAY_COMMENT)
        request.reserve(rules.UNITS, rules.COMMENT_COST)
        comment = {"videoId": request.remote_id, "topLevelComment": {"snippet": {"textOriginal": words}}}
        answer = self.api.call(
            "commentThreads",
            request.account.access_token,
            operation="comment",
            method="POST",
            query={"part": "snippet"},
            json={"snippet": comment},
            commits=True,
        )
        if not (comment_id := text(answer.get("id"))):
            raise doubt("YouTube did not say whether the comment was written; we look for it.")
        return StepDone({"comment_id": comment_id})

    def _comments(self, request: PublishRequest, page: str) -> dict[str, Any]:
        query = {
            "part": "snippet",
            "videoId": request.remote_id or "",
            "order": "time",
            "maxResults": "100",
            "textFormat": "plainText",
        }
        query |= {"pageToken": page} if page else {}
        token = request.account.access_token
        answer = self.api.call("commentThreads", token, operation="comments", query=query)
        if (found := objects(answer)) is None or len(found) != len(answer["items"]):
            raise PlatformAPIError("YouTube's answer names no comments. We ask again.", platform=self.name)
        return answer

    def _is_ours(self, request: PublishRequest, thread: Mapping[str, Any], words: str) -> bool:
        written = part(part(part(thread, "snippet"), "topLevelComment"), "snippet")
        author = text(part(written, "authorChannelId").get("value"))
        said = (text(written.get("textOriginal")), text(written.get("textDisplay")))
        same = words.split() in [text_.split() for text_ in said]  # YouTube may fold blanks and lines
        return same and author == request.account.remote_id
