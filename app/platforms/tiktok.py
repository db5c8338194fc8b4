"""TikTok: direct posts through the Content Posting API v2, uploaded by us (FILE_UPLOAD).

What makes a post exist is the last chunk (HTTP 201). So `stage` asks for an upload and sends every chunk but
the last; `commit` sends the last one; `locate` asks status/fetch, which knows each publish_id. An upload that
never gets its last chunk posts nothing and dies with its URL, after an hour.

Rules, options and the tables of errors are in `_tiktok_rules.py`, the calls in `_tiktok_api.py`, the cutting
of files in `_tiktok_upload.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import timedelta
from typing import Any
from urllib.parse import quote

from app import clock
from app.exceptions import PlatformAPIError, PlatformAuthError
from app.platforms import _tiktok_rules as rules
from app.platforms import oauth
from app.platforms._tiktok_api import API_DEADLINE, GONE, TikTokApi, doubt, text
from app.platforms._tiktok_upload import (
    CHUNK_MAX,
    CHUNK_MIN,
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
    Consent,
    Handle,
    HandleDead,
    LocateResult,
    NotCommitted,
    Pending,
    Platform,
    PlatformConfig,
    PreparedCommit,
    Problem,
    Published,
    PublishRequest,
    Rejected,
    RemoteAccount,
    Staged,
    Tokens,
    Unknown,
    Wait,
    text_problem,
)
from app.platforms.http import HttpClient, Line, Response

SLOWEST_BYTES_PER_SECOND = 64 * 1024  # an upload slower than this is given up; progress is kept by chunks
FIRST_CHECK = 2.0  # seconds
NEXT_CHECK = 3.0
INBOX_LIFE = timedelta(hours=24)
INITS_PER_STAGE = 2


class TikTok(Platform):
    """See the module. Thread-safe: nothing of a post is kept on the instance."""

    name = "tiktok"
    label = "TikTok"
    guarantee = "resumable"
    stage_ahead = timedelta(minutes=40)
    settings = rules.SETTINGS
    scopes = rules.SCOPES
    video_spec = rules.VIDEO
    text_limits = rules.TEXT_LIMITS
    options = rules.OPTIONS
    quotas = rules.QUOTAS

    def __init__(self, config: PlatformConfig, http: HttpClient) -> None:
        super().__init__(config, http)
        self.api = TikTokApi(http, config)
        self.audited = rules.read_flag(config["AUDITED"], name="TIKTOK_AUDITED")
        self.chunk_size = rules.read_size(
            config["CHUNK_SIZE"], CHUNK_MIN, CHUNK_MAX, name="TIKTOK_CHUNK_SIZE"
        )

    # -- connecting

    def consent(self, *, state: str, login: str = "") -> Consent:  # noqa: ARG002 - there is one way
        """Return the consent page's address. PKCE, in hexadecimal, is for loopback callbacks only."""
        verifier = oauth.new_verifier()
        query = {
            "client_key": self.config["CLIENT_KEY"],
            "response_type": "code",
            "scope": self.config["SCOPES"],
            "redirect_uri": self.config.callback_url,
            "state": state,
        }
        if oauth.is_loopback_url(self.config.callback_url):
            query |= {"code_challenge": oauth.challenge_hex(verifier), "code_challenge_method": "S256"}
        return Consent(oauth.consent_url(self.config["AUTH_URL"], query), verifier)

    def exchange(self, *, params: Mapping[str, str], verifier: str) -> Tokens:
        form = {
            "code": oauth.callback_code(params, platform=self.name),
            "grant_type": "authorization_code",
            "redirect_uri": self.config.callback_url,
        }
        if oauth.is_loopback_url(self.config.callback_url):
            form["code_verifier"] = verifier
        tokens = self.api.tokens(form, operation="token")
        if "video.publish" not in tokens.scopes:
            message = (
                "You did not allow posting videos, so nothing can be posted. Connect again and allow it."
            )
            raise PlatformAuthError(message, platform=self.name, platform_code="scope_not_authorized")
        return tokens

    def refresh(self, refresh_token: str) -> Tokens:
        return self.api.tokens(
            {"grant_type": "refresh_token", "refresh_token": refresh_token}, operation="refresh"
        )

    def revoke(self, tokens: Tokens) -> None:
        self.api.revoke(tokens.access_token)

    def accounts(self, tokens: Tokens) -> Sequence[RemoteAccount]:
        fields, token = "open_id,avatar_url,display_name", tokens.access_token
        if "user.info.profile" in tokens.scopes:
            fields += ",username"
        query = {"fields": fields}
        user = self.api.call("/user/info/", token, operation="user_info", method="GET", params=query).get(
            "user"
        )
        user = user if isinstance(user, dict) else {}
        open_id = oauth.text(user, "open_id", "user_info", platform=self.name)
        username = text(user.get("username")) or text(self.api.creator(token).get("creator_username"))
        shown, profile = username or open_id, self._profile_url(username) if username else None
        avatar = text(user.get("avatar_url")) or None
        return [RemoteAccount(open_id, shown, text(user.get("display_name")) or shown, avatar, profile)]

    # -- publishing

    def validate(self, *, title: str, caption: str, options: Mapping[str, Any]) -> list[Problem]:
        problems = super().validate(title=title, caption=caption, options=options)
        if not caption.strip():  # then the title is what is posted
            limit = replace(self.text_limits[0], field="title")
            problems += [problem for problem in [text_problem(limit, title)] if problem]
        return problems + rules.rule_problems(options, audited=self.audited)

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
                return self._unfinished(upload, status)
            case "SEND_TO_USER_INBOX":
                return AwaitingUser(clock.now() + INBOX_LIFE, "Finish the draft in the TikTok app's inbox.")
            case other:
                return Unknown(f"TikTok reports a state we do not know: {text(other)[:40] or 'none'}.")

    def watch(self, request: PublishRequest, handle: Handle) -> LocateResult:
        """Ask about a published post. Only a public one, with the scope to list, can be seen to be gone."""
        found = self.locate(request, handle)
        public = request.options.get("privacy_level") == "PUBLIC_TO_EVERYONE"
        post_id = request.remote_id or (found.remote_id if isinstance(found, Published) else None)
        if not isinstance(found, Published) or post_id is None or not public:
            return found
        if "video.list" in request.account.scopes and not self._is_listed(request, post_id):
            return Rejected(rules.error(rules.REMOVED, "no_longer_available"))
        return self._known(request, post_id)

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

    def _init(self, request: PublishRequest, save: Callable[[Handle], None]) -> Upload:
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
        body = {"post_info": rules.post_info(request), "source_info": source}
        asked_at = clock.now().timestamp()
        path, token = "/post/publish/video/init/", request.account.access_token
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
        stored = status.get("uploaded_bytes")
        if not isinstance(stored, int) or stored < 0:
            raise PlatformAPIError("TikTok does not say how much it holds. We ask again.", platform=self.name)
        if status.get("status") != "PROCESSING_UPLOAD" or stored >= upload.size:
            raise doubt("TikTok has the whole video already; we ask what became of it.")
        return stored

    def _unfinished(self, upload: Upload, status: Mapping[str, Any]) -> LocateResult:
        stored = status.get("uploaded_bytes")
        if not isinstance(stored, int) or stored >= upload.size:
            return Pending(self.after(NEXT_CHECK))
        if upload.is_dying():
            return HandleDead("the upload's hour is over and its last part never arrived")
        return NotCommitted()

    def _published(self, request: PublishRequest, status: Mapping[str, Any]) -> Published:
        """The misspelt list is empty while moderation runs and stays so for posts that are not public."""
        ids = status.get("publicaly_available_post_id")
        post_id = str(ids[0]) if isinstance(ids, list) and ids else ""
        if not post_id.isdigit():
            return Published(None, self._profile_url(request.account.username), complete=False)
        return self._known(request, post_id)

    def _known(self, request: PublishRequest, post_id: str) -> Published:
        return Published(post_id, f"{self._profile_url(request.account.username)}/video/{post_id}")

    def _is_listed(self, request: PublishRequest, post_id: str) -> bool:
        return self.api.is_listed(request.account.access_token, post_id)

    def _failure(self, status: Mapping[str, Any]) -> PlatformAPIError:
        reason = text(status.get("fail_reason"))
        row = rules.FAIL_REASONS.get(reason, rules.UNKNOWN_FAILURE)
        return rules.error(row, reason[:64] or "unknown", {"operation": "status"})

    def _profile_url(self, username: str) -> str:
        return f"{self.config['WEB_URL'].rstrip('/')}/@{quote(username, safe='')}"
