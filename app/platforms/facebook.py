"""Facebook: reels and longer videos on Pages, uploaded by us to a video that nobody sees yet.

What makes a post exist is the `finish` call. So `stage` announces a video and sends all of its bytes, `commit`
finishes it, and `locate` asks the video itself what became of it: its id is known before the first byte.

Rules, options and tables of codes are in `_facebook_rules.py`, the calls in `_facebook_api.py`, uploads in
`_facebook_upload.py`, covers, comments and figures in `_facebook_after.py`; `_meta*.py` is shared with Instagram.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any
from urllib.parse import quote

from app import clock
from app.exceptions import PlatformAPIError, PlatformAuthError
from app.platforms import _facebook_after as after
from app.platforms import _facebook_rules as rules
from app.platforms import _meta_callbacks as callbacks
from app.platforms._facebook_api import FacebookApi, Status, is_complete, permalink
from app.platforms._facebook_upload import Upload
from app.platforms._meta import doubt, identifier
from app.platforms._meta_login import FacebookLogin
from app.platforms._meta_rules import GONE, OFFSET_WRONG
from app.platforms._transport import BREATH, OthersFirst
from app.platforms.base import (
    Accepted,
    Account,
    Callback,
    CommitResult,
    Consent,
    Handle,
    HandleDead,
    LocateResult,
    NotCommitted,
    NotStaged,
    Pending,
    PlannedStep,
    Platform,
    PlatformConfig,
    PreparedCommit,
    Problem,
    Published,
    PublishRequest,
    Received,
    Rejected,
    RemoteAccount,
    Staged,
    Stats,
    StepDone,
    StepNotDone,
    StepUnknown,
    Tokens,
    Unknown,
    Wait,
)
from app.platforms.http import HttpClient, Line

FIRST_CHECK = 2.0  # seconds
NEXT_CHECK = 5.0
PROCESSING_CHECK = 10.0
NEXT_LOOK = 20.0
UNKNOWN_FOR = 600.0  # for which "no such video" may be Meta's passing fault
LATE_EFFECT = 60.0  # a finish call may still take effect that long after it was sent (core-platforms 4.5)
ROUNDS = 3  # how often one stage goes on after Facebook names another offset


class Facebook(Platform):
    """See the module. Thread-safe: nothing of a post is kept on the instance."""

    name = "facebook"
    label = "Facebook"
    guarantee = "resumable"
    stage_ahead = timedelta(hours=2)
    settings, scopes = rules.SETTINGS, rules.SCOPES
    post_types = rules.SPECS
    type_of = staticmethod(rules.type_of)
    cover = rules.COVER
    text_limits = rules.TEXT_LIMITS
    options = rules.OPTIONS
    step_kinds = rules.STEP_KINDS
    scope_for = rules.SCOPE_FOR
    can_remove = True
    max_stats = after.MAX_STATS
    callbacks = callbacks.PURPOSES
    settle = timedelta(seconds=10)

    def __init__(self, config: PlatformConfig, http: HttpClient) -> None:
        super().__init__(config, http)
        self.api = FacebookApi(http, config)
        self.quotas = rules.quotas(config["DAILY_POSTS"])
        self.login = FacebookLogin(
            self.api.graph,
            config,
            client_id=config["CLIENT_ID"],
            client_secret=config["CLIENT_SECRET"],
            dialog_url=config["AUTH_URL"],
        )

    @classmethod
    def configured(cls, settings: Mapping[str, str]) -> bool:
        """Return whether id and secret of the app are there; the verify token is for webhooks only."""
        return bool(settings["CLIENT_ID"] and settings["CLIENT_SECRET"])

    # -- connecting

    def consent(self, *, state: str, login: str = "") -> Consent:  # noqa: ARG002 - there is one way
        return self.login.consent(state=state, scopes=self.config["SCOPES"])

    def exchange(self, *, params: Mapping[str, str], verifier: str) -> Tokens:  # noqa: ARG002 - no PKCE here
        tokens = self.login.exchange(params)
        if missing := sorted(rules.NEEDED_SCOPES - tokens.scopes):
            message = "You did not allow what posting to a Page needs. Connect again and allow everything."
            details = {"missing": missing}
            raise PlatformAuthError(message, details, platform=self.name, platform_code="scope_missing")
        return tokens

    def accounts(self, tokens: Tokens) -> Sequence[RemoteAccount]:
        """Return the Pages on which the person may create posts, each with its own token."""
        return [
            RemoteAccount(
                page.id,
                page.username,
                page.name,
                page.avatar_url,
                f"{self._web()}/{quote(page.username, safe='')}",
                access_token=page.access_token,
            )
            for page in self.login.pages(tokens.access_token)
            if page.may_create
        ]

    def refresh(self, refresh_token: str) -> Tokens:  # noqa: ARG002 - nothing can be refreshed
        """Raise PlatformAuthError: Meta renews consent only with the person."""
        message = "Facebook renews a connection only when you log in there. Reconnect the Page."
        raise PlatformAuthError(message, platform=self.name, platform_code="no_refresh")

    def revoke(self, tokens: Tokens) -> None:
        self.login.revoke(tokens.access_token)

    # -- publishing

    def validate(self, *, title: str, caption: str, options: Mapping[str, Any]) -> list[Problem]:
        problems = super().validate(title=title, caption=caption, options=options)
        return problems + rules.comment_problems(options)

    def stage(
        self, request: PublishRequest, handle: Handle | None, save: Callable[[Handle], None]
    ) -> Staged | Wait:
        kind = rules.kind_of(request)
        upload = self._resume(request, handle, kind)
        if upload is None:
            upload = self.api.start(request, kind)
            save(upload.as_handle())
        if upload.uploaded < upload.size:
            send = self._send_reel if upload.kind == "reel" else self._send_video
            sent = send(request, upload, save)
            if isinstance(sent, Wait):
                return sent
            status = self._status(request, sent)
            if not is_complete(sent, status):
                return Wait(self.after(NEXT_CHECK), "Facebook has not confirmed the upload yet")
            self._check(status)
        return Staged(upload.expires_at)

    def preflight(self, request: PublishRequest, handle: Handle) -> NotStaged | None:
        """Ask whether the upload can be posted. One that is over or not known is left to the commit to say so."""
        upload = Upload.from_handle(handle)
        try:
            status = self._status(request, upload)
        except PlatformAPIError as error:
            if error.platform_code != GONE:
                raise
            return None
        if status.was_finished:
            raise doubt(self.name, self.label)
        if self._is_over(status):
            return None
        self._check(status)
        if is_complete(upload, status):
            return None
        return NotStaged("Facebook has less of the upload than it had")  # a frozen uploader may have woken up

    def prepare_commit(self, request: PublishRequest, handle: Handle) -> PreparedCommit:
        upload = Upload.from_handle(handle)
        if upload.is_dying():
            return PreparedCommit(lambda _deadline: self._ended(request, upload, "the upload's day is over"))
        line = self.http.warm(self.api.finish_url(upload))
        return PreparedCommit(lambda deadline: self._finish(request, upload, line, deadline))

    def locate(self, request: PublishRequest, handle: Handle) -> LocateResult:
        upload = Upload.from_handle(handle)
        try:
            status = self._status(request, upload)
        except PlatformAPIError as error:
            if error.platform_code != GONE:
                raise
            if request.committed_at and clock.now() < request.committed_at + self.lasting(UNKNOWN_FOR):
                return Pending(self.after(NEXT_LOOK))
            return Unknown("Facebook does not know this video any more. Look whether the post is there.")
        if status.is_out:  # whatever else failed: what is out must not be made again, the watch looks on
            return Published(upload.video_id, permalink(self._web(), request, upload, status))
        if status.has_failed:
            return Rejected(self.api.failure(status))
        if status.was_finished or status.processing == "in_progress":
            return Pending(self.after(PROCESSING_CHECK))
        return self._unfinished(request, upload, status)

    def watch(self, request: PublishRequest, handle: Handle) -> LocateResult:
        """Ask about a published post; one that Facebook does not know, asked twice, is gone."""
        upload = Upload.from_handle(handle)
        for _ in range(2):
            try:
                status = self._status(request, upload)
            except PlatformAPIError as error:
                if error.platform_code != GONE:
                    raise
                continue
            if status.has_failed or status.is_dead:
                return Rejected(self.api.failure(status))
            return Published(upload.video_id, permalink(self._web(), request, upload, status))
        return Rejected(self.api.graph.error(rules.REMOVED, GONE))

    # -- afterwards

    def plan_steps(self, request: PublishRequest, handle: Handle) -> Sequence[PlannedStep]:  # noqa: ARG002
        return after.planned(request.options)

    def perform_step(self, request: PublishRequest, step: PlannedStep) -> StepDone:
        if step.kind == "thumbnail":
            return after.set_thumbnail(self.api.graph, request)
        return after.comment(self.api.graph, request, step)

    def locate_step(self, request: PublishRequest, step: PlannedStep) -> StepDone | StepNotDone | StepUnknown:
        return after.find_comment(self.api.graph, request, step)

    def stats(self, account: Account, remote_ids: Sequence[str]) -> Mapping[str, Stats]:
        asked = ((remote_id, after.stats(self.api.graph, account, remote_id)) for remote_id in remote_ids)
        return {remote_id: found for remote_id, found in asked if found is not None}

    def remove(self, account: Account, remote_id: str) -> None:
        after.remove(self.api.graph, account, remote_id)

    def receive(self, callback: Callback) -> Received:
        secret, word = self.config["CLIENT_SECRET"], self.config["WEBHOOK_VERIFY_TOKEN"]
        return callbacks.receive(callback, app_secrets=[secret], verify_token=word)

    # -- staging, step by step

    def _resume(self, request: PublishRequest, handle: Handle | None, kind: str) -> Upload | None:
        """Return the upload to go on with, as far as Facebook has it, or None if a new one is needed.

        Facebook is asked even when the upload is to be given up: what was finished must not be doubled.
        """
        if not handle:
            return None
        upload = Upload.from_handle(handle)
        try:
            status = self._status(request, upload)
        except PlatformAPIError as error:
            if error.platform_code == GONE:
                return None
            raise
        if status.was_finished or (request.committed_at and not status.is_untouched):
            raise doubt(self.name, self.label)
        fits = (upload.kind, upload.size) == (kind, request.source.size)
        if status.is_dead or status.has_failed or not fits or upload.should_be_renewed(request.due_at):
            return None
        if upload.kind == "video":
            return upload  # each part's answer says what is wanted next
        stored = upload.size if status.has_all(upload.size) else min(status.stored or 0, upload.size)
        return replace(upload, uploaded=stored, is_whole=upload.is_whole or stored < upload.uploaded // 2)

    def _send_reel(
        self, request: PublishRequest, upload: Upload, save: Callable[[Handle], None]
    ) -> Upload | Wait:
        """Send the rest in one request; where it breaks off, Facebook keeps what it got."""
        for _ in range(ROUNDS):
            try:
                self.api.send_rest(request, upload, self._progress(request, upload, save))
            except OthersFirst:
                return Wait(self.after(BREATH), "others go first")
            except PlatformAPIError as error:
                if error.platform_code not in OFFSET_WRONG:
                    raise
                found = self._resume(request, upload.as_handle(), upload.kind)
                if found is None:
                    raise
                upload = found
            else:
                upload = replace(upload, uploaded=upload.size)
            if upload.uploaded == upload.size:
                save(upload.as_handle())
                return upload
        raise PlatformAPIError("Facebook names another offset each time. We try again.", platform=self.name)

    def _progress(
        self, request: PublishRequest, upload: Upload, save: Callable[[Handle], None]
    ) -> Callable[[int], None]:
        """Return what saves progress; what Facebook has of it is asked before it is relied on."""

        def on_stretch(sent: int) -> None:
            save(replace(upload, uploaded=upload.uploaded + sent).as_handle())
            if request.should_yield() and not upload.is_whole:
                raise OthersFirst

        return on_stretch

    def _send_video(
        self, request: PublishRequest, upload: Upload, save: Callable[[Handle], None]
    ) -> Upload | Wait:
        """Send the parts Facebook asks for, one by one. At least one is sent before yielding."""
        rounds = 0
        while upload.uploaded < upload.size:
            sent = self.api.send_part(request, upload)
            rounds = rounds + 1 if sent.uploaded <= upload.uploaded else 0
            if rounds >= ROUNDS:
                raise PlatformAPIError("Facebook asks for the same bytes again.", platform=self.name)
            upload = sent
            save(upload.as_handle())
            if upload.uploaded < upload.size and request.should_yield():
                return Wait(clock.now(), "others go first")
        return upload

    # -- committing

    def _finish(self, request: PublishRequest, upload: Upload, line: Line, deadline: float) -> CommitResult:
        """Finish the video. What is refused was perhaps finished by an earlier try: the video is asked."""
        try:
            answer = self.api.finish(request, upload, line, deadline)
        except PlatformAPIError as error:
            if error.kind in {"content", "media", "config", "account"}:
                return self._refused(request, upload, error)
            raise
        if answer.get("success") is not True and not identifier(answer.get("post_id")):
            raise doubt(self.name, self.label)
        return Accepted(self.after(FIRST_CHECK))

    def _refused(self, request: PublishRequest, upload: Upload, error: PlatformAPIError) -> HandleDead:
        """Raise the refusal unless the video says that it is finished (ambiguous) or over."""
        status = self._ask_in_doubt(request, upload, is_gone=error.platform_code == GONE)
        if status is None or self._is_over(status):
            return HandleDead("Facebook has ended the upload")
        raise error

    def _ended(self, request: PublishRequest, upload: Upload, reason: str) -> HandleDead:
        """Return that the handle is dead, if Facebook says too that no post came of it."""
        self._ask_in_doubt(request, upload)
        return HandleDead(reason)

    def _ask_in_doubt(
        self, request: PublishRequest, upload: Upload, *, is_gone: bool = False
    ) -> Status | None:
        """Return the status of a video that was certainly not finished, else raise (ambiguous).

        None: nobody knows the video, `is_gone` says that the finish call was told so too, and there was no other.
        """
        try:
            status = self._status(request, upload)
        except PlatformAPIError as error:  # whatever it is, the commit's own effect is what matters now
            if is_gone and error.platform_code == GONE and request.committed_at is None:
                return None
            raise doubt(self.name, self.label) from None
        if not status.is_untouched or status.processing == "in_progress":
            raise doubt(self.name, self.label)
        return status

    # -- reading answers

    def _status(self, request: PublishRequest, upload: Upload) -> Status:
        return self.api.status(request.account.access_token, upload.video_id)

    def _check(self, status: Status) -> None:
        """Raise the typed error of a video that cannot be posted any more."""
        if status.has_failed:
            raise self.api.failure(status)
        if status.is_dead:
            message = "Facebook has ended the upload. We begin again."
            raise PlatformAPIError(message, platform=self.name, platform_code="upload_ended")

    def _unfinished(self, request: PublishRequest, upload: Upload, status: Status) -> LocateResult:
        """Nothing was finished so far: true for good only when Facebook says so and a late effect is past."""
        sure_at = None if request.committed_at is None else request.committed_at + self.lasting(LATE_EFFECT)
        if sure_at is not None and clock.now() < sure_at:
            return Pending(sure_at)
        if not status.is_untouched:
            return Pending(self.after(PROCESSING_CHECK))
        if status.is_dead or upload.is_dying():
            return HandleDead("the upload ended without a post")
        return NotCommitted()

    def _is_over(self, status: Status) -> bool:
        """Is only a new upload of use?"""
        return status.is_dead or (status.has_failed and self.api.failure(status).retryable)

    def _web(self) -> str:
        return self.config["WEB_URL"].rstrip("/")
