"""YouTube where the last chunk publishes: only uploading was permitted. And what became of uploads without a video."""

from __future__ import annotations

from typing import NoReturn

from app import clock
from app.exceptions import PlatformAPIError
from app.platforms import _youtube_errors as errors
from app.platforms import _youtube_rules as rules
from app.platforms._youtube_after import YouTubeAfter
from app.platforms._youtube_api import GONE_STATUS, SessionState, doubt
from app.platforms._youtube_upload import BY_UPDATE, Upload, Video, read_ahead
from app.platforms.base import (
    CommitResult,
    HandleDead,
    LocateResult,
    NotCommitted,
    Pending,
    PreparedCommit,
    Published,
    PublishRequest,
    Rejected,
)

LIST_POLL = 30.0  # seconds
LIST_LAG = 600.0  # how long a new video may be missing from the channel's list


class YouTubeLastChunk(YouTubeAfter):
    """See the module."""

    def _prepare_last_chunk(self, request: PublishRequest, upload: Upload) -> PreparedCommit:
        """Ask where the session stands: an earlier try may have left a part of the chunk, or all of it."""
        try:
            state = self.api.ask(request, upload.session, upload.size)
        except PlatformAPIError as error:
            if error.kind != "transient":
                raise
            state = SessionState(upload.uploaded)
        if state.video is not None:
            return PreparedCommit(lambda _deadline: self._whole_already())
        if state.is_gone:
            return PreparedCommit(lambda _deadline: self._ended(request, upload))
        if state.stored < upload.staged_at:
            return PreparedCommit(lambda _deadline: HandleDead("YouTube has less than it had confirmed"))
        body = read_ahead(request.source, state.stored, upload.size)
        line = self.http.warm(upload.session)
        extent = (state.stored, upload.size, upload.size)

        def send(deadline: float) -> CommitResult:
            with body as opened:
                response = self.api.put(
                    request, upload.session, opened, extent, deadline=deadline, commits=True, line=line
                )
            if response.status in GONE_STATUS:
                return self._ended(request, upload)
            if response.status not in (200, 201):
                return self._refused_whole(request, upload, self.api.after_commit(response))
            found = self.api.state(response, upload.size).video
            assert found is not None
            return self._published_whole(request, found)

        return PreparedCommit(send)

    def _refused_whole(self, request: PublishRequest, upload: Upload, error: PlatformAPIError) -> HandleDead:
        """Raise the refusal of the last chunk, unless the session has it: it may have come by an earlier call."""
        if error.kind not in ("content", "media", "config", "account"):
            raise error
        try:
            state = self.api.ask(request, upload.session, upload.size)
        except PlatformAPIError:
            raise doubt("YouTube did not say what it has of the video; we ask again.") from None
        if state.video is not None:
            self._whole_already()
        if state.is_gone:
            return self._ended(request, upload)
        raise error

    def _whole_already(self) -> NoReturn:
        raise doubt("YouTube has the whole video already; we ask what became of it.")

    def _ended(self, request: PublishRequest, upload: Upload) -> HandleDead:
        """Return that the session is dead, if no video came of it."""
        try:
            found = self.find(request, upload)
        except PlatformAPIError:
            raise doubt("YouTube did not say whether the video is there; we ask again.") from None
        if found is not None or request.committed_at is not None:
            raise doubt("The upload's session is gone; we ask what became of it.")
        return HandleDead("YouTube has ended the upload's session")

    def _published_whole(self, request: PublishRequest, video: Video) -> Published:
        if video.is_private and rules.wanted_privacy(request) != rules.PRIVATE:
            raise errors.error(errors.KEPT_PRIVATE, "privacy_not_changed", {"video_id": video.id})
        return self._published(request, video.id)

    def _locate_upload(self, request: PublishRequest, upload: Upload) -> LocateResult:
        """Ask the session; when it is gone, the channel's list, which may lag a little.

        Where the update publishes, an upload without a video is one of a restored database: what became of it
        is told by the session and the list, and if that is nothing the commit will say that it is dead.
        """
        state = self.api.ask(request, upload.session, upload.size)
        if upload.mode == BY_UPDATE:
            made = self._by_session(request, state) or self.find(request, upload)
            if made is None and state.is_gone:
                return HandleDead("YouTube has ended the upload's session, and the video is not there")
            return NotCommitted() if made is None or made.is_private else self._judge(request, made)
        video = self.find(request, upload) if state.is_gone else state.video
        if video is not None:
            return self._judge(request, video)
        if not state.is_gone:
            return NotCommitted()
        if self._is_recent(request):
            return Pending(self.after(LIST_POLL))
        return HandleDead("YouTube has ended the upload's session, and the video is not there")

    def _by_session(self, request: PublishRequest, state: SessionState) -> Video | None:
        """Return the video of a session as it is now: the session repeats what was true at its end."""
        return state.video and self.api.video(request.account.access_token, state.video.id)

    def _is_recent(self, request: PublishRequest) -> bool:
        """Was the commit so lately that what it made may still be missing from answers?"""
        return request.committed_at is not None and clock.now() < request.committed_at + self.lasting(
            LIST_LAG
        )

    def _judge(self, request: PublishRequest, video: Video) -> LocateResult:
        try:
            refused = self.refused(video)
            return Rejected(refused) if refused else self._published_whole(request, video)
        except PlatformAPIError as error:
            return Rejected(error)

    def _published(self, request: PublishRequest, video_id: str) -> Published:
        return Published(video_id, self.permalink(request, video_id))
