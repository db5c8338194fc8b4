"""What every platform promises of posting, tried over real HTTP against its sandbox. A platform joins with its CASE."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import time_machine

from app import clock
from app.exceptions import PlatformAPIError, PlatformAuthError, PlatformRateLimitError
from app.platforms.base import (
    Accepted,
    Handle,
    HandleDead,
    LeaseLost,
    NotCommitted,
    Published,
    Staged,
    Wait,
)
from tests.platforms.conftest import RegistryMaker
from tests.platforms.contract import CASES, MOST_TURNS, UNREADABLE, Stage, make_stage, where
from tests.platforms.sources import Case, MemorySource, some_bytes
from tests.sandbox_server import Sim


@pytest.fixture(params=CASES, ids=lambda case: case.name)
def case(request: pytest.FixtureRequest) -> Case:
    found: Case = request.param
    return found


@pytest.fixture
def stage(case: Case, make_registry: RegistryMaker, sim: Sim) -> Stage:
    return make_stage(case, make_registry, sim)


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
    attempts: list[Callable[[], object]] = [
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
