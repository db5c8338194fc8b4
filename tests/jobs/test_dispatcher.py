"""The dispatcher process goes on whatever happens, and tells of it once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from flask import Flask

from app.monitoring import init_sentry
from app.services import dispatch
from jobs.dispatcher import RETRY_SECONDS, Dispatcher
from tests.conftest import SettingsMaker
from tests.reports import DSN, Kept, kept_reports


def test_an_error_that_lasts_is_survived_and_reported_once(
    context: Flask, make_settings: SettingsMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_down() -> float:
        raise RuntimeError("the table is gone")

    monkeypatch.setattr(dispatch, "tick", break_down)
    with kept_reports() as reports:
        init_sentry(make_settings(sentry_dsn=DSN), transport=Kept)
        dispatcher = Dispatcher(context)
        pauses = [dispatcher._tick() for _ in range(3)]

    assert pauses == [RETRY_SECONDS] * 3
    assert [report["exception"]["values"][0]["type"] for report in reports] == ["RuntimeError"]


def test_an_error_that_comes_back_is_reported_again(
    context: Flask, make_settings: SettingsMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers: Iterator[RuntimeError | float] = iter([RuntimeError("down"), 0.5, RuntimeError("down again")])

    def tick() -> float:
        answer = next(answers)
        if isinstance(answer, RuntimeError):
            raise answer
        return answer

    monkeypatch.setattr(dispatch, "tick", tick)
    with kept_reports() as reports:
        init_sentry(make_settings(sentry_dsn=DSN), transport=Kept)
        dispatcher = Dispatcher(context)
        pauses = [dispatcher._tick() for _ in range(3)]

    assert pauses == [RETRY_SECONDS, 0.5, RETRY_SECONDS]
    assert len(reports) == 2
