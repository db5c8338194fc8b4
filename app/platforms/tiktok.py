"""TikTok: direct posts and drafts through the Content Posting API v2, uploaded by us (FILE_UPLOAD).

What makes a post exist is the last chunk (HTTP 201). So `stage` asks for an upload and sends every chunk but
the last; `commit` sends the last one; `locate` asks status/fetch, which knows each publish_id. An upload that
never gets its last chunk posts nothing and dies with its URL, after an hour. A draft goes the same way and ends
in the inbox of the account's owner, who posts it in the app; until TikTok has audited the app that is the default.

Rules, options and the tables of errors are in `_tiktok_rules.py`, the calls in `_tiktok_api.py`, the cutting
of files in `_tiktok_upload.py`, what needs no post in `_tiktok_account.py`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import timedelta
from typing import Any, ClassVar

from app import clock
from app.exceptions import PlatformAPIError
from app.platforms import _tiktok_rules as rules
from app.platforms import oauth
from app.platforms._tiktok_account import TikTokAccount
from app.platforms._tiktok_api import API_DEADLINE, GONE, doubt, text
from app.platforms._tiktok_upload import (
    QUICK_BYTES,
    Plan,
    Upload,
    other_plan,
    plan,
    read_ahead,
    stream,
)
from app.platforms._transport import RequestBody
from app.platforms.base import (
    Accepted,
    AwaitingUser,
    CommitResult,
    Handle,
    HandleDead,
    LocateResult,
    NotCommitted,
    Pending,
    PreparedCommit,
    Problem,
    Published,
    PublishRequest,
    Rejected,
    Staged,
    Unknown,
    Wait,
    text_problem,
    with_defaults,
)
from app.platforms.http import Line, Response

SLOWEST_BYTES_PER_SECOND = 64 * 1024  # an upload slower than this is given up; progress is kept by chunks
FIRST_CHECK = 2.0  # seconds
NEXT_CHECK = 3.0
LATE_EFFECT = 60.0
INBOX_LIFE = timedelta(hours=24)  # about; reported, not documented
FINISH = "Finish the draft in the TikTok app: it waits in the account's inbox."
_POST_ID = re.compile(r"[0-9]{1,32}")
PUBLIC = "PUBLIC_TO_EVERYONE"
DIRECT_INIT, INBOX_INIT = "/post/publish/video/init/", "/post/publish/inbox/video/init/"
INITS_PER_STAGE = 2


class TikTok(TikTokAccount):
    """See the module. Thread-safe: nothing of a post is kept on the instance."""

    name = "tiktok"
    label = "TikTok"
    guarantee = "resumable"
    stage_ahead = timedelta(minutes=40)
    settings = rules.SETTINGS
    scopes = rules.SCOPES
    post_types = rules.POST_TYPES
    cover = rules.COVER
    text_limits = rules.TEXT_LIMITS
    options = rules.OPTIONS
    max_stats = 20
    callbacks = ("webhook",)
    scope_for: ClassVar[Mapping[str, frozenset[str]]] = {
        f"mode={mode}": frozenset({scope}) for mode, scope in rules.MODE_SCOPES.items()
    }

    # -- publishing

    def validate(self, *, title: str, caption: str, options: Mapping[str, Any]) -> list[Problem]:
        problems = super().validate(title=title, caption=caption, options=options)
        if not caption.strip():  # then the title is what is posted
            limit = replace(self.text_limits[0], field="title")
            problems += [problem for problem in [text_problem(limit, title)] if problem]
        chosen = with_defaults(self.options, options)
        return problems + rules.rule_problems(chosen, audited=self.audited)

    def stage(
        self, request: PublishRequest, handle: Handle | None, save: Callable[[Handle], None]
    ) -> Staged | Wait:
        upload = self._resume(request, handle)
        for _ in range(INITS_PER_STAGE):
            upload = upload or self._init(request, save)
            outcome = self._send_chunks(request, upload, save)
            if outcome is not None:
                return outcome
            upload = None  # its URL died on the way
        raise PlatformAPIError("TikTok ended the upload twice. We try again.", platform=self.name)

    def preflight(self, request: PublishRequest, handle: Handle) -> None:  # noqa: ARG002 - asks of the account
        """Ask what the account allows now. Of a draft its owner decides in the app, so nothing is asked."""
        if self._mode(request) == rules.DIRECT:
            rules.check_creator(self.api.creator(request.account.access_token), request)

    def prepare_commit(self, request: PublishRequest, handle: Handle) -> PreparedCommit:
        upload = Upload.from_handle(handle)
        if upload.is_dying():
            return PreparedCommit(lambda _deadline: self._ended(request, upload, "the upload's hour is over"))
        open_body = read_ahead(request.source, upload.commit_start, upload.size)
        line = self.http.warm(upload.upload_url)
        return PreparedCommit(lambda deadline: self._commit(request, upload, open_body, line, deadline))

    def locate(self, request: PublishRequest, handle: Handle) -> LocateResult:
        upload = Upload.from_handle(handle)
        try:
            status = self._status(request, upload)
        except PlatformAPIError as error:
            if error.platform_code in GONE:
                return Unknown("TikTok does not know this upload any more. Look whether the post is there.")
            raise
        match status.get("status"):
            case "PUBLISH_COMPLETE":
                return self._published(request, status)
            case "FAILED":
                return Rejected(self._failure(status))
            case "PROCESSING_UPLOAD":
                return self._unfinished(request, upload, status)
            case "SEND_TO_USER_INBOX":
                return AwaitingUser((request.committed_at or clock.now()) + INBOX_LIFE, FINISH)
            case other:
                return Unknown(f"TikTok reports a state we do not know: {text(other)[:40] or 'none'}.")

    def watch(self, request: PublishRequest, handle: Handle) -> LocateResult:
        """Ask about a published post. Only a public one, with the scope to list, can be seen to be gone."""
        found = self.locate(request, handle)
        if not isinstance(found, Published) or not self._is_public(request):
            return found
        post_id = request.remote_id
        if post_id is None:  # an id that is told for the first time need not be listed yet
            return found
        if "video.list" in request.account.scopes and not self._is_listed(request, post_id):
            return Rejected(rules.error(rules.REMOVED, "no_longer_available"))
        return self._known(request, post_id)

    def _is_public(self, request: PublishRequest) -> bool:
        """Ids are told of public posts only, so a draft that has one became public."""
        return self._mode(request) == rules.INBOX or request.options.get("privacy_level") == PUBLIC

    def slow_commit(self, handle: Handle) -> bool:
        return self.commit_bytes(handle) > QUICK_BYTES

    def commit_bytes(self, handle: Handle) -> int:
        upload = Upload.from_handle(handle)
        return upload.size - upload.commit_start

    # -- staging, step by step

    def _resume(self, request: PublishRequest, handle: Handle | None) -> Upload | None:
        """Return the upload to go on with, as far as TikTok has it, or None if a new one is needed.

        TikTok is asked even when the upload is to be given up: what got its last byte must not be doubled.
        """
        if not handle:
            return None
        upload = Upload.from_handle(handle)
        try:
            status = self._status(request, upload)
        except PlatformAPIError as error:
            if error.platform_code in GONE:
                return None
            raise
        if status.get("status") == "FAILED":
            return None
        stored = self._stored(upload, status)
        if upload.size != request.source.size or upload.should_be_renewed(request.due_at):
            return None
        return replace(upload, uploaded=stored)

    def _mode(self, request: PublishRequest) -> str:
        """Return `direct` or `inbox`: what the post was set to, else the installation's default."""
        return str(with_defaults(self.options, request.options)["mode"])

    def _init(self, request: PublishRequest, save: Callable[[Handle], None]) -> Upload:
        if not self.may(request.account, self._mode(request)):
            code = "scope_not_authorized"
            raise rules.error(rules.ERRORS[code], code, {"scope": rules.MODE_SCOPES[self._mode(request)]})
        if request.source.content_type not in rules.CONTENT_TYPES:
            raise rules.error(rules.ERRORS["invalid_file_upload"], "invalid_file_upload")
        cut = plan(request.source.size, chunk_size=self.chunk_size)
        try:
            upload = self._ask_for_upload(request, cut)
        except PlatformAPIError as error:
            other = other_plan(request.source.size, cut)
            if other is None or not error.details.get("chunk_size_refused"):
                raise
            upload = self._ask_for_upload(request, other)
        save(upload.as_handle())
        return upload

    def _ask_for_upload(self, request: PublishRequest, cut: Plan) -> Upload:
        source = {"source": "FILE_UPLOAD", "video_size": request.source.size}
        source |= {"chunk_size": cut.chunk_size, "total_chunk_count": cut.chunks}
        path, body, token = INBOX_INIT, {"source_info": source}, request.account.access_token
        buckets = [rules.ACTIVE, rules.DRAFTS, rules.INIT]
        if self._mode(request) == rules.DIRECT:
            path, body = DIRECT_INIT, body | {"post_info": rules.post_info(request)}
            buckets.remove(rules.DRAFTS)
        for bucket in buckets:
            request.reserve(bucket, 1)
        asked_at = clock.now().timestamp()
        data = self.api.call(path, token, operation="init", json=body)
        publish_id = oauth.text(data, "publish_id", "init", platform=self.name)
        url = self.http.check_url(oauth.text(data, "upload_url", "init", platform=self.name))
        return Upload(publish_id, url, request.source.size, cut.chunk_size, cut.chunks, asked_at)

    def _send_chunks(
        self, request: PublishRequest, upload: Upload, save: Callable[[Handle], None]
    ) -> Staged | Wait | None:
        """Send all chunks but the last. None: the upload died. At least one is sent before yielding."""
        began_at = upload.uploaded
        while upload.uploaded < upload.last_start:
            if upload.uploaded > began_at and request.should_yield():
                return Wait(clock.now(), "others go first")
            progress = self._send_chunk(request, upload)
            if progress is None:
                return None
            upload = replace(upload, uploaded=progress)
            save(upload.as_handle())
        return Staged(upload.expires_at)

    def _send_chunk(self, request: PublishRequest, upload: Upload) -> int | None:
        """Send one chunk; return how much is stored then, or None when TikTok has ended the upload."""
        start, end = upload.uploaded, upload.chunk_end(upload.uploaded)
        deadline = API_DEADLINE + (end - start) / SLOWEST_BYTES_PER_SECOND
        with stream(request.source, start, end) as body:
            extent = (start, end, upload.size)
            response = self.api.put(
                request, upload.upload_url, body, extent, operation="chunk", deadline=deadline
            )
        if response.status == 206:
            return end
        if response.status in {403, 404}:
            return None
        if response.status == 416:
            stored = self._stored(upload, self._status(request, upload))
            if stored != start:
                return stored
        if response.status == 201:
            raise doubt("TikTok took the upload as complete before its end.")
        raise self.api.refusal(response)

    # -- committing

    def _commit(
        self,
        request: PublishRequest,
        upload: Upload,
        open_body: Callable[[int], AbstractContextManager[RequestBody | bytes]],
        line: Line,
        deadline: float,
    ) -> CommitResult:
        """Send the last chunk. A 416 says that more or less is stored than we knew; nothing changed."""

        def put(body: RequestBody | bytes, start: int, seconds: float, via: Line | None) -> Response:
            extent, url = (start, upload.size, upload.size), upload.upload_url
            return self.api.put(request, url, body, extent, operation="commit", deadline=seconds, line=via)

        ends, start = clock.monotonic() + deadline, upload.commit_start
        with open_body(start) as body:
            response = put(body, start, deadline, line)
        if response.status == 416:
            stored = self._stored(upload, self._ask_in_doubt(request, upload))
            if stored < start:
                return HandleDead("TikTok has less of the video than it had confirmed")
            if stored == start:
                raise doubt("TikTok contradicts itself about what it has; we ask what became of it.")
            with open_body(stored) as body:
                response = put(body, stored, ends - clock.monotonic(), None)
        if response.status == 201:
            return Accepted(self.after(FIRST_CHECK))
        if response.status in {403, 404}:
            return self._ended(request, upload, f"TikTok has ended the upload (HTTP {response.status})")
        if response.status in {400, 429}:
            raise self.api.refusal(response)
        raise doubt(f"TikTok answered the last part with HTTP {response.status}; we ask what became of it.")

    def _ended(self, request: PublishRequest, upload: Upload, reason: str) -> HandleDead:
        """Return that the handle is dead, if TikTok says too that no post can have come of it.

        An upload may also be unknown or over because an earlier try, whose answer was lost, completed it.
        """
        status = self._ask_in_doubt(request, upload)
        if status.get("status") != "FAILED":
            self._stored(upload, status)
        return HandleDead(reason)

    def _ask_in_doubt(self, request: PublishRequest, upload: Upload) -> dict[str, Any]:
        try:
            return self._status(request, upload)
        except PlatformAPIError:
            pass  # whatever it is, the commit's own effect is what matters now
        raise doubt("TikTok did not say what it has of the video; we ask what became of it.")

    def _status(self, request: PublishRequest, upload: Upload) -> dict[str, Any]:
        return self.api.status(request.account.access_token, upload.publish_id)

    # -- reading answers

    def _stored(self, upload: Upload, status: Mapping[str, Any]) -> int:
        """Return how many bytes TikTok holds of the upload. Raises (ambiguous) if that is all of them."""
        stored, is_open = status.get("uploaded_bytes"), status.get("status") == "PROCESSING_UPLOAD"
        if is_open and (not isinstance(stored, int) or stored < 0):
            raise PlatformAPIError("TikTok does not say how much it holds. We ask again.", platform=self.name)
        if not is_open or not isinstance(stored, int) or stored >= upload.size:
            raise doubt("TikTok has the whole video already; we ask what became of it.")
        return stored

    def _unfinished(self, request: PublishRequest, upload: Upload, status: Mapping[str, Any]) -> LocateResult:
        stored = status.get("uploaded_bytes")
        if not isinstance(stored, int) or stored >= upload.size:
            return Pending(self.after(NEXT_CHECK))
        if upload.is_dying():  # a new upload could be a second post, so a late effect must be past
            sure_at = request.committed_at and request.committed_at + self.lasting(LATE_EFFECT)
            if sure_at and clock.now() < sure_at:
                return Pending(sure_at)
            return HandleDead("the upload's hour is over and its last part never arrived")
        return NotCommitted()

    def _published(self, request: PublishRequest, status: Mapping[str, Any]) -> Published:
        """The misspelt list is empty while moderation runs and stays so for posts that are not public."""
        ids = status.get("publicaly_available_post_id")
        known = [str(told) for told in ids if _POST_ID.fullmatch(str(told))] if isinstance(ids, list) else []
        if not known:
            return Published(None, self.profile_url(request.account.username), complete=False)
        # the owner of a draft may have made several posts of it: the one that was told first stays ours
        return self._known(request, request.remote_id if request.remote_id in known else known[0])

    def _known(self, request: PublishRequest, post_id: str) -> Published:
        return Published(post_id, f"{self.profile_url(request.account.username)}/video/{post_id}")

    def _is_listed(self, request: PublishRequest, post_id: str) -> bool:
        return post_id in self.api.videos(request.account.access_token, [post_id], fields=["id"])

    def _failure(self, status: Mapping[str, Any]) -> PlatformAPIError:
        reason = text(status.get("fail_reason"))
        row = rules.FAIL_REASONS.get(reason, rules.UNKNOWN_FAILURE)
        return rules.error(row, reason[:64] or "unknown", {"operation": "status"})
