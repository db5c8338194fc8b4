"""Instagram Reels through the Graph API, for accounts connected by Facebook Login or by Instagram Login.

A container is made, filled (we upload the bytes; with Instagram Login Instagram fetches them from our public
link) and worked on by Instagram; nothing of it is public. What makes the post exist is `media_publish`. Its
container can be asked afterwards for 24 hours: PUBLISHED or not.

Rules, options and the tables of errors are in `_instagram_rules.py`, the calls in `_instagram_api.py`, staging in
`_instagram_staging.py`, what follows a post in `_instagram_aftermath.py`.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

from app import clock
from app.exceptions import PlatformAPIError, PlatformAuthError
from app.platforms import _instagram_aftermath as aftermath
from app.platforms import _instagram_rules as rules
from app.platforms import _meta_callbacks, oauth
from app.platforms._instagram_api import MISSING, InstagramApi, flavour_of, matching
from app.platforms._instagram_container import Container
from app.platforms._instagram_login import InstagramLogin
from app.platforms._instagram_staging import Staging
from app.platforms._meta import Graph, doubt, text
from app.platforms._meta_login import FacebookLogin, Page
from app.platforms.base import (
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
    PostingOptions,
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
    StepLater,
    StepNotDone,
    StepUnknown,
    Tokens,
    Unknown,
    Wait,
    text_problem,
)
from app.platforms.http import HttpClient, Line

QUIET = 60.0  # seconds after the commit from which "not published" is believed
UNKNOWN_FOR = 600.0  # seconds for which "no such container" may be Instagram's passing fault
ASK_AGAIN = 20.0
CLOCK_SPREAD = timedelta(seconds=60)  # a post's own time may lie this long before our commit
LATEST = timedelta(minutes=10)  # and this long after it
_OVER = frozenset({"EXPIRED", "ERROR"})
_AT_THE_GATE = frozenset({"reauth", "rate", "quota"})  # refused before Instagram looked at what was asked


class Instagram(Platform):
    """See the module. Thread-safe: nothing of a post is kept on the instance."""

    name = "instagram"
    label = rules.LABEL
    guarantee = "resumable"
    stage_ahead = timedelta(hours=6)
    settings = rules.SETTINGS
    scopes = rules.SCOPES
    post_types = rules.POST_TYPES
    cover = rules.COVER
    text_limits = rules.TEXT_LIMITS
    options = rules.OPTIONS
    logins = rules.LOGINS
    step_kinds = rules.STEP_KINDS
    scope_for = rules.SCOPE_FOR
    can_remove = True
    max_stats = aftermath.MAX_STATS
    callbacks = _meta_callbacks.PURPOSES
    refresh_ahead = timedelta(days=30)  # Instagram Login's tokens live 60 days and are dead after
    settle = timedelta(seconds=10)
    max_repeats = 1  # nobody says that a second media_publish of a container is refused (core-platforms 3.6)

    def __init__(self, config: PlatformConfig, http: HttpClient) -> None:
        super().__init__(config, http)
        self.quotas = rules.quotas(config["DAILY_POSTS"])
        facebook = Graph(
            http,
            config,
            config["FACEBOOK_GRAPH_BASE"],
            label=self.label,
            tables=rules.TABLES,
            app_secret=config["FACEBOOK_APP_SECRET"],
        )
        calls, base = rules.OWN_APP_CALLS, config["GRAPH_BASE"]
        own = Graph(http, config, base, label=self.label, tables=rules.TABLES, app_calls=calls)
        self._graphs = {rules.FACEBOOK: facebook, rules.INSTAGRAM: own}
        self._instagram_login = InstagramLogin(own, config)
        self._facebook_login = FacebookLogin(
            facebook,
            config,
            client_id=config["FACEBOOK_APP_ID"],
            client_secret=config["FACEBOOK_APP_SECRET"],
            dialog_url=config["DIALOG_URL"],
        )
        self._staging = Staging(self, self.api)

    # -- connecting

    def consent(self, *, state: str, login: str = "") -> Consent:
        """Return the consent page's address; which login it is travels in the verifier."""
        chosen = login or self._usual_login()
        verifier = f"{chosen}.{secrets.token_urlsafe(16)}"
        if chosen == rules.INSTAGRAM:
            return self._instagram_login.consent(state=state, verifier=verifier)
        scopes = self.config["FACEBOOK_SCOPES"]
        return self._facebook_login.consent(state=state, scopes=scopes, verifier=verifier)

    def exchange(self, *, params: Mapping[str, str], verifier: str) -> Tokens:
        oauth.callback_code(params, platform=self.name)
        login = verifier.partition(".")[0]
        if login not in self._graphs:
            raise PlatformAuthError("This consent was not begun here. Connect again.", platform=self.name)
        by = self._instagram_login if login == rules.INSTAGRAM else self._facebook_login
        tokens = by.exchange(params)
        rules.check_scopes(login, tokens.scopes)
        return tokens

    def refresh(self, refresh_token: str) -> Tokens:
        return self._instagram_login.refresh(refresh_token)

    def revoke(self, tokens: Tokens) -> None:
        """Give the grant back. Instagram Login documents no way: that the token is alive is all we learn."""
        if rules.PUBLISH[rules.INSTAGRAM] in tokens.scopes:
            self._graphs[rules.INSTAGRAM].call(
                "DELETE", "/me/permissions", tokens.access_token, operation="revoke"
            )
        else:
            self._facebook_login.revoke(tokens.access_token)

    def accounts(self, tokens: Tokens) -> Sequence[RemoteAccount]:
        """Return the account of an Instagram Login, or those linked to the person's Pages."""
        if any(scope.startswith("instagram_business_") for scope in tokens.scopes):
            account = self._instagram_login.account(tokens.access_token)
            return [replace(account, profile_url=self._profile_url(account.username))]
        pages = self._facebook_login.pages(tokens.access_token)
        return [found for page in pages if (found := self._linked(page)) is not None]

    def _linked(self, page: Page) -> RemoteAccount | None:
        profile = page.instagram
        if profile is None or not page.may_create:
            return None
        return RemoteAccount(
            profile.id,
            profile.username,
            profile.name or profile.username,
            profile.avatar_url,
            self._profile_url(profile.username),
            access_token=page.access_token,
            details={"login": rules.FACEBOOK, "page_id": page.id},
        )

    def _usual_login(self) -> str:
        """Return the first login this installation has the settings for."""
        have = (login.name for login in self.logins if all(self.config[name] for name in login.settings))
        return next(have, rules.FACEBOOK)

    # -- validation

    def validate(self, *, title: str, caption: str, options: Mapping[str, Any]) -> list[Problem]:
        """Return what Instagram would refuse; without a caption the title is what is posted."""
        problems = super().validate(title=title, caption=caption, options=options)
        if not caption.strip():
            limits = (replace(limit, field="title") for limit in self.text_limits)
            problems += [problem for limit in limits if (problem := text_problem(limit, title))]
        return problems + rules.rule_problems(options)

    def posting_options(self, account: Account) -> PostingOptions:
        limit = self.api(account).publishing_limit()
        return PostingOptions(posts_left=max(0, limit[1] - limit[0]) if limit else None)

    # -- publishing

    def stage(
        self, request: PublishRequest, handle: Handle | None, save: Callable[[Handle], None]
    ) -> Staged | Wait:
        return self._staging.run(request, handle, save)

    def preflight(self, request: PublishRequest, handle: Handle) -> NotStaged | None:
        """Ask for the day's posts and for the container. One that is dead is left to the commit to say so."""
        container, api = Container.from_handle(handle), self.api(request.account)
        if not container.id or not container.has_all_bytes:
            # A restored backup knows only this much.
            return NotStaged("Instagram does not have all of the upload")
        limit = api.publishing_limit()
        if limit is not None and limit[0] >= limit[1]:
            facts = {"found": limit[0], "allowed": limit[1]}
            raise api.graph.error(rules.SUBCODES[2207042], "content_publishing_limit", facts)
        try:
            status, _ = api.status(container.id)
        except PlatformAPIError as error:
            if error.platform_code not in MISSING:
                raise
            status = ""  # at times Instagram does not know its own
        if status == "PUBLISHED":
            raise self._published_already()
        if status == "IN_PROGRESS":
            raise api.graph.error(rules.SUBCODES[rules.NOT_READY], "IN_PROGRESS")
        return None

    def prepare_commit(self, request: PublishRequest, handle: Handle) -> PreparedCommit:
        container, api = Container.from_handle(handle), self.api(request.account)
        if container.is_dying():
            reason = "the upload's 24 hours are over"
            return PreparedCommit(lambda deadline: self._ended(request, container, reason, deadline))
        line = self.http.warm(api.graph.base)
        return PreparedCommit(lambda deadline: self._commit(request, container, line, deadline))

    def _commit(
        self, request: PublishRequest, container: Container, line: Line, deadline: float
    ) -> CommitResult:
        """Publish. A refusal counts only if the container does not say afterwards that it is published."""
        ends = clock.monotonic() + deadline
        try:
            media_id = self.api(request.account).publish(container.id, deadline=deadline, line=line)
        except PlatformAPIError as error:
            if error.kind == "ambiguous" or error.kind in _AT_THE_GATE or not error.platform_code:
                raise
            dead = self._ended(request, container, error.message, ends - clock.monotonic())
            if rules.subcode_in(error) in rules.ENDED or error.platform_code in MISSING:
                return dead
            raise
        return Published(media_id, None, complete=False)  # its address is asked for by `watch`

    def _ended(
        self, request: PublishRequest, container: Container, reason: str, deadline: float
    ) -> HandleDead:
        """Return that the handle is dead, unless Instagram says that the container was published, or nothing.

        After an earlier commit only its end proves that: what is missed or unused may be so for a moment.
        """
        try:
            status, _ = self.api(request.account).status(container.id, deadline=deadline)
        except PlatformAPIError as error:
            if error.platform_code not in MISSING:
                raise doubt(self.name, self.label) from None
            status = ""
        if status == "PUBLISHED":
            raise self._published_already()
        if request.committed_at is not None and status not in _OVER:
            raise doubt(self.name, self.label)
        return HandleDead(reason)

    def _published_already(self) -> PlatformAPIError:
        return doubt(self.name, self.label, {"status": "PUBLISHED"}, code="PUBLISHED")

    # -- asking

    def locate(self, request: PublishRequest, handle: Handle) -> LocateResult:
        container, api = Container.from_handle(handle), self.api(request.account)
        try:
            status, cause = api.status(container.id)
        except PlatformAPIError as error:
            if error.platform_code not in MISSING:
                raise
            return self._unknown_container(request, container, api)
        match status:
            case "PUBLISHED":
                return self._published(request, container, api)
            case "FINISHED" | "IN_PROGRESS":
                return self._unpublished(request, container)
            case "ERROR":
                return Rejected(rules.failure(cause))
            case "EXPIRED":
                return HandleDead("the upload's 24 hours are over and it was not published")
            case other:
                return Unknown(f"Instagram reports a state we do not know: {other[:40]}.")

    def watch(self, request: PublishRequest, handle: Handle) -> LocateResult:
        """Ask for a published post's address. One that is neither readable nor listed is gone."""
        if request.remote_id is None:
            return self.locate(request, handle)
        api = self.api(request.account)
        try:
            return self._known(request, request.remote_id, api.permalink(request.remote_id))
        except PlatformAPIError as error:
            if error.platform_code not in MISSING:
                raise
        if api.is_listed(request.remote_id):
            return Published(request.remote_id, None, complete=False)
        return Rejected(api.graph.error(rules.REMOVED, "removed"))

    def _unpublished(self, request: PublishRequest, container: Container) -> LocateResult:
        """Not published, and from a minute after the commit on it will not become so by itself."""
        quiet_at = self._since(request, QUIET)
        if clock.now() < quiet_at:
            return Pending(quiet_at)
        if request.doubt is not None and request.doubt.endswith(f"/{rules.BLOCKED}"):
            return Rejected(rules.failure(rules.BLOCKED))  # not again: the account is watched as it is
        if container.is_dying():
            return HandleDead("the upload's 24 hours are over and it was not published")
        return NotCommitted()

    def _unknown_container(
        self, request: PublishRequest, container: Container, api: InstagramApi
    ) -> LocateResult:
        """Instagram at times does not know what it gave a moment ago; the account's list may know the post."""
        if found := self._listed(request, container, api):
            return found
        if clock.now() < self._since(request, UNKNOWN_FOR):
            return Pending(self.after(ASK_AGAIN))
        return Unknown("Instagram does not know this upload any more. Look whether the post is there.")

    def _published(self, request: PublishRequest, container: Container, api: InstagramApi) -> Published:
        """The container does not tell its post; only one that cannot be another is taken for it."""
        if request.remote_id is not None:
            return self._known(request, request.remote_id, api.permalink(request.remote_id))
        return self._listed(request, container, api) or Published(None, None, complete=False)

    def _known(self, request: PublishRequest, media_id: str, permalink: str | None) -> Published:  # noqa: ARG002
        given = permalink or ""
        is_plain = given.isascii() and given.isprintable() and " " not in given and len(given) < 500
        is_instagrams = is_plain and given.startswith(f"{self._web()}/")
        return Published(media_id, given if is_instagrams else None, complete=permalink is not None)

    def _since(self, request: PublishRequest, seconds: float) -> datetime:
        """Return that long after the commit; without one of ours nothing has to be waited for."""
        return request.committed_at + self.lasting(seconds) if request.committed_at else clock.now()

    def _listed(self, request: PublishRequest, container: Container, api: InstagramApi) -> Published | None:
        """Return the post that looks like ours: the only one with our words, made when we made it."""
        began = request.committed_at or datetime.fromtimestamp(container.created_at, UTC)
        until = request.committed_at + LATEST if request.committed_at else None
        words = rules.caption_of(request)
        post = matching(api.recent(), caption=words, since=began - CLOCK_SPREAD, until=until)
        if post is None:
            return None
        return replace(
            self._known(request, str(post["id"]), text(post.get("permalink")) or None), matched=True
        )

    # -- afterwards

    def plan_steps(self, request: PublishRequest, handle: Handle) -> Sequence[PlannedStep]:  # noqa: ARG002
        return aftermath.plan(request)

    def perform_step(self, request: PublishRequest, step: PlannedStep) -> StepDone | StepLater:
        if request.remote_id is None:
            return StepLater(self.after(ASK_AGAIN), "the post's id is not known yet")
        try:
            return aftermath.comment(self.api(request.account), request.remote_id, step)
        except PlatformAPIError as error:
            if error.kind == "ambiguous" or rules.subcode_in(error) != rules.NOT_READY:
                raise
        return StepLater(self.after(ASK_AGAIN), "Instagram still works on the post")

    def locate_step(
        self, request: PublishRequest, step: PlannedStep
    ) -> StepDone | StepNotDone | StepLater | StepUnknown:
        if request.remote_id is None:
            return StepNotDone()  # without it no comment was ever sent
        return aftermath.find_comment(self.api(request.account), request.remote_id, step)

    def stats(self, account: Account, remote_ids: Sequence[str]) -> Mapping[str, Stats]:
        return aftermath.stats(self.api(account), remote_ids)

    def remove(self, account: Account, remote_id: str) -> None:
        aftermath.remove(self.api(account), remote_id)

    def receive(self, callback: Callback) -> Received:
        secrets_ = (self.config["FACEBOOK_APP_SECRET"], self.config["APP_SECRET"])
        token = self.config["WEBHOOK_VERIFY_TOKEN"]
        return _meta_callbacks.receive(callback, app_secrets=secrets_, verify_token=token)

    def api(self, account: Account) -> InstagramApi:
        return InstagramApi(self._graphs[flavour_of(account)], account, daily_posts=self.quotas[0].limit)

    def _profile_url(self, username: str) -> str:
        return f"{self._web()}/{quote(username, safe='')}/"

    def _web(self) -> str:
        return self.config["WEB_URL"].rstrip("/")
