"""YouTube's own rules; what all platforms promise is in test_contract.py, the last-chunk mode in its own file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import time_machine

from app import clock
from app.exceptions import PlatformAPIError, PlatformAuthError, PlatformRateLimitError
from app.platforms import _youtube_errors as errors
from app.platforms import _youtube_rules as rules
from app.platforms.base import (
    Platform,
    PublishRequest,
    Staged,
    StepDone,
    StepLater,
    Tokens,
)
from tests.platforms.conftest import RegistryMaker
from tests.platforms.sources import Case, MemorySource, make_request, some_bytes
from tests.sandbox_server import Sim

PUBLIC = {"privacy_status": "public", "made_for_kids": False}
CASE = Case(
    name="youtube",
    options=PUBLIC,
    scopes=frozenset(rules.SCOPES),
    commit="youtube.update",
    ask="youtube.videos",
    refresh="youtube.token",
    begin="youtube.session",
    stretch=17_300_000,
    handle_seconds=None,
    secret_keys=("session",),
    hijack={},
    hijack_headers={"Location": "https://evil.example/upload?upload_id=stolen"},
    comment="youtube.comment",
    commits_bytes=False,
    repeats_commit=True,
    rotates=False,
    begins_in_body=False,
)
JPEG = MemorySource(b"\xff\xd8\xff" + bytes(5000), "image/jpeg")


class Saved(list[Mapping[str, Any]]):
    """The handles saved, in order."""

    def __call__(self, handle: Mapping[str, Any]) -> None:
        self.append(handle)


@pytest.fixture
def request_(sim: Sim) -> PublishRequest:
    token = sim.token(platform="youtube", scopes=sorted(CASE.scopes))
    return make_request(CASE, token, some_bytes(600_000))


def staged(platform: Platform, request: PublishRequest) -> Saved:
    saved = Saved()
    assert isinstance(platform.stage(request, None, saved), Staged)
    return saved


def post(platform: Platform, request: PublishRequest) -> tuple[Any, Mapping[str, Any]]:
    """Stage and commit; return what the commit said and the handle."""
    saved = staged(platform, request)
    return platform.prepare_commit(request, saved[-1]).send(10.0), saved[-1]


# -- texts and options


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"title": "x" * 101}, "title"),
        ({"title": "a < b"}, "title"),
        ({"title": "a > b"}, "title"),
        ({"caption": "é" * 2501}, "caption"),
        ({"caption": "<b>"}, "caption"),
        ({"options": {**PUBLIC, "tags": "x" * 485}}, "options.tags"),
        ({"options": {**PUBLIC, "category_id": "People"}}, "options.category_id"),
        ({"options": {**PUBLIC, "privacy_status": "secret"}}, "options.privacy_status"),
        ({"options": {**PUBLIC, "first_comment": "   "}}, "options.first_comment"),
        ({"options": {**PUBLIC, "first_comment": "x" * 10_001}}, "options.first_comment"),
        (
            {"options": {"privacy_status": "public", "made_for_kids": True, "first_comment": "a"}},
            "options.first_comment",
        ),
        (
            {"options": {"privacy_status": "private", "made_for_kids": False, "first_comment": "a"}},
            "options.first_comment",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_youtube_would_refuse_is_said_before(
    youtube: Platform, changes: dict[str, Any], field: str
) -> None:
    given = {"title": "A title", "caption": "c", "options": PUBLIC} | changes
    (problem,) = youtube.validate(**given)
    assert problem.field == field


def test_texts_at_their_limits_fit(youtube: Platform) -> None:
    options = {**PUBLIC, "tags": "x" * 484, "first_comment": "x" * 10_000}
    assert youtube.validate(title="x" * 100, caption="é" * 2500, options=options) == []


def test_tags_are_counted_with_commas_and_with_quotes_around_blanks() -> None:
    assert rules.tags_length(["ab", "c d", "e"]) == 2 + (3 + 2) + 1 + 2
    assert rules.tags({"tags": " a , b c ,,"}) == ["a", "b c"]


def test_a_title_is_needed_even_with_a_caption(youtube: Platform) -> None:
    (problem,) = youtube.validate(title=" ", caption="only a caption", options=PUBLIC)
    (bare,) = youtube.validate(title="", caption="", options=PUBLIC)
    assert (problem.field, bare.field) == ("title", "title")
    assert "the caption becomes the description" in problem.message


def test_privacy_and_made_for_kids_have_no_default(youtube: Platform) -> None:
    problems = youtube.validate(title="t", caption="", options={})
    assert [problem.field for problem in problems] == ["options.privacy_status", "options.made_for_kids"]


@pytest.mark.parametrize(
    "changes",
    [{"YOUTUBE_CHUNK_SIZE": "262145"}, {"YOUTUBE_CHUNK_SIZE": "0"}, {"YOUTUBE_INSERTS_PER_DAY": "many"}],
)
def test_settings_that_cannot_work_are_refused_by_name(
    make_registry: RegistryMaker, changes: dict[str, str]
) -> None:
    with pytest.raises(ValueError, match=next(iter(changes))):
        make_registry(**changes)


# -- errors


@pytest.mark.parametrize("reason", sorted(errors.ERRORS))
def test_each_reason_is_an_error_of_its_row(
    youtube: Platform, request_: PublishRequest, sim: Sim, reason: str
) -> None:
    row = errors.ERRORS[reason]
    told = {"code": 403, "message": "prose with secret", "errors": [{"reason": reason}]}
    sim.fault("youtube.session", "status", status=403, body={"error": told})
    with pytest.raises(row.raises) as refused:
        youtube.stage(request_, None, Saved())
    assert (refused.value.kind, refused.value.platform_code) == (row.kind, reason)
    assert "secret" not in repr(refused.value.to_dict())


def test_a_used_up_quota_returns_at_the_next_pacific_midnight(
    youtube: Platform, request_: PublishRequest, sim: Sim
) -> None:
    sim.settings(daily_uploads=1)
    staged(youtube, request_)
    with pytest.raises(PlatformRateLimitError) as used_up:
        youtube.stage(request_, None, Saved())
    assert (used_up.value.kind, used_up.value.details["bucket"]) == ("quota", "inserts")
    assert used_up.value.retry_at == errors.next_day()


def test_a_channel_that_uploaded_too_much_is_closed_for_a_day_and_others_are_not(
    youtube: Platform, request_: PublishRequest, sim: Sim
) -> None:
    told = {"code": 400, "errors": [{"reason": "uploadLimitExceeded"}]}
    sim.fault("youtube.session", "status", status=400, body={"error": told})
    asked: list[str] = []
    reserving = replace(request_, reserve=lambda bucket, _cost: asked.append(bucket))
    with pytest.raises(PlatformRateLimitError) as used_up:
        youtube.stage(reserving, None, Saved())
    (quota,) = (quota for quota in youtube.quotas if quota.bucket == used_up.value.details["bucket"])
    assert (quota.bucket, quota.scope) == ("uploads", "channel")
    assert asked == ["uploads", "inserts"]
    assert used_up.value.retry_at is not None
    assert used_up.value.retry_at - clock.now() > timedelta(hours=23)


@pytest.mark.parametrize(
    ("now", "midnight"),
    [
        ("2026-11-23T20:00:00+00:00", "2026-11-24T08:00:00+00:00"),
        ("2026-07-01T06:59:59+00:00", "2026-07-01T07:00:00+00:00"),
    ],
)
def test_the_quota_day_is_los_angeles_day(now: str, midnight: str) -> None:
    with time_machine.travel(datetime.fromisoformat(now), tick=False):
        assert errors.next_day() == datetime.fromisoformat(midnight).astimezone(UTC)


# -- consent


def test_the_consent_asks_for_a_refresh_token_and_a_proof(youtube: Platform) -> None:
    consent = youtube.consent(state="s")
    asked = parse_qs(urlsplit(consent.authorize_url).query)
    assert asked["access_type"] == ["offline"]
    assert "consent" in asked["prompt"][0]
    assert (asked["code_challenge_method"], len(asked["code_challenge"][0])) == (["S256"], 43)


@pytest.mark.parametrize(("code", "kind"), [("invalid_grant", "reauth"), ("deleted_client", "config")])
def test_a_dead_grant_is_told_from_a_dead_client(youtube: Platform, sim: Sim, code: str, kind: str) -> None:
    sim.fault("youtube.token", "status", status=400, body={"error": code})
    with pytest.raises(PlatformAPIError) as refused:
        youtube.refresh("rft.x")
    assert refused.value.kind == kind


def test_an_account_without_a_channel_cannot_connect(youtube: Platform, sim: Sim) -> None:
    token = sim.token(platform="youtube")
    sim.fault("youtube.channels", "malformed", body={"items": []})
    with pytest.raises(PlatformAPIError) as refused:
        youtube.accounts(Tokens(token["access_token"], None, None, None, CASE.scopes))
    assert (refused.value.kind, refused.value.platform_code) == ("account", "youtubeSignupRequired")


@pytest.mark.parametrize(("verified", "longest"), [(True, None), (False, 900)])
def test_long_videos_need_a_verified_channel(
    youtube: Platform, request_: PublishRequest, sim: Sim, *, verified: bool, longest: float | None
) -> None:
    sim.settings(channel_verified=verified)
    assert youtube.posting_options(request_.account).max_duration_seconds == longest


# -- steps


def test_the_thumbnail_is_set_before_the_post_and_is_no_step_then(
    youtube: Platform, request_: PublishRequest, sim: Sim
) -> None:
    wished = replace(request_, options={**PUBLIC, "use_thumbnail": True}, thumbnail=lambda: JPEG)
    saved = staged(youtube, wished)
    assert saved[-1]["thumbnail"] == "set"
    assert youtube.plan_steps(wished, saved[-1]) == []
    assert len(sim.requests(operation="youtube.thumbnail")) == 1


def test_a_thumbnail_that_fails_never_fails_the_post_and_becomes_a_step(
    youtube: Platform, request_: PublishRequest, sim: Sim
) -> None:
    wished = replace(request_, options={**PUBLIC, "use_thumbnail": True}, thumbnail=lambda: JPEG)
    sim.fault("youtube.thumbnail", "status", status=503)
    committed, handle = post(youtube, wished)
    (step,) = youtube.plan_steps(wished, handle)
    done = youtube.perform_step(replace(wished, remote_id=committed.remote_id), step)
    assert (step.kind, done) == ("thumbnail", StepDone({"set": True}))


def test_the_thumbnail_of_a_video_in_processing_waits(
    youtube: Platform, request_: PublishRequest, sim: Sim
) -> None:
    sim.settings(processing_seconds=1000.0)
    wished = replace(
        request_, options={**PUBLIC, "use_thumbnail": True}, thumbnail=lambda: JPEG, due_at=clock.now()
    )
    committed, handle = post(youtube, wished)
    (step,) = youtube.plan_steps(wished, handle)
    later = youtube.perform_step(replace(wished, remote_id=committed.remote_id), step)
    assert isinstance(later, StepLater) and later.until > clock.now()


def test_a_comment_by_somebody_else_with_the_same_words_is_not_ours(
    youtube: Platform, request_: PublishRequest, sim: Sim
) -> None:
    asked = replace(request_, options={**PUBLIC, "first_comment": "First!"})
    committed, handle = post(youtube, asked)
    (step,) = youtube.plan_steps(asked, handle)
    out = replace(asked, remote_id=committed.remote_id)
    other = sim.token("sandbox_second", platform="youtube")
    stranger = replace(out, account=replace(out.account, access_token=other["access_token"]))
    youtube.perform_step(stranger, step)
    assert not isinstance(youtube.locate_step(out, step), StepDone)
    youtube.perform_step(out, step)
    assert isinstance(youtube.locate_step(out, step), StepDone)


def test_without_the_right_to_comment_the_step_says_so(youtube: Platform, request_: PublishRequest) -> None:
    asked = replace(request_, options={**PUBLIC, "first_comment": "First!"}, remote_id="x")
    poor = replace(asked, account=replace(asked.account, scopes=frozenset({rules.UPLOAD, rules.READ})))
    (step,) = youtube.plan_steps(asked, {})
    with pytest.raises(PlatformAuthError):
        youtube.perform_step(poor, step)
