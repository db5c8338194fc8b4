from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from flask import Flask

from app import create_app
from app.extensions import redis_client
from app.services import doctor
from app.services.doctor import Finding
from tests.clips import ffmpeg
from tests.conftest import SettingsMaker
from tests.database import dispose


def found(check: str, *, running: bool = False) -> list[Finding]:
    return [finding for finding in doctor.examine(running=running) if finding.check == check]


def levels(check: str, *, running: bool = False) -> list[str]:
    return [finding.level for finding in found(check, running=running)]


@pytest.fixture
def evicting_redis(context: Flask) -> Iterator[None]:
    redis_client().config_set("maxmemory-policy", "allkeys-lru")
    yield
    redis_client().config_set("maxmemory-policy", "noeviction")


def test_a_sound_installation_has_nothing_to_mend(context: Flask) -> None:
    findings = doctor.examine(running=False)

    assert {finding.check for finding in findings} == {name for name, _ in doctor.STANDING}
    assert [finding for finding in findings if finding.level == "fail"] == []


def test_every_check_knows_a_remedy() -> None:
    assert {name for name, _ in (*doctor.STANDING, *doctor.RUNNING)} <= doctor.REMEDIES.keys()


def test_secrets_that_others_may_read_are_found_and_the_remedy_is_a_command(
    context: Flask, tmp_path: Path
) -> None:
    path = tmp_path / "secrets.env"
    path.write_text("")
    path.chmod(0o644)

    (finding,) = found("secrets")

    assert (finding.level, finding.remedy) == ("fail", f"chmod 600 {path}")


def test_a_redis_that_forgets_under_pressure_is_found(evicting_redis: None) -> None:
    assert levels("redis") == ["ok", "fail"]


def test_what_is_down_is_said_without_its_password_and_hides_nothing_else(
    make_settings: SettingsMaker,
) -> None:
    app = create_app(make_settings(redis_url="redis://:hunter2@127.0.0.1:1/0"))
    with app.app_context():
        findings = doctor.examine(running=False)
    dispose(app)

    assert [finding.check for finding in findings if finding.level == "fail"] == ["redis"]
    assert "hunter2" not in str(findings)


def test_a_postgresql_that_may_lose_commits_is_found(postgres_url: str, make_settings: SettingsMaker) -> None:
    app = create_app(make_settings(database_url=postgres_url))
    with app.app_context():
        findings = found("durability")
    dispose(app)

    assert [finding.level for finding in findings] == ["fail", "fail", "fail"]
    assert "ALTER SYSTEM SET fsync = on" in findings[0].remedy


def test_a_database_without_the_newest_schema_is_found(make_settings: SettingsMaker, tmp_path: Path) -> None:
    app = create_app(make_settings(database_url=f"sqlite:///{tmp_path / 'empty.db'}"))
    with app.app_context():
        (finding,) = found("database")
    dispose(app)

    assert (finding.level, finding.remedy) == ("fail", "flask db upgrade")


def test_a_full_disk_is_found(make_settings: SettingsMaker) -> None:
    app = create_app(make_settings(min_free_bytes=10**18))
    with app.app_context():
        assert levels("disk") == ["fail"]
    dispose(app)


def test_nobody_at_work_is_found(context: Flask) -> None:
    assert levels("processes", running=True) == ["fail"] * 5


def test_an_address_that_leads_elsewhere_is_found(make_settings: SettingsMaker) -> None:
    app = create_app(make_settings(public_url="http://127.0.0.1:1"))
    with app.app_context():
        assert levels("public_url", running=True) == ["fail"]
    dispose(app)


def test_the_command_ends_with_1_when_something_fails(app: Flask, redis_url: str) -> None:
    runner = app.test_cli_runner()
    standing = runner.invoke(args=["doctor", "--before-start"])
    whole = runner.invoke(args=["doctor"])

    assert (standing.exit_code, whole.exit_code) == (0, 1), standing.output
    assert "-> Start `flask workers` and `flask dispatcher`" in whole.output
    with redis.Redis.from_url(redis_url) as client:
        assert client.ping()


@pytest.mark.parametrize(("lacking", "level"), [("zscale", "warn"), ("libx264", "fail")])
def test_an_ffmpeg_that_lacks_what_we_use_is_found(
    context: Flask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lacking: str, level: str
) -> None:
    program = tmp_path / "ffmpeg"
    program.write_text(f'#!/bin/sh\n"{ffmpeg()}" "$@" | grep -v {lacking}\n')
    program.chmod(0o700)
    monkeypatch.setattr(doctor, "find_ffmpeg", lambda _: str(program))

    (finding,) = found("ffmpeg")

    assert (finding.level, lacking in finding.message) == (level, True)
    assert "FFMPEG_PATH" in finding.remedy
