"""What every platform promises, tried over real HTTP against its sandbox. A platform joins with its CASE."""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import requests
import time_machine

from app import clock
from app.exceptions import PlatformAPIError, PlatformAuthError, PlatformRateLimitError
from app.platforms import registry
from app.platforms.base import (
    Accepted,
    Handle,
    HandleDead,
    LeaseLost,
    LocateResult,
    NotCommitted,
    PlannedStep,
    Platform,
    Published,
    PublishRequest,
    Rejected,
    Staged,
    StepDone,
    StepNotDone,
    Tokens,
    Wait,
)
from tests.platforms.conftest import RegistryMaker
from tests.platforms.sources import Case, MemorySource, make_request, some_bytes
from tests.sandbox_server import Sim

CASES: list[Case] = [
    importlib.import_module(f"tests.platforms.test_{name}").CASE for name in registry.names()
]
UNREADABLE = [
    (case, operation, action)
    for case in CASES
    for operation in ("begin", "ask")
    for action in ("malformed", "truncate", "drop_after", "drop_before")
    if (operation, action) != ("begin", "truncate") or case.begins_in_body
]
MOST_TURNS = 30  # a stage that never gets on would go on for ever
DEADLINE = 3.0  # seconds; a stand-in that drops a long body may leave the socket half open till then


@dataclass
class Stage:
    """A platform, a request, and what was saved on the way."""

    case: Case
    platform: Platform
    sim: Sim
    request: PublishRequest
    handles: list[dict[str, Any]]

    def stage(self, handle: Handle | None = None, **changes: Any) -> Staged | Wait:
        return self.platform.stage(replace(self.request, **changes), handle, self.save)

    def save(self, handle: Handle) -> None:
        self.handles.append(dict(handle))

    @property
    def handle(self) -> dict[str, Any]:
        return self.handles[-1]

    def commit(self, handle: Handle | None = None) -> Any:
        return self.platform.prepare_commit(self.request, handle or self.handle).send(DEADLINE)

    def locate(self) -> LocateResult:
        return self.platform.locate(self.request, self.handle)

    def count(self) -> int:
        return self.sim.count(platform=self.case.name)

    def arrived(self) -> str:
        (post,) = self.sim.posts(platform=self.case.name)
        return str(post["sha256"])

    @property
    def sha256(self) -> str:
        source = self.request.source
        assert isinstance(source, MemorySource)
        return hashlib.sha256(source.data).hexdigest()


def where(applies: Callable[[Case], object]) -> pytest.MarkDecorator:
    """Run a test over the platforms of one kind only; there is at least one."""
    return over([case for case in CASES if applies(case)])


