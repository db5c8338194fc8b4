"""Settings from the environment: every fault is said at once, and production refuses what is unsafe."""

from __future__ import annotations

import base64
import os
import secrets
import subprocess
import sys
from pathlib import Path

import pytest

from app.config import ConfigError, load
from tests.servers import ROOT

SAFE = {
    "APP_ENV": "production",
    "SECRET_KEY": secrets.token_urlsafe(48),
    "JWT_SECRET_KEY": secrets.token_urlsafe(48),
    "ENCRYPTION_KEYS": "k1:" + base64.b64encode(secrets.token_bytes(32)).decode(),
}


def faults(**environment: str) -> list[str]:
    with pytest.raises(ConfigError) as raised:
        load(SAFE | environment)
    return [line.strip("- ") for line in str(raised.value).splitlines()[1:]]


def test_production_starts_with_safe_settings() -> None:
    assert load(SAFE).is_production


def test_production_refuses_everything_unsafe_at_once() -> None:
    found = faults(
        SECRET_KEY="", JWT_SECRET_KEY="short", ENCRYPTION_KEYS="", DEBUG="true", CRASH_POINTS="all"
    )

    assert [fault.split()[0] for fault in found] == [
        *("SECRET_KEY", "JWT_SECRET_KEY", "ENCRYPTION_KEYS", "DEBUG", "CRASH_POINTS")
    ]


@pytest.mark.parametrize(
    "secret", ["s" * 40, "abcabcabc" * 5, "please-change-me-to-something-random-0123456789", "x" * 31]
)
def test_production_refuses_a_default_or_guessable_secret_without_showing_it(secret: str) -> None:
    (fault,) = faults(SECRET_KEY=secret)

    assert fault.startswith("SECRET_KEY is needed")
    assert secret not in fault


@pytest.mark.parametrize("ring", ["k1", "k1:short", "k1:" + base64.b64encode(b"k" * 16).decode()])
def test_production_refuses_a_key_that_is_not_32_bytes(ring: str) -> None:
    assert faults(ENCRYPTION_KEYS=ring) == ["ENCRYPTION_KEYS is needed in production: id:base64-of-32-bytes."]


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("WEB_THREADS", "many", "WEB_THREADS must be a whole number, found 'many'."),
        ("STORAGE_BACKEND", "ftp", "STORAGE_BACKEND must be one of folder, s3, found 'ftp'."),
        ("STORAGE_BACKEND", "s3", "S3_BUCKET is needed when STORAGE_BACKEND is s3."),
        ("DATABASE_URL", "mysql://x", "DATABASE_URL must begin with sqlite:/// or postgresql+psycopg://."),
        ("PUBLIC_URL", "example.com", "PUBLIC_URL must begin with http:// or https://, found 'example.com'."),
    ],
)
def test_a_wrong_setting_is_named_with_what_is_allowed(name: str, value: str, said: str) -> None:
    assert faults(**{name: value}) == [said]


def test_commands_print_the_list_and_no_stack_trace(tmp_path: Path) -> None:
    environment = os.environ | {"APP_ENV": "production", "DEBUG": "true", "DATA_DIR": str(tmp_path)}
    command = [sys.executable, "-m", "flask", "--app", "wsgi", "dispatcher"]

    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)

    assert ended.returncode == 1
    assert "DEBUG must be off" in ended.stderr
    assert "SECRET_KEY is needed" in ended.stderr
    assert "Traceback" not in ended.stderr
