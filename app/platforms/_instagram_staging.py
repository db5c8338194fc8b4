"""Making an Instagram container ready to be published: create it, fill it, wait until Instagram has worked on it.

Every step is saved before the next. A container that comes to nothing is replaced by a new one, at most
MAX_FAILURES times; one whose creation's answer was lost is invisible and costs one of 400 a day.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from urllib.parse import urlsplit

from app import clock
from app.exceptions import PlatformAPIError
from app.platforms import _instagram_rules as rules
from app.platforms._addresses import is_loopback
from app.platforms._instagram_api import MISSING, InstagramApi, flavour_of
from app.platforms._instagram_container import MAX_FAILURES, MAX_MISSES, Container
from app.platforms._meta import doubt
from app.platforms._transport import BREATH, OthersFirst
from app.platforms.base import Account, Handle, Platform, PublishRequest, Staged, Wait, with_defaults

WORK_FOR = 1800.0  # seconds Instagram may work on a video
DOUBT_FOR = 300.0  # the same after it said that it could not
RETRY_AFTER = (60.0, 120.0, 240.0)  # seconds before the next container
SENDS_PER_STAGE = 3
TROUBLE = frozenset({"OffsetInvalidError", "PartialRequestError"})
Save = Callable[[Handle], None]


class Staging:
    """Stages for one platform object; keeps nothing of a post."""

    def __init__(self, platform: Platform, api: Callable[[Account], InstagramApi]) -> None:
        self._platform = platform
        self._api = api

    def run(self, request: PublishRequest, handle: Handle | None, save: Save) -> Staged | Wait:
        """Go as far as is possible now. Raises the typed error; ambiguous if the container is published."""
        api = self._api(request.account)
        container = Container.from_handle(handle) if handle else Container.none(request.source.size)
        status = ""
        if container.id:
            container, status = self._look(request, api, container, save)
        is_new = not container.id
        if is_new:
            container = self._create(request, api, container, save)
            api.graph.check_room(request.account.access_token)
        if not container.has_all_bytes:
            try:
                container, status = self._fill(request, api, container, save, is_new=is_new), ""
            except OthersFirst:
                return Wait(self._platform.after(BREATH), "others go first")
            if request.should_yield():
                return Wait(clock.now(), "others go first")
        if not status:
            container, status = self._look(request, api, container, save)
        return self._judge(container, status, save)

    # -- looking at a container

    def _look(
        self, request: PublishRequest, api: InstagramApi, container: Container, save: Save
    ) -> tuple[Container, str]:
        """Ask how far a container is; one without an id comes back when a new one is needed."""
        try:
            status, cause = api.status(container.id)
        except PlatformAPIError as error:
            if error.platform_code not in MISSING:
                raise
            return self._missed(container, save, error), ""
        if status == "PUBLISHED":
            raise doubt(self._platform.name, rules.LABEL, {"status": status}, code=status)
        if status == "ERROR":
            raise self._give_up(container, cause, save)
        stale = container.size != request.source.size or container.should_be_renewed(request.due_at)
        if status == "EXPIRED" or stale:
            return Container.none(request.source.size), ""
        return container, status

    def _missed(self, container: Container, save: Save, error: PlatformAPIError) -> Container:
        """Instagram at times does not know a container for a moment: believe it the third time only."""
        if container.misses + 1 >= MAX_MISSES:
            return container.failed()
        save(replace(container, misses=container.misses + 1).as_handle())
        error.kind, error.retry_at = "transient", self._platform.after(RETRY_AFTER[0])
        raise error

    def _judge(self, container: Container, status: str, save: Save) -> Staged | Wait:
        if status == "FINISHED":
            if not container.is_ready or container.misses:
                save(replace(container, is_ready=True, misses=0).as_handle())
            return Staged(container.expires_at)
        if status and status != "IN_PROGRESS":
            message = "Instagram reports a state of the upload that we do not know. We ask again."
            raise PlatformAPIError(message, {"found": status[:40]}, platform=self._platform.name)
        patience = self._platform.lasting(DOUBT_FOR if container.is_doubtful else WORK_FOR)
        if clock.now() > datetime.fromtimestamp(container.working_since, UTC) + patience:
            raise self._give_up(container, 2207082, save)
        until = self._platform.after(container.pause())
        save(container.polled().as_handle())
        return Wait(until, "Instagram works on the video")

    # -- making and filling one

    def _create(self, request: PublishRequest, api: InstagramApi, before: Container, save: Save) -> Container:
        fields, size = self._fields(request), request.source.size
        request.reserve("containers", 1)
        api.graph.count_calls(request)
        now = clock.now().timestamp()
        try:
            container_id, uri = api.create(fields)
        except PlatformAPIError as error:
            cause = rules.subcode_in(error)
            if cause not in rules.NEW_UPLOAD:
                raise
            raise self._give_up(before, cause, save) from None
        container = Container(container_id, size, now, uri, working_since=now, failures=before.failures)
        save(container.as_handle())
        return container

    def _fields(self, request: PublishRequest) -> dict[str, str]:
        """Return the container as Instagram takes it; all values are texts of a form."""
        chosen = with_defaults(rules.OPTIONS, request.options)
        fields = {
            "media_type": "REELS",
            "caption": rules.caption_of(request),
            "share_to_feed": "true" if chosen["share_to_feed"] else "false",
        }
        if chosen["is_ai_generated"]:
            fields["is_ai_generated"] = "true"
        if names := rules.collaborators(chosen):
            quoted = ",".join(f'"{name}"' for name in names)  # user names hold nothing to escape
            fields["collaborators"] = f"[{quoted}]"
        if chosen["use_thumbnail"]:
            fields["cover_url"] = self._public(request.public_link("thumbnail"))
        elif "thumb_offset" in chosen:
            fields["thumb_offset"] = str(chosen["thumb_offset"])
        if flavour_of(request.account) == rules.FACEBOOK:
            return fields | {"upload_type": "resumable"}
        return fields | {"video_url": self._public(request.public_link("video"))}

    def _public(self, url: str) -> str:
        """Return a link Instagram can fetch. Raises kind config for one that leads to this machine."""
        host = (urlsplit(url).hostname or "").lower()
        if not self._platform.config.sandbox and (is_loopback(host) or not url.startswith("https://")):
            message = (
                "Instagram fetches the video from this installation, whose address (PUBLIC_URL) is not "
                "public https. Set a public one, or connect the account through Facebook."
            )
            raise PlatformAPIError(message, platform=self._platform.name, kind="config")
        return url

    def _fill(
        self, request: PublishRequest, api: InstagramApi, container: Container, save: Save, *, is_new: bool
    ) -> Container:
        """Send what Instagram does not have yet. Raises when it does not take it in a few turns."""
        for turn in range(SENDS_PER_STAGE):
            had = 0 if is_new and not turn else self._received(api, container)
            if had < container.uploaded // 2:
                container = replace(container, is_whole=True)
            if had < container.size:
                on_stretch = self._progress(request, container, had, save)
                try:
                    api.upload(container.uri, request.source, offset=had, on_stretch=on_stretch)
                except PlatformAPIError as error:
                    if error.platform_code in TROUBLE:
                        continue
                    if error.platform_code != "ProcessingFailedError":
                        raise
                    container = replace(container, is_doubtful=True)
            filled = replace(container, uploaded=container.size, working_since=clock.now().timestamp())
            save(filled.as_handle())
            return filled
        raise self._give_up(container, 2207053, save)

    def _progress(
        self, request: PublishRequest, container: Container, had: int, save: Save
    ) -> Callable[[int], None]:
        """Return what saves progress; what Instagram has of it is asked before it is relied on."""

        def on_stretch(sent: int) -> None:
            save(replace(container, uploaded=had + sent).as_handle())
            if request.should_yield() and not container.is_whole:
                raise OthersFirst

        return on_stretch

    def _received(self, api: InstagramApi, container: Container) -> int:
        told = api.received(container.id)
        return min(max(told or 0, 0), container.size)

    # -- when it comes to nothing

    def _give_up(self, container: Container, cause: int, save: Save) -> PlatformAPIError:
        """Remember that this container failed; return what to tell: try again with a new one, or the end."""
        error = rules.failure(cause)
        if cause not in rules.NEW_UPLOAD:
            return error
        failed = container.failed()
        save(failed.as_handle())
        if failed.failures >= MAX_FAILURES:
            return rules.last_failure(cause)
        error.retry_at = self._platform.after(RETRY_AFTER[failed.failures - 1])
        return error