def over(cases: Sequence[Case]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", cases, ids=[case.name for case in cases])


@pytest.fixture(params=CASES, ids=lambda case: case.name)
def case(request: pytest.FixtureRequest) -> Case:
    found: Case = request.param
    return found


@pytest.fixture
def stage(case: Case, make_registry: RegistryMaker, sim: Sim) -> Iterator[Stage]:
    token = sim.token(platform=case.name, scopes=sorted(case.scopes))
    request = make_request(case, token, some_bytes(30_000))
    yield Stage(case, make_registry().get(case.name), sim, request, [])


@pytest.fixture
def large(stage: Stage) -> Stage:
    stage.request = replace(stage.request, source=MemorySource(some_bytes(stage.case.stretch)))
    return stage


def test_a_small_video_arrives_byte_for_byte_and_is_one_post(stage: Stage) -> None:
    staged = stage.stage()
    stage.platform.preflight(stage.request, stage.handle)
    before = stage.count()
    committed = stage.commit()
    found = stage.locate()
    assert isinstance(staged, Staged)
    assert before == 0
    assert isinstance(committed, Accepted | Published)
    assert isinstance(found, Published)
    assert found.remote_id is not None and found.permalink is not None
    assert (stage.count(), stage.arrived()) == (1, stage.sha256)


def test_a_large_video_is_staged_in_steps_and_arrives_byte_for_byte(large: Stage) -> None:
    large.stage()
    before = large.count()
    large.commit()
    assert len(large.handles) >= 3
    assert before == 0
    assert (large.count(), large.arrived()) == (1, large.sha256)


def test_staging_goes_on_from_every_handle_it_saved(large: Stage) -> None:
    large.stage()
    saved = [*large.handles]
    for number, handle in enumerate(saved):
        large.sim.reset(keep=("tokens", "accounts", "settings"))
        large.handles.clear()
        _stage_only(large, steps=number + 1)
        assert large.handle.keys() == handle.keys()
        large.stage(large.handle)
        large.commit()
        assert (large.count(), large.arrived()) == (1, large.sha256), f"after step {number}"


def _stage_only(stage: Stage, *, steps: int) -> None:
    """Stage as a worker does that is killed right after its `steps`-th save."""

    def save(handle: Handle) -> None:
        stage.save(handle)
        if len(stage.handles) == steps:
            raise LeaseLost

    with pytest.raises(LeaseLost):
        stage.platform.stage(stage.request, None, save)


def test_staging_yields_at_a_step_and_goes_on_later(large: Stage) -> None:
    outcomes = [large.stage(should_yield=lambda: True)]
    while isinstance(outcomes[-1], Wait) and len(outcomes) <= MOST_TURNS:
        outcomes.append(large.stage(large.handle, should_yield=lambda: True))
    large.commit()
    assert 1 < len(outcomes) <= MOST_TURNS
    assert (large.count(), large.arrived()) == (1, large.sha256)


def test_staging_again_when_staged_sends_nothing_more(large: Stage) -> None:
    large.stage()
    sent = len(large.handles)
    assert isinstance(large.stage(large.handle), Staged)
    assert len(large.handles) == sent


def test_an_answer_lost_after_the_commit_is_ambiguous_and_found_by_asking(stage: Stage) -> None:
    stage.stage()
    stage.sim.fault(stage.case.commit, "drop_after")
    with pytest.raises(PlatformAPIError) as lost:
        stage.commit()
    assert lost.value.kind == "ambiguous"
    assert isinstance(stage.locate(), Published)
    assert (stage.count(), stage.arrived()) == (1, stage.sha256)


def test_a_commit_that_never_arrived_is_located_as_such_and_may_be_sent_again(stage: Stage) -> None:
    stage.stage()
    stage.sim.fault(stage.case.commit, "drop_before")
    with pytest.raises(PlatformAPIError) as lost:
        stage.commit()
    assert lost.value.kind == "ambiguous"
    assert isinstance(stage.locate(), NotCommitted)
    stage.commit()
    assert (stage.count(), stage.arrived()) == (1, stage.sha256)


@where(lambda case: case.commits_bytes)
def test_a_commit_stored_in_part_is_completed_and_posts_once(large: Stage) -> None:
    large.stage()
    large.sim.fault(large.case.commit, "store_partial", bytes=1000)
    with pytest.raises(PlatformAPIError) as lost:
        large.commit()
    assert lost.value.kind == "ambiguous"
    assert isinstance(large.locate(), NotCommitted)
    large.commit()
    assert (large.count(), large.arrived()) == (1, large.sha256)


@pytest.mark.parametrize("fault", [{"status": 503, "when": "after"}, {"status": 500, "when": "before"}])
def test_a_server_error_on_the_commit_is_ambiguous(stage: Stage, fault: Mapping[str, Any]) -> None:
    stage.stage()
    stage.sim.fault(stage.case.commit, "status", **fault)
    with pytest.raises(PlatformAPIError) as lost:
        stage.commit()
    assert lost.value.kind == "ambiguous"
    assert isinstance(stage.locate(), Published if fault["when"] == "after" else NotCommitted)


def test_a_commit_without_an_answer_ends_at_its_deadline_as_ambiguous(stage: Stage) -> None:
    stage.stage()
    stage.sim.fault(stage.case.commit, "delay", seconds=2.0, when="after")
    prepared = stage.platform.prepare_commit(stage.request, stage.handle)
    started = clock.monotonic()
    with pytest.raises(PlatformAPIError) as lost:
        prepared.send(0.5)
    assert 0.4 < clock.monotonic() - started < 1.5
    assert lost.value.kind == "ambiguous"
    assert isinstance(stage.locate(), Published)


@where(lambda case: case.repeats_commit)
def test_a_commit_that_may_be_repeated_makes_no_second_post(stage: Stage) -> None:
    stage.stage()
    stage.commit()
    assert isinstance(stage.commit(), Accepted | Published)
    assert (stage.count(), stage.arrived()) == (1, stage.sha256)


@where(lambda case: not case.repeats_commit)
def test_committing_twice_never_makes_a_second_post(stage: Stage) -> None:
    stage.stage()
    stage.commit()
    with pytest.raises(PlatformAPIError) as again:
        stage.commit()
    assert again.value.kind == "ambiguous"
    assert stage.count() == 1


def test_staging_a_handle_that_was_committed_never_makes_a_second_post(stage: Stage) -> None:
    stage.stage()
    saved = len(stage.handles)
    stage.commit()
    with pytest.raises(PlatformAPIError) as again:
        stage.stage(stage.handle)
    assert len(stage.handles) == saved
    assert again.value.kind == "ambiguous"
    assert stage.count() == 1


@where(lambda case: case.handle_seconds is not None)
def test_a_handle_the_platform_has_ended_is_dead_and_staged_anew(large: Stage) -> None:
    large.stage()
    large.sim.advance(large.case.life.total_seconds() + 60)
    assert isinstance(large.commit(), HandleDead)
    assert large.count() == 0
    large.stage(large.handle)
    large.commit()
    assert (large.count(), large.arrived()) == (1, large.sha256)


@where(lambda case: case.overdue)
def test_a_handle_past_its_time_is_dead_though_the_platform_is_slow_to_say_so(stage: Stage) -> None:
    stage.stage()
    stage.sim.settings(**stage.case.overdue)
    with time_machine.travel(clock.now() + stage.case.life + timedelta(seconds=60)):
        committed, located = stage.commit(), stage.locate()
    assert isinstance(committed, HandleDead)
    assert isinstance(located, HandleDead)
    assert stage.count() == 0


@where(lambda case: case.handle_seconds is not None)
def test_staging_replaces_a_handle_that_ends_before_the_due_time(stage: Stage) -> None:
    stage.stage()
    first, life = stage.handle, stage.case.life
    stage.request = replace(stage.request, due_at=clock.now() + life + timedelta(minutes=10))
    with time_machine.travel(clock.now() + life / 2):
        stage.stage(first)
    assert stage.handle != first


def test_an_expired_token_is_a_typed_error_everywhere(stage: Stage) -> None:
    stage.stage()
    expired = replace(stage.request, account=replace(stage.request.account, access_token="act.gone"))
    attempts = [
        lambda: stage.platform.stage(expired, None, stage.save),
        lambda: stage.platform.preflight(expired, stage.handle),
        lambda: stage.platform.locate(expired, stage.handle),
    ]
    for attempt in attempts:
        with pytest.raises(PlatformAuthError) as refused:
            attempt()
        assert (refused.value.kind, refused.value.action) == ("reauth", "reconnect")


def test_a_rate_limit_says_when_to_come_back(stage: Stage) -> None:
    stage.sim.fault(stage.case.begin, "status", status=429, body="slow down")
    with pytest.raises(PlatformRateLimitError) as limited:
        stage.stage()
    assert limited.value.kind == "rate"
    assert limited.value.retry_at is not None and limited.value.retry_at > clock.now()
    assert stage.handles == []


@pytest.mark.parametrize(
    ("case", "operation", "action"),
    UNREADABLE,
    ids=[f"{case.name}-{operation}-{action}" for case, operation, action in UNREADABLE],
)
def test_answers_that_cannot_be_read_are_transient_before_the_commit(
    stage: Stage, action: str, operation: str
) -> None:
    stage.stage()
    stage.sim.fault(getattr(stage.case, operation), action, bytes=10)
    with pytest.raises(PlatformAPIError) as broken:
        stage.stage() if operation == "begin" else stage.locate()
    assert broken.value.kind == "transient"


def test_an_upload_address_elsewhere_is_refused_and_nothing_is_saved(stage: Stage) -> None:
    case = stage.case
    headers = dict(case.hijack_headers)
    stage.sim.fault(case.begin, "status", status=200, body=case.hijack, headers=headers)
    with pytest.raises(PlatformAPIError) as refused:
        stage.stage()
    assert refused.value.kind == "config"
    assert "stolen" not in repr(refused.value.to_dict())
    assert stage.handles == []


def test_no_secret_appears_in_an_error(large: Stage) -> None:
    large.stage()
    large.sim.fault(large.case.commit, "drop_before")
    large.sim.fault(large.case.ask, "malformed")
    secrets = [large.request.account.access_token, *(large.handle[key] for key in large.case.secret_keys)]
    errors: list[PlatformAPIError] = []
    for attempt in (large.commit, large.locate):
        with pytest.raises(PlatformAPIError) as caught:
            attempt()
        errors.append(caught.value)
    for error in errors:
        shown = " ".join(map(repr, _chain(error))) + repr(error.to_dict()) + repr(large.request)
        assert not [secret for secret in secrets if secret in shown]


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


@where(lambda case: case.refreshes and case.rotates)
def test_refreshing_rotates_and_a_dead_grant_is_an_auth_error(
    case: Case, make_registry: RegistryMaker, sim: Sim
) -> None:
    platform, token = make_registry().get(case.name), sim.token(platform=case.name)
    tokens = platform.refresh(token["refresh_token"])
    assert tokens.access_token != token["access_token"]
    assert tokens.refresh_token not in (None, token["refresh_token"])
    assert tokens.expires_at is not None and tokens.expires_at > clock.now()
    with pytest.raises(PlatformAuthError):
        platform.refresh(token["refresh_token"])


@where(lambda case: case.refreshes and not case.rotates)
def test_refreshing_leaves_the_refresh_token_good_until_the_grant_is_revoked(
    case: Case, make_registry: RegistryMaker, sim: Sim
) -> None:
    platform, token = make_registry().get(case.name), sim.token(platform=case.name)
    first, again = (platform.refresh(token["refresh_token"]) for _ in range(2))
    assert len({token["access_token"], first.access_token, again.access_token}) == 3
    assert first.refresh_token in (None, token["refresh_token"])
    assert first.expires_at is not None and first.expires_at > clock.now()
    platform.revoke(again)
    with pytest.raises(PlatformAuthError):
        platform.refresh(token["refresh_token"])


@where(lambda case: case.refreshes)
@pytest.mark.parametrize(
    "fault", [{"action": "status", "status": 503}, {"action": "malformed"}, {"action": "drop_before"}]
)
def test_passing_trouble_on_refresh_is_not_a_dead_grant(
    case: Case, make_registry: RegistryMaker, sim: Sim, fault: Mapping[str, Any]
) -> None:
    platform, token = make_registry().get(case.name), sim.token(platform=case.name)
    sim.fault(case.refresh, **fault)
    with pytest.raises(PlatformAPIError) as passing:
        platform.refresh(token["refresh_token"])
    assert passing.value.kind == "transient"


def test_a_consent_opens_the_account_it_was_given_for(
    case: Case, make_registry: RegistryMaker, sim: Sim
) -> None:
    platform = make_registry().get(case.name)
    consent = platform.consent(state="the-state", login=case.login)
    answer = requests.get(consent.authorize_url, allow_redirects=False, timeout=5)
    came_back = dict(parse_qsl(urlsplit(answer.headers["Location"]).query))
    tokens = platform.exchange(params=came_back, verifier=consent.verifier)
    remote_id = sim.token(platform=case.name)["remote_id"]
    (account,) = (account for account in platform.accounts(tokens) if account.remote_id == remote_id)
    assert answer.headers["Location"].startswith(platform.config.callback_url)
    assert came_back["state"] == "the-state"
    assert account.username == "sandbox_creator"
    assert not case.refreshes or (tokens.expires_at is not None and tokens.refresh_token is not None)
    assert tokens.access_token not in repr(tokens) and consent.verifier not in repr(consent)


def test_a_denied_consent_is_an_auth_error(case: Case, make_registry: RegistryMaker, sim: Sim) -> None:
    sim.settings(auto_consent="deny")
    platform = make_registry().get(case.name)
    url = platform.consent(state="s", login=case.login).authorize_url
    answer = requests.get(url, allow_redirects=False, timeout=5)
    came_back = dict(parse_qsl(urlsplit(answer.headers["Location"]).query))
    with pytest.raises(PlatformAuthError, match="did not give your consent"):
        platform.exchange(params=came_back, verifier="v")


@where(lambda case: case.has_verifier)
def test_a_consent_cannot_be_completed_without_its_verifier(
    case: Case, make_registry: RegistryMaker, sim: Sim
) -> None:
    platform = make_registry().get(case.name)
    url = platform.consent(state="s", login=case.login).authorize_url
    answer = requests.get(url, allow_redirects=False, timeout=5)
    came_back = dict(parse_qsl(urlsplit(answer.headers["Location"]).query))
    with pytest.raises(PlatformAuthError):
        platform.exchange(params=came_back, verifier="x" * 43)


def test_a_revoked_grant_is_refused_afterwards(case: Case, make_registry: RegistryMaker, sim: Sim) -> None:
    platform = make_registry().get(case.name)
    token = sim.token(platform=case.name, scopes=sorted(case.scopes))
    tokens = Tokens(token["access_token"], token["refresh_token"], None, None, case.scopes)
    platform.accounts(tokens)
    platform.revoke(tokens)
    with pytest.raises(PlatformAuthError):
        platform.accounts(tokens)


# -- afterwards


@where(lambda case: registry.get_class(case.name).can_remove)
def test_a_removed_post_is_gone_and_removing_it_again_is_no_error(stage: Stage) -> None:
    remote_id = _published(stage)
    stage.platform.remove(stage.request.account, remote_id)
    stage.platform.remove(stage.request.account, remote_id)
    (post,) = stage.sim.posts(platform=stage.case.name)
    watched = stage.platform.watch(replace(stage.request, remote_id=remote_id), stage.handle)
    assert post["removed"]
    assert isinstance(watched, Rejected)


@where(lambda case: registry.get_class(case.name).max_stats)
def test_the_figures_of_a_post_are_told_and_of_no_other(stage: Stage) -> None:
    remote_id = _published(stage)
    told = stage.platform.stats(stage.request.account, [remote_id, "7000000000000000001"])
    assert [*told] == [remote_id]
    assert told[remote_id].views is not None


@where(lambda case: case.comment)
@pytest.mark.parametrize("action", ["drop_before", "drop_after"])
def test_a_first_comment_whose_answer_is_lost_is_found_by_asking_and_written_once(
    stage: Stage, action: str
) -> None:
    request, step = _with_comment(stage)
    stage.sim.fault(stage.case.comment, action)
    with pytest.raises(PlatformAPIError) as lost:
        stage.platform.perform_step(request, step)
    found = stage.platform.locate_step(request, step)
    if isinstance(found, StepNotDone):
        found = stage.platform.perform_step(request, step)
    assert lost.value.kind == "ambiguous"
    assert isinstance(found, StepDone)
    assert [comment["text"] for comment in stage.sim.comments(platform=stage.case.name)] == ["First!"]


def _published(stage: Stage) -> str:
    stage.stage()
    stage.commit()
    found = stage.locate()
    assert isinstance(found, Published) and found.remote_id is not None
    return found.remote_id


def _with_comment(stage: Stage) -> tuple[PublishRequest, PlannedStep]:
    stage.request = replace(stage.request, options={**stage.request.options, "first_comment": "First!"})
    request = replace(stage.request, remote_id=_published(stage))
    (step,) = (
        step for step in stage.platform.plan_steps(request, stage.handle) if step.kind == "first_comment"
    )
    assert [kind.repeatable for kind in stage.platform.step_kinds if kind.name == step.kind] == [False]
    return request, step
