"""Facebook's calls for videos of a Page, and what its answers say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote

from app import clock
from app.exceptions import PlatformAPIError
from app.platforms import _facebook_rules as rules
from app.platforms import oauth
from app.platforms._facebook_upload import FormBody, Upload, stream
from app.platforms._meta import (
    API_DEADLINE,
    SLOWEST_BYTES_PER_SECOND,
    Graph,
    identifier,
    objects,
    part,
    text,
    whole,
)
from app.platforms._transport import PatientBody, RequestBody
from app.platforms.base import PlatformConfig, PublishRequest
from app.platforms.http import HttpClient, Line

_DONE = frozenset({"complete", "completed"})
_DEAD = frozenset({"expired", "upload_failed"})


@dataclass(frozen=True)
class Status:
    """What Facebook says of a video. `stored` is in bytes, None when it is not told."""

    video: str
    uploading: str
    processing: str
    publishing: str
    publish_status: str
    stored: int | None
    is_published: bool
    permalink: str = field(repr=False)
    error_codes: tuple[int, ...] = ()

    @property
    def is_dead(self) -> bool:
        """Is the upload over without a post, so that only a new one helps?"""
        return self.video in _DEAD or self.uploading == "error"

    @property
    def has_failed(self) -> bool:
        """Did Facebook refuse the video or the post?"""
        phases = (self.processing, self.publishing, self.publish_status)
        return self.video == "error" or "error" in phases

    @property
    def is_out(self) -> bool:
        """Does the post exist? The phase goes before the flag, which nobody says what it means of an upload."""
        if self.publish_status == "published":
            return True
        is_done = self.publishing in _DONE and self.publish_status != "error"
        return is_done or (self.is_published and self.publishing != "not_started")

    @property
    def was_finished(self) -> bool:
        """Has Facebook taken a finish call, whatever becomes of it?"""
        return self.is_out or self.publishing == "in_progress" or self.publish_status == "scheduled"

    @property
    def is_untouched(self) -> bool:
        """Does Facebook say in so many words that it took no finish call? What it leaves out says nothing."""
        is_told = self.publishing == "not_started" and not self.is_published
        return not self.was_finished and (is_told or self.is_dead)

    def has_all(self, size: int) -> bool:
        return self.uploading in _DONE or (self.stored is not None and self.stored >= size)


class FacebookApi:
    """Every method may raise what Graph and HttpClient raise."""

    def __init__(self, http: HttpClient, config: PlatformConfig) -> None:
        secret = config["CLIENT_SECRET"]
        self.http = http
        self.graph = Graph(
            http, config, config["GRAPH_BASE"], label="Facebook", tables=rules.TABLES, app_secret=secret
        )
        self.video_host = Graph(
            http,
            config,
            config["VIDEO_BASE"],
            label="Facebook",
            tables=rules.TABLES,
            app_secret=secret,
            room=self.graph.room,
        )

    def start(self, request: PublishRequest, kind: str) -> Upload:
        """Announce a video; nothing is seen of it before it is finished."""
        self.graph.count_calls(request)
        asked_at, size = clock.now().timestamp(), request.source.size
        if kind == "reel":
            answer = self._phase(request, "reel", {"upload_phase": "start"}, operation="start")
            url = self.http.check_url(oauth.text(answer, "upload_url", "start", platform=self.http.platform))
            return Upload("reel", self._id(answer, "video_id"), size, asked_at, upload_url=url)
        form = {"upload_phase": "start", "file_size": str(size)}
        answer = self._phase(request, "video", form, operation="video_start")
        session = self._id(answer, "upload_session_id")
        upload = Upload("video", self._id(answer, "video_id"), size, asked_at, session_id=session)
        return self._advanced(upload, answer)

    def send_rest(self, request: PublishRequest, upload: Upload, on_stretch: Callable[[int], None]) -> None:
        """Send a reel's bytes from `upload.uploaded` on in one request; see PatientBody."""
        self.graph.check_room(request.account.access_token)
        with stream(request.source, upload.uploaded, upload.size) as body:
            patient = PatientBody(body, on_stretch)
            token, start = request.account.access_token, upload.uploaded
            self.graph.upload(upload.upload_url, token, patient, offset=start, size=upload.size)

    def send_part(self, request: PublishRequest, upload: Upload) -> Upload:
        """Send the part of a video that Facebook wants next; it says what it wants then."""
        self.graph.check_room(request.account.access_token)
        with stream(request.source, upload.uploaded, upload.wanted) as inner:
            form = {
                "upload_phase": "transfer",
                "upload_session_id": upload.session_id,
                "start_offset": str(upload.uploaded),
            }
            kind = request.source.content_type
            body = FormBody(inner, form, field_name="video_file_chunk", content_type=kind)
            try:
                answer = self._phase(request, "video", body, operation="transfer")
            except PlatformAPIError as error:
                if error.platform_code is None or "start_offset" not in error.details:
                    raise
                return self._advanced(upload, error.details)
        return self._advanced(upload, answer)

    def finish(self, request: PublishRequest, upload: Upload, line: Line, deadline: float) -> dict[str, Any]:
        """Make the post exist: the commit."""
        form = {"upload_phase": "finish"}
        if upload.kind == "reel":
            form |= {"video_id": upload.video_id, "video_state": "PUBLISHED"} | rules.finish_form(request)
        else:
            form |= {"upload_session_id": upload.session_id, "published": "true"} | rules.texts(request)
        return self._phase(request, upload.kind, form, operation="commit", line=line, deadline=deadline)

    def finish_url(self, upload: Upload) -> str:
        """Return the host the commit goes to, for a connection opened ahead."""
        return self.graph.base if upload.kind == "reel" else self.video_host.base

    def status(self, token: str, video_id: str) -> Status:
        fields = {"fields": "status,published,permalink_url"}
        answer = self.graph.call("GET", f"/{quote(video_id)}", token, operation="status", params=fields)
        status = part(answer.get("status"))
        phases = {
            name: part(status.get(f"{name}_phase")) for name in ("uploading", "processing", "publishing")
        }
        return Status(
            video=text(status.get("video_status")),
            uploading=text(phases["uploading"].get("status")),
            processing=text(phases["processing"].get("status")),
            publishing=text(phases["publishing"].get("status")),
            publish_status=text(phases["publishing"].get("publish_status")),
            stored=_stored(phases["uploading"]),
            is_published=answer.get("published") is True,
            permalink=text(answer.get("permalink_url")),
            error_codes=tuple(_codes(phases)),
        )

    def failure(self, status: Status) -> PlatformAPIError:
        """Return the error of a video that Facebook could not use, by the first code it names that we know."""
        for code in status.error_codes:
            if row := rules.TABLES.subcodes.get(code) or rules.TABLES.codes.get(code):
                return self.graph.error(row, str(code))
        return self.graph.error(rules.FAILED, status.video[:40] or "error")

    def _phase(
        self,
        request: PublishRequest,
        kind: str,
        form: dict[str, str] | FormBody,
        *,
        operation: str,
        line: Line | None = None,
        deadline: float = API_DEADLINE,
    ) -> dict[str, Any]:
        """Make a call of one of the two edges where videos begin and end."""
        host, edge = (self.graph, "video_reels") if kind == "reel" else (self.video_host, "videos")
        body: RequestBody | None = None
        headers: dict[str, str] = {}
        if isinstance(form, FormBody):
            body, headers = form, {"Content-Type": form.content_type}
            deadline += len(form) / SLOWEST_BYTES_PER_SECOND
        return host.call(
            "POST",
            f"/{quote(request.account.remote_id, safe='')}/{edge}",
            request.account.access_token,
            operation=operation,
            data=None if isinstance(form, FormBody) else form,
            body=body,
            headers=headers,
            deadline=deadline,
            commits=operation == "commit",
            line=line,
        )

    def _id(self, answer: dict[str, Any], name: str) -> str:
        if found := identifier(answer.get(name)):
            return found
        raise PlatformAPIError(f"Facebook's answer lacks {name}.", platform=self.http.platform)

    def _advanced(self, upload: Upload, answer: dict[str, Any]) -> Upload:
        """Return the upload with what Facebook wants next. Raises (transient) if that makes no sense."""
        start, end = whole(answer.get("start_offset")), whole(answer.get("end_offset"))
        if start is None or end is None or not 0 <= start <= end <= upload.size:
            raise PlatformAPIError("Facebook asks for bytes that are not there.", platform=self.http.platform)
        if start == end != upload.size:
            raise PlatformAPIError("Facebook ended the upload before its end.", platform=self.http.platform)
        return replace(upload, uploaded=start, wanted=end)


