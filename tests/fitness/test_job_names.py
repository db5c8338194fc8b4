from __future__ import annotations

import importlib
import inspect

import pytest

from app.queue import QUEUES, TASKS, Task


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_every_job_name_resolves_to_a_function_of_jobs(task: Task) -> None:
    module, _, name = task.function.rpartition(".")

    function = getattr(importlib.import_module(module), name)

    assert module.startswith("jobs.")
    assert inspect.isfunction(function)
    assert task.queue in QUEUES
