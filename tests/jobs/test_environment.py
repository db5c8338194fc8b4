from __future__ import annotations

import base64
import stat
from io import StringIO
from pathlib import Path

import pytest
from dotenv import dotenv_values

from app.config_faults import parse_key_ring
from jobs import environment
from jobs.environment import Refused


def test_secrets_are_made_once_and_are_the_owners_alone(tmp_path: Path) -> None:
    first = environment.make_secrets(tmp_path, {})
    made = environment.made_secrets(tmp_path)

    assert first == ["SECRET_KEY", "JWT_SECRET_KEY", "ENCRYPTION_KEYS"]
    assert environment.make_secrets(tmp_path, {}) == []
    assert environment.made_secrets(tmp_path) == made
    assert len(made["SECRET_KEY"]) >= 32
    assert len(parse_key_ring(made["ENCRYPTION_KEYS"])) == 1
    assert stat.S_IMODE((tmp_path / "secrets.env").stat().st_mode) == 0o600


def test_a_secret_that_is_given_is_not_made(tmp_path: Path) -> None:
    given = {"ENCRYPTION_KEYS": "k1:" + base64.b64encode(b"k" * 32).decode()}

    assert environment.make_secrets(tmp_path, given) == ["SECRET_KEY", "JWT_SECRET_KEY"]


def test_the_missing_secret_is_added_and_the_others_stay(tmp_path: Path) -> None:
    (tmp_path / "secrets.env").write_text("SECRET_KEY=kept\n")

    environment.make_secrets(tmp_path, {})

    assert environment.made_secrets(tmp_path)["SECRET_KEY"] == "kept"
    assert environment.made_secrets(tmp_path)["JWT_SECRET_KEY"]


def test_a_program_that_is_not_ours_is_told_no_secret(tmp_path: Path) -> None:
    given = {"PATH": "/bin", "SMTP_URL": "smtp://u:p@h", "S3_SECRET_ACCESS_KEY": "s", "SECRET_KEY": "k"}

    told = environment.foreign_environment(tmp_path, given)

    assert told == {"PATH": "/bin", environment.MARK: str(tmp_path)}


def test_a_second_stack_in_the_same_folder_is_refused_by_name(tmp_path: Path) -> None:
    data_dir = environment.make_data_dir({"DATA_DIR": str(tmp_path)})
    with environment.claim(data_dir):
        environment.describe(data_dir, mode="run", url="http://127.0.0.1:8000")

        with pytest.raises(
            Refused, match=r"`make run` is already running at http://127.0.0.1:8000: process \d+"
        ):
            environment.claim(data_dir)


def test_what_a_dead_stack_left_written_is_no_obstacle(tmp_path: Path) -> None:
    data_dir = environment.make_data_dir({"DATA_DIR": str(tmp_path)})
    environment.claim(data_dir).close()
    environment.describe(data_dir, mode="run", url="http://127.0.0.1:8000")

    with environment.claim(data_dir):
        assert environment.running_stack(data_dir) == {}


@pytest.mark.parametrize(("first", "second"), [("run", "serve"), ("serve", "run")])
def test_demo_and_production_data_do_not_mix(tmp_path: Path, first: str, second: str) -> None:
    environment.keep_mode(tmp_path, first)
    environment.keep_mode(tmp_path, first)

    with pytest.raises(Refused, match=f"was made by `make {first}`"):
        environment.keep_mode(tmp_path, second)


def test_a_folder_that_cannot_be_written_is_said_plainly(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(Refused, match=r"cannot be written: .* Choose another folder"):
        environment.make_data_dir({"DATA_DIR": str(tmp_path / "file" / "var")})


@pytest.mark.parametrize(
    "value", ["plain", "with space", "it's", 'a "quote"', "back\\slash", "$HOME #1", "a=b"]
)
def test_values_survive_the_env_file(value: str) -> None:
    assert dotenv_values(stream=StringIO(environment.as_env_file({"NAME": value}))) == {"NAME": value}


def test_the_stack_decides_and_loopback_needs_no_proxy(tmp_path: Path) -> None:
    given = {"BIND": "0.0.0.0:80", "NO_PROXY": "example.com", "PATH": "/bin"}

    made = environment.child_environment(tmp_path, given, {"BIND": "127.0.0.1:8001"})

    assert made["BIND"] == "127.0.0.1:8001"
    assert made["NO_PROXY"] == "example.com,127.0.0.1,localhost"
    assert made["DATA_DIR"] == made[environment.MARK] == str(tmp_path)