def permalink(web: str, request: PublishRequest, upload: Upload, status: Status) -> str:
    """Return where people see the post. Facebook's own address may lack the host, or be missing."""
    given = status.permalink
    is_plain = given.isascii() and given.isprintable() and " " not in given and len(given) < 500
    if is_plain and given.startswith(f"{web}/"):
        return given
    if is_plain and given.startswith("/") and not given.startswith(("//", "/\\")):
        return web + given
    if upload.kind == "reel":
        return f"{web}/reel/{upload.video_id}"
    return f"{web}/{quote(request.account.remote_id, safe='')}/videos/{upload.video_id}"


def is_complete(upload: Upload, status: Status) -> bool:
    """Has Facebook all bytes? Of a video the last part's answer said so; of a reel its status does."""
    return upload.uploaded == upload.size if upload.kind == "video" else status.has_all(upload.size)


def _stored(phase: dict[str, Any]) -> int | None:
    """Return how much is stored; the documentation and the SDK spell the field differently."""
    for name in ("bytes_transfered", "bytes_transferred"):
        found = whole(phase.get(name))
        if found is not None and found >= 0:
            return found
    return None


def _codes(phases: dict[str, dict[str, Any]]) -> list[int]:
    """Return the numbers of the phases' errors, which come as one object or a list of them."""
    found = []
    for phase in phases.values():
        errors = [part(phase.get("error")), *objects(phase.get("errors"))]
        found += [code for error in errors if (code := whole(error.get("code"))) is not None]
    return found
