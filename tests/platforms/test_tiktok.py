"""TikTok's own rules; what all platforms promise is in test_contract.py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from app import clock
from app.exceptions import (
    PlatformAPIError,
    PlatformRateLimitError,
    PlatformUploadError,
)
from app.platforms import _tiktok_rules as rules
from app.platforms.base import (
    Account,
    Pending,
    Platform,
    Published,
    PublishRequest,
    Rejected,
    Staged,
)
from tests.platforms.conftest import RegistryMaker
from tests.platforms.sources import Case, MemorySource, make_request, some_bytes
from tests.sandbox_server import Sim

PUBLIC = {"privacy_level": "PUBLIC_TO_EVERYONE"}
CASE = Case(
    name="tiktok",
    options=PUBLIC,
    scopes=frozenset(rules.SCOPES),
    commit="tiktok.last_chunk",
    ask="tiktok.status",
    refresh="tiktok.token",
    begin="tiktok.init",
    stretch=17_300_000,
    handle_seconds=3600,
    overdue={"dead_upload_status": "PROCESSING_UPLOAD"},
    secret_keys=("upload_url",),
    hijack={
        "data": {
            "publish_id": "v_pub_file~v2-1.7",
            "upload_url": "https://evil.example/video/?upload_token=stolen",
        },
        "error": {"code": "ok", "message": "", "log_id": "1"},
    },
)


@pytest.fixture
def request_(sim: Sim) -> PublishRequest:
    return make_request(CASE, sim.token(scopes=sorted(CASE.scopes)), some_bytes(20_000))


class Saved(list[Mapping[str, Any]]):
    """The handles saved, in order."""

    def __call__(self, handle: Mapping[str, Any]) -> None:
        self.append(handle)


def make_account(sim: Sim, *, scopes: Sequence[str] = rules.SCOPES) -> Account:
    token = sim.token(scopes=[*scopes])
    return Account(token["remote_id"], "sandbox_creator", token["access_token"], frozenset(scopes))


def post(platform: Platform, request: PublishRequest) -> Mapping[str, Any]:
    """Stage and commit; return the handle."""
    saved = Saved()
    platform.stage(request, None, saved)
    platform.prepare_commit(request, saved[-1]).send(10.0)
    return saved[-1]


# -- texts and options


def test_a_caption_is_counted_in_utf16_units(tiktok: Platform) -> None:
    fits, too_long = "😀" * 1100, "😀" * 1100 + "a"
    assert tiktok.validate(title="", caption=fits, options=PUBLIC) == []
    (problem,) = tiktok.validate(title="", caption=too_long, options=PUBLIC)
    assert (problem.field, problem.measured, problem.allowed) == ("caption", 2201, 2200)


def test_without_a_caption_the_title_is_posted_and_counted(
    tiktok: Platform, request_: PublishRequest, sim: Sim
) -> None:
    (problem,) = tiktok.validate(title="x" * 2201, caption="  ", options=PUBLIC)
    assert problem.field == "title"
    post(tiktok, replace(request_, title="Only a title", caption=""))
    assert sim.count(caption="Only a title") == 1


def test_privacy_has_no_default_and_is_one_of_a_closed_set(tiktok: Platform) -> None:
    (missing,) = tiktok.validate(title="", caption="c", options={})
    (wrong,) = tiktok.validate(title="", caption="c", options={"privacy_level": "PUBLIC"})
    assert missing.field == wrong.field == "options.privacy_level"
    assert missing.allowed == list(rules.PRIVACY_LEVELS)


def test_a_paid_partnership_cannot_be_for_oneself_only(tiktok: Platform) -> None:
    options = {"privacy_level": "SELF_ONLY", "brand_content_toggle": True}
    (problem,) = tiktok.validate(title="", caption="c", options=options)
    assert "paid partnership" in problem.message


def test_before_the_audit_posts_are_for_oneself_only(make_registry: RegistryMaker) -> None:
    unaudited = make_registry(TIKTOK_AUDITED="false").get("tiktok")
    direct = {"mode": "direct"}
    (problem,) = unaudited.validate(title="", caption="c", options=PUBLIC | direct)
    assert problem.allowed == ["SELF_ONLY"]
    assert unaudited.validate(title="", caption="c", options=direct | {"privacy_level": "SELF_ONLY"}) == []


@pytest.mark.parametrize(("audited", "mode"), [("false", "inbox"), ("true", "direct")])
def test_the_audit_decides_the_default_mode(make_registry: RegistryMaker, audited: str, mode: str) -> None:
    platform = make_registry(TIKTOK_AUDITED=audited).get("tiktok")
    (option,) = (option for option in platform.options if option.name == "mode")
    missing = [problem.field for problem in platform.validate(title="", caption="c", options={})]
    assert option.default == mode
    assert missing == ([] if mode == "inbox" else ["options.privacy_level"])


def test_interaction_is_off_unless_it_was_chosen(request_: PublishRequest) -> None:
    asked = replace(request_, options=PUBLIC | {"allow_duet": True, "is_aigc": True})
    info = rules.post_info(asked)
    assert info == {
        "title": "A caption",
        "privacy_level": "PUBLIC_TO_EVERYONE",
        "disable_comment": True,
        "disable_duet": False,
        "disable_stitch": True,
        "brand_content_toggle": False,
        "brand_organic_toggle": False,
        "is_aigc": True,
    }


# -- preflight


@pytest.mark.parametrize(
    ("account", "changes", "error", "kind"),
    [
        ({"private": True}, {}, PlatformAPIError, "content"),
        ({"max_duration_seconds": 5}, {}, PlatformUploadError, "media"),
        ({"duet_disabled": True}, {"options": PUBLIC | {"allow_duet": True}}, PlatformAPIError, "content"),
        ({"cannot_post": "spam_risk_too_many_posts"}, {}, PlatformRateLimitError, "quota"),
        ({"cannot_post": "spam_risk_user_banned_from_posting"}, {}, PlatformAPIError, "account"),
        ({"cannot_post": "reached_active_user_cap"}, {}, PlatformRateLimitError, "quota"),
        ({"cannot_post": "a_code_nobody_knows"}, {}, PlatformAPIError, "account"),
    ],
)
def test_preflight_refuses_what_the_account_no_longer_allows(
    tiktok: Platform,
    sim: Sim,
    request_: PublishRequest,
    account: dict[str, Any],
    changes: dict[str, Any],
    error: type[PlatformAPIError],
    kind: str,
) -> None:
    sim.account("sandbox_creator", **account)
    with pytest.raises(error) as refused:
        tiktok.preflight(replace(request_, **changes), {})
    assert refused.value.kind == kind
    assert sim.count() == 0


def test_preflight_lets_an_account_post_that_turned_off_what_the_post_leaves_off(
    tiktok: Platform, sim: Sim, request_: PublishRequest
) -> None:
    sim.account("sandbox_creator", duet_disabled=True, comment_disabled=True)
    assert tiktok.preflight(request_, {}) is None


# -- staging and committing


def test_a_file_below_ten_million_bytes_waits_whole_for_its_commit(
    tiktok: Platform, sim: Sim, request_: PublishRequest
) -> None:
    saved = Saved()
    data = some_bytes(9_999_999)
    staged = tiktok.stage(replace(request_, source=MemorySource(data)), None, saved)
    assert isinstance(staged, Staged)
    assert staged.expires_at is not None and staged.expires_at > clock.now() + timedelta(minutes=54)
    assert sim.requests(operation="tiktok.chunk") == []
    assert (tiktok.commit_bytes(saved[-1]), tiktok.slow_commit(saved[-1])) == (9_999_999, False)


def test_refused_chunks_are_replaced_by_one_slow_commit(
    tiktok: Platform, sim: Sim, request_: PublishRequest
) -> None:
    sim.settings(refuse_multi_chunk=True)
    data, saved = some_bytes(10_000_001), Saved()
    whole = replace(request_, source=MemorySource(data))
    tiktok.stage(whole, None, saved)
    assert (len(saved), tiktok.slow_commit(saved[-1]), tiktok.commit_bytes(saved[-1])) == (
        1,
        True,
        10_000_001,
    )
    tiktok.prepare_commit(whole, saved[-1]).send(20.0)
    assert sim.count() == 1


def test_other_refusals_of_the_announcement_are_not_tried_again(
    tiktok: Platform, sim: Sim, request_: PublishRequest
) -> None:
    body = {"error": {"code": "invalid_params", "message": "title is strange"}, "data": {}}
    sim.fault("tiktok.init", "status", status=400, body=body)
    with pytest.raises(PlatformAPIError) as refused:
        tiktok.stage(request_, None, Saved())
    assert (refused.value.kind, len(sim.requests(operation="tiktok.init"))) == ("content", 1)


def test_a_chunk_that_is_stored_already_is_skipped(
    tiktok: Platform, sim: Sim, request_: PublishRequest
) -> None:
    saved, data = Saved(), some_bytes(CASE.stretch)
    large = replace(request_, source=MemorySource(data))
    sim.fault("tiktok.chunk", "drop_after")
    with pytest.raises(PlatformAPIError) as lost:
        tiktok.stage(large, None, saved)
    assert lost.value.kind == "transient"
    tiktok.stage(large, saved[-1], saved)
    assert [handle["uploaded"] for handle in saved] == [0, 10_000_000]


def test_a_file_of_a_format_it_does_not_take_is_not_announced(
    tiktok: Platform, sim: Sim, request_: PublishRequest
) -> None:
    with pytest.raises(PlatformUploadError):
        tiktok.stage(replace(request_, source=MemorySource(b"x", "video/x-matroska")), None, Saved())
    assert sim.requests(operation="tiktok.init") == []


@pytest.mark.parametrize("status", [403, 404, 416])
def test_an_upload_that_is_over_because_it_was_completed_is_never_called_dead(
    tiktok: Platform, sim: Sim, request_: PublishRequest, status: int
) -> None:
    handle = post(tiktok, request_)
    sim.fault("tiktok.*chunk", "status", status=status)
    with pytest.raises(PlatformAPIError) as doubted:
        tiktok.prepare_commit(request_, handle).send(5.0)
    assert doubted.value.kind == "ambiguous"


@pytest.mark.parametrize("status", [403, 404, 416])
def test_an_upload_that_is_over_while_nobody_can_be_asked_is_doubtful(
    tiktok: Platform, sim: Sim, request_: PublishRequest, status: int
) -> None:
    saved = Saved()
    tiktok.stage(request_, None, saved)
    sim.fault("tiktok.last_chunk", "status", status=status)
    sim.fault("tiktok.status", "status", status=503)
    with pytest.raises(PlatformAPIError) as doubted:
        tiktok.prepare_commit(request_, saved[-1]).send(5.0)
    assert doubted.value.kind == "ambiguous"


def test_contradicting_answers_about_progress_are_doubtful(
    tiktok: Platform, sim: Sim, request_: PublishRequest
) -> None:
    saved = Saved()
    tiktok.stage(request_, None, saved)
    sim.fault("tiktok.last_chunk", "status", status=416)
    with pytest.raises(PlatformAPIError, match="contradicts itself") as doubted:
        tiktok.prepare_commit(request_, saved[-1]).send(5.0)
    assert doubted.value.kind == "ambiguous"


# -- asking


def test_a_video_being_processed_is_pending(tiktok: Platform, sim: Sim, request_: PublishRequest) -> None:
    sim.settings(processing_seconds=30.0)
    handle = post(tiktok, request_)
    found = tiktok.locate(request_, handle)
    assert isinstance(found, Pending) and found.until > clock.now()


def test_a_published_post_gets_its_id_later(tiktok: Platform, sim: Sim, request_: PublishRequest) -> None:
    sim.settings(moderation_seconds=60.0)
    handle = post(tiktok, request_)
    early = tiktok.locate(request_, handle)
    sim.advance(61)
    later = tiktok.watch(request_, handle)
    (made,) = sim.posts()
    assert isinstance(early, Published)
    assert (early.remote_id, early.complete) == (None, False)
    assert early.permalink is not None and early.permalink.endswith("/@sandbox_creator")
    assert later == Published(made["id"], made["permalink"])
    assert int(made["id"]) > 2**53


@pytest.mark.parametrize(("reason", "row"), rules.FAIL_REASONS.items())
def test_every_fail_reason_becomes_its_error(
    tiktok: Platform, sim: Sim, request_: PublishRequest, reason: str, row: rules.ErrorRow
) -> None:
    handle = post(tiktok, replace(request_, caption=f"[sim:fail={reason}]"))
    found = tiktok.locate(request_, handle)
    assert isinstance(found, Rejected)
    assert type(found.error) is row.raises
    assert (found.error.kind, found.error.platform_code, found.error.message) == (
        row.kind,
        reason,
        row.sentence,
    )


def test_an_unknown_fail_reason_is_still_a_refusal(
    tiktok: Platform, sim: Sim, request_: PublishRequest
) -> None:
    handle = post(tiktok, replace(request_, caption="[sim:fail=brand_new_reason]"))
    found = tiktok.locate(request_, handle)
    assert isinstance(found, Rejected)
    assert (found.error.platform_code, found.error.retryable) == ("brand_new_reason", False)


@pytest.mark.parametrize("status", ["silent", "FAILED"])
def test_a_removed_post_is_noticed(tiktok: Platform, sim: Sim, request_: PublishRequest, status: str) -> None:
    sim.settings(late_reject_status=status)
    handle = post(tiktok, request_)
    known = tiktok.watch(request_, handle)
    assert isinstance(known, Published)
    sim.remove_post(str(known.remote_id))
    gone = tiktok.watch(replace(request_, remote_id=known.remote_id), handle)
    assert isinstance(gone, Rejected)


def test_a_private_post_that_is_not_listed_does_not_count_as_removed(
    tiktok: Platform, request_: PublishRequest
) -> None:
    private = replace(request_, options={"privacy_level": "SELF_ONLY"})
    handle = post(tiktok, private)
    assert isinstance(tiktok.watch(replace(private, remote_id="7123"), handle), Published)


@pytest.mark.parametrize("data", [{}, {"videos": None}, {"videos": "none"}, {"videos": [None]}])
def test_an_answer_without_a_list_of_videos_does_not_count_as_removed(
    tiktok: Platform, sim: Sim, request_: PublishRequest, data: dict[str, Any]
) -> None:
    handle = post(tiktok, request_)
    sim.fault("tiktok.video_query", "status", status=200, body={"data": data, "error": {"code": "ok"}})
    with pytest.raises(PlatformAPIError) as unclear:
        tiktok.watch(replace(request_, remote_id="7123"), handle)
    assert unclear.value.kind == "transient"


# -- tables


@pytest.mark.parametrize(("code", "row"), rules.ERRORS.items())
def test_every_code_becomes_its_error_whatever_the_status(
    tiktok: Platform, sim: Sim, request_: PublishRequest, code: str, row: rules.ErrorRow
) -> None:
    body = {"error": {"code": code, "message": "secret-in-prose", "log_id": "20261123ABC"}, "data": {}}
    sim.fault("tiktok.creator_info", "status", status=200, body=body)
    with pytest.raises(row.raises) as caught:
        tiktok.preflight(request_, {})
    error = caught.value
    assert (error.kind, error.platform_code, error.details["log_id"]) == (row.kind, code, "20261123ABC")
    assert (error.retry_at is not None) == (row.wait is not None)
    assert "secret-in-prose" not in repr(error.to_dict())


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, "content"), (401, "reauth"), (403, "account"), (429, "rate"), (503, "transient")],
)
def test_a_code_nobody_knows_is_judged_by_its_status(
    tiktok: Platform, sim: Sim, request_: PublishRequest, status: int, kind: str
) -> None:
    body = {"error": {"code": "brand_new", "message": ""}, "data": {}}
    sim.fault("tiktok.creator_info", "status", status=status, body=body)
    with pytest.raises(PlatformAPIError) as caught:
        tiktok.preflight(request_, {})
    assert (caught.value.kind, caught.value.platform_code) == (kind, "brand_new")


def test_sentences_are_for_people() -> None:
    for code, row in [*rules.ERRORS.items(), *rules.FAIL_REASONS.items()]:
        assert row.sentence.endswith("."), code
        assert "_" not in row.sentence.replace("SELF_ONLY", ""), code
