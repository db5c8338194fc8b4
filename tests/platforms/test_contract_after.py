"""What platforms promise of posts that are out: steps, figures, removal."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.exceptions import PlatformAPIError
from app.platforms import registry
from app.platforms.base import (
    PlannedStep,
    Published,
    PublishRequest,
    Rejected,
    StepDone,
    StepNotDone,
)
from tests.platforms.conftest import RegistryMaker
from tests.platforms.contract import Stage, make_stage, where
from tests.platforms.sources import Case
from tests.sandbox_server import Sim


@pytest.fixture
def stage(case: Case, make_registry: RegistryMaker, sim: Sim) -> Stage:
    return make_stage(case, make_registry, sim)


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
