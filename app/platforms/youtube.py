"""YouTube: videos and Shorts through the Data API v3, uploaded ahead of time as private.

What makes a post public is `videos.update` of its privacy, which may be repeated: so `stage` uploads the whole
video as private and waits until YouTube has processed it, `commit` sets the wanted privacy, `locate` reads it
back. A private video left over is nobody's post. Where only uploading was permitted the last chunk publishes
instead: the session is begun with the wanted privacy, `commit` sends the last chunk, the session is asked.

Rules and options are in `_youtube_rules.py`, the tables of errors in `_youtube_errors.py`, the calls in
`_youtube_api.py`, the handle in `_youtube_upload.py`, what needs no post in `_youtube_account.py`, what follows one in
`_youtube_after.py`, the commit by the last chunk in `_youtube_last_chunk.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from app import clock
from app.exceptions import PlatformAPIError, PlatformRateLimitError, StorageError
from app.platforms import _youtube_errors as errors
from app.platforms import _youtube_rules as rules
from app.platforms._youtube_api import API_DEADLINE, GONE_STATUS, SessionState, doubt
from app.platforms._youtube_last_chunk import LIST_POLL, YouTubeLastChunk
from app.platforms._youtube_upload import (
    BY_LAST_CHUNK,
    BY_UPDATE,
    QUICK_BYTES,
    Upload,
    Video,
    part,
    stream,
    text,
)
from app.platforms.base import (
    CommitResult,
    Handle,
    HandleDead,
    LocateResult,
    NotCommitted,
    Pending,
    PreparedCommit,
    Problem,
    PublishRequest,
    Rejected,
    Staged,
    Unknown,
    Wait,
    with_defaults,
)
from app.platforms.http import Line

SLOWEST_BYTES_PER_SECOND = 64 * 1024  # an upload slower than this is given up; progress is kept by chunks
FIRST_POLL, LAST_POLL = 5.0, 120.0  # seconds between questions about processing
LAST_CALL = 75.0  # this long before the due time it goes out whether processed or not
NEW_VIDEO_LAG = 300.0  # how long a new video may be missing from answers
SESSIONS_PER_STAGE = 2
DELETED = "The video is not at YouTube any more: deleted there, or removed."


class YouTube(YouTubeLastChunk):
    """See the module. Thread-safe: nothing of a post is kept on the instance."""

    name = "youtube"
    label = "YouTube"
    guarantee = "resumable"
    stage_ahead = timedelta(hours=24)
    settings = rules.SETTINGS
    scopes = rules.SCOPES
    post_types = rules.POST_TYPES
    type_of = staticmethod(rules.type_of)
    text_limits = rules.TEXT_LIMITS
    options = rules.OPTIONS
    scope_for = rules.SCOPE_FOR
    can_remove = True
    max_stats = 50

    # -- publishing

    def validate(self, *, title: str, caption: str, options: Mapping[str, Any]) -> list[Problem]:
        problems = super().validate(title=title, caption=caption, options=options)
        if not title.strip() and caption.strip():
            message = "YouTube needs a title; the caption becomes the description. Add a title."
            problems = [problem for problem in problems if problem.field != "title"]
            problems.append(Problem("title", message, 0, rules.MAX_TITLE))
        chosen = with_defaults(self.options, options)
        return problems + rules.rule_problems(title, caption, chosen)

    def stage(
        self, request: PublishRequest, handle: Handle | None, save: Callable[[Handle], None]
    ) -> Staged | Wait:
        upload = self._resume(request, handle, save)
        for _ in range(SESSIONS_PER_STAGE):
            upload = upload or self._begin(request, save)
            outcome = self._advance(request, upload, save)
            if outcome is not None:
                return outcome
            upload = None  # its session or its video is gone
        raise PlatformAPIError("YouTube ended the upload twice. We try again.", platform=self.name)

    def preflight(self, request: PublishRequest, handle: Handle) -> None:
        """Ask whether the staged video is still there and usable."""
        upload = Upload.from_handle(handle)
        if upload.video_id is None:
            self.api.own_channel(request.account.access_token, parts="id")
            return
        video = self.api.video(request.account.access_token, upload.video_id)
        if video is not None and (refused := self.refused(video)):
            raise refused

    def prepare_commit(self, request: PublishRequest, handle: Handle) -> PreparedCommit:
        upload = Upload.from_handle(handle)
        if upload.mode == BY_UPDATE and upload.video_id is None:
            return PreparedCommit(lambda _deadline: HandleDead("The upload was never completed"))
        if upload.mode == BY_UPDATE:
            line = self.http.warm(self.api.base)
            return PreparedCommit(lambda deadline: self._commit(request, upload, line, deadline))
        return self._prepare_last_chunk(request, upload)

    def locate(self, request: PublishRequest, handle: Handle) -> LocateResult:
        upload = Upload.from_handle(handle)
        if upload.video_id is None:
            return self._locate_upload(request, upload)
        video = self.api.video(request.account.access_token, upload.video_id)
        if video is None and self._is_recent(request):
            return Pending(self.after(LIST_POLL))
        if video is None or video.is_gone:
            return Unknown(DELETED)
        if refused := self.refused(video):
            return Rejected(refused)
        if video.is_private:  # also where private was asked for: setting it once more changes nothing
            return NotCommitted()
        return self._published(request, video.id)

    def watch(self, request: PublishRequest, handle: Handle) -> LocateResult:
        """Ask about a published post: rejected late, deleted, or still there, whoever may see it by now."""
        video_id = request.remote_id or Upload.from_handle(handle).video_id
        if video_id is None:
            return self.locate(request, handle)
        video = self.api.video(request.account.access_token, video_id)
        if video is None or video.is_gone:
            return Rejected(errors.error(errors.REMOVED, errors.GONE))
        refused = self.refused(video)
        return Rejected(refused) if refused else self._published(request, video_id)

    def slow_commit(self, handle: Handle) -> bool:
        return self.commit_bytes(handle) > QUICK_BYTES

    def commit_bytes(self, handle: Handle) -> int:
        """Return what the commit sends: nothing, except where the last chunk publishes."""
        upload = Upload.from_handle(handle)
        return upload.size - max(upload.staged_at, upload.uploaded) if upload.mode == BY_LAST_CHUNK else 0

    # -- staging: the session

    def _resume(
        self, request: PublishRequest, handle: Handle | None, save: Callable[[Handle], None]
    ) -> Upload | None:
        """Return the upload to go on with, as far as YouTube has it, or None if a new one is needed.

        The session is asked first, and when it is gone the channel's list: what is complete is not begun again.
        """
        if not handle:
            return None
        upload = Upload.from_handle(handle)
        if upload.video_id is not None:
            return upload if upload.size == request.source.size else None
        state = self.api.ask(request, upload.session, upload.size)
        video = self.find(request, upload) if state.is_gone else state.video
        if video is not None and upload.mode == BY_LAST_CHUNK:
            self._whole_already()
        if upload.size != request.source.size or upload.should_be_renewed(request.due_at):
            return None
        if video is not None:
            return self._complete(upload, video, save)
        return None if state.is_gone else replace(upload, uploaded=state.stored)

    def _begin(self, request: PublishRequest, save: Callable[[Handle], None]) -> Upload:
        """Begin a session. The units of the update are taken with it: the commit cannot ask for them."""
        self.needs(request.account, rules.MAY_UPLOAD)
        mode = BY_UPDATE if self.may(request.account, rules.MAY_CHANGE) else BY_LAST_CHUNK
        request.reserve(errors.UPLOADS, 1)
        if mode == BY_UPDATE:
            request.reserve_ahead(rules.UNITS, rules.UPDATE_COST)
        request.reserve(rules.INSERTS, 1)
        started_at = clock.now().timestamp()
        privacy = rules.PRIVATE if mode == BY_UPDATE else rules.wanted_privacy(request)
        session = self.api.start(request, privacy=privacy)
        upload = Upload(session, request.source.size, mode, started_at, self.chunk_size)
        save(upload.as_handle())
        return upload

    # -- staging: the bytes

    def _advance(
        self, request: PublishRequest, upload: Upload, save: Callable[[Handle], None]
    ) -> Staged | Wait | None:
        """Send what is missing, then wait for YouTube. None: begin anew. At least one chunk goes before yielding."""
        began_at = upload.uploaded
        while upload.video_id is None and upload.uploaded < upload.staged_at:
            if upload.uploaded > began_at and request.should_yield():
                return Wait(clock.now(), "others go first")
            state = self._send_chunk(request, upload)
            if state.is_gone:
                return None
            if state.video is not None:
                upload = self._complete(upload, state.video, save)
                break
            upload = replace(upload, uploaded=state.stored)
            save(upload.as_handle())
        if upload.mode == BY_LAST_CHUNK:
            return Staged(upload.expires_at)
        return self._await_processing(request, upload, save)

    def _send_chunk(self, request: PublishRequest, upload: Upload) -> SessionState:
        """Send one chunk. Raises (transient) when YouTube stored nothing of it."""
        start, end = upload.uploaded, upload.chunk_end(upload.uploaded)
        deadline = API_DEADLINE + (end - start) / SLOWEST_BYTES_PER_SECOND
        with stream(request.source, start, end) as body:
            response = self.api.put(
                request, upload.session, body, (start, end, upload.size), deadline=deadline
            )
        state = self.api.state(response, upload.size)
        if not state.is_gone and state.video is None and not start < state.stored < upload.size:
            raise PlatformAPIError(
                "YouTube did not store what it was sent. We try again.", platform=self.name
            )
        return state

    def _complete(self, upload: Upload, video: Video, save: Callable[[Handle], None]) -> Upload:
        now = clock.now().timestamp()
        done = replace(upload, uploaded=upload.size, video_id=video.id, completed_at=now, fields=video.fields)
        save(done.as_handle())
        return done

    # -- staging: the video

    def _await_processing(
        self, request: PublishRequest, upload: Upload, save: Callable[[Handle], None]
    ) -> Staged | Wait | None:
        """Wait until the video is processed, at most until shortly before the due time; set its thumbnail."""
        assert upload.video_id is not None
        last_call = request.due_at - self.lasting(LAST_CALL)
        try:
            request.reserve(rules.UNITS, 1)
            video = self.api.video(request.account.access_token, upload.video_id)
        except PlatformRateLimitError as error:
            if error.kind != "quota":
                raise
            return self._unseen(upload, min(error.retry_at or last_call, last_call))
        if video is None and self._since_complete(upload) < self.lasting(NEW_VIDEO_LAG):
            return Wait(self.after(FIRST_POLL), "YouTube does not show the video yet")
        if video is None or video.is_gone:
            return None
        if refused := self.refused(video):
            if refused.retryable:
                return None
            raise refused
        if not video.is_private:
            raise doubt("The video is not private any more; we ask what became of it.")
        if video.is_processing and clock.now() < last_call:
            return Wait(min(self._next_poll(upload), last_call), "YouTube processes the video")
        seen = self._with_thumbnail(request, replace(upload, fields=video.fields or upload.fields), video)
        if seen != upload:
            save(seen.as_handle())
        return Staged(upload.expires_at)

    def _unseen(self, upload: Upload, until: datetime) -> Staged | Wait:
        """Go on without asking: the units for the commit were taken when the upload began."""
        if clock.now() < until:
            return Wait(until, "today's units are used up")
        return Staged(upload.expires_at)

    def _since_complete(self, upload: Upload) -> timedelta:
        return timedelta(seconds=clock.now().timestamp() - (upload.completed_at or upload.started_at))

    def _next_poll(self, upload: Upload) -> datetime:
        """Return when to ask again: the longer it takes, the later."""
        waited = self._since_complete(upload).total_seconds() * self.config.pace
        return self.after(min(max(waited / 2, FIRST_POLL), LAST_POLL))

    def _with_thumbnail(self, request: PublishRequest, upload: Upload, video: Video) -> Upload:
        """Set the thumbnail if it is wanted and can be set by now; what fails here is left to a step."""
        wanted = request.options.get("use_thumbnail") is True
        if not wanted or upload.thumbnail or video.is_processing:
            return upload
        try:
            return replace(upload, thumbnail="set" if self.set_thumbnail(request, video.id) else "none")
        except (PlatformAPIError, StorageError):
            return replace(upload, thumbnail="failed")

    # -- committing by the video's privacy

    def _commit(self, request: PublishRequest, upload: Upload, line: Line, deadline: float) -> CommitResult:
        """Set the wanted privacy. The whole status goes along: what is left out would be wiped."""
        assert upload.video_id is not None
        ends, wanted = clock.monotonic() + deadline, rules.wanted_privacy(request)
        status = rules.status(request, privacy=wanted) | dict(upload.fields) | {"privacyStatus": wanted}
        try:
            answer = self.api.call(
                "videos",
                request.account.access_token,
                operation="commit",
                method="PUT",
                query={"part": "status"},
                json={"id": upload.video_id, "status": status},
                deadline=deadline,
                commits=True,
                line=line,
            )
        except PlatformAPIError as error:
            if error.details.get("status") not in GONE_STATUS or error.kind == "ambiguous":
                raise
            if request.committed_at is not None:  # an earlier commit may have made the post
                raise doubt("YouTube does not know the video; we ask what became of it.") from None
            return HandleDead(DELETED)
        if text(part(answer, "status").get("privacyStatus")) == wanted:
            return self._published(request, upload.video_id)
        return self._read_back(request, upload.video_id, ends - clock.monotonic())

    def _read_back(self, request: PublishRequest, video_id: str, seconds: float) -> CommitResult:
        """Look what became of the privacy, which YouTube's answer does not say to be the wanted one."""
        try:
            video = self.api.video(request.account.access_token, video_id, deadline=seconds)
        except PlatformAPIError:
            video = None
        if video is None or not video.privacy:
            raise doubt("YouTube did not say who may see the video; we ask what became of it.")
        if video.is_private and rules.wanted_privacy(request) != rules.PRIVATE:
            raise errors.error(errors.KEPT_PRIVATE, "privacy_not_changed", {"video_id": video_id})
        return self._published(request, video_id)
