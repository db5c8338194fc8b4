from __future__ import annotations

import socket
import stat
from pathlib import Path

import pytest

from app import embedded
from tests.servers import running


def test_a_taken_port_gives_the_next_free_one() -> None:
    with socket.socket() as taken:
        taken.bind((embedded.LOOPBACK, 0))
        taken.listen()
        port = taken.getsockname()[1]

        assert port < embedded.free_port(preferred=port) <= port + embedded.PORTS_TRIED


def test_no_free_port_is_an_error_and_not_an_endless_search(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "PORTS_TRIED", 1)
    with socket.socket() as taken:
        taken.bind((embedded.LOOPBACK, 0))
        taken.listen()

        with pytest.raises(OSError, match="no free port between"):
            embedded.free_port(preferred=taken.getsockname()[1])


def test_the_bundled_redis_is_found_when_the_path_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")

    found = embedded.find_redis_server()

    assert found is not None
    assert found.name == "valkey-server"


def test_the_path_comes_before_the_bundle(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    own = tmp_path / "valkey-server"
    own.write_text("#!/bin/sh\n")
    own.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))

    assert embedded.find_redis_server() == own


def test_the_bundled_ffmpeg_is_found_when_the_path_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("IMAGEIO_FFMPEG_EXE", raising=False)

    assert Path(str(embedded.find_ffmpeg())).is_file()


def test_a_configured_ffmpeg_that_is_not_there_is_not_replaced() -> None:
    assert embedded.find_ffmpeg("/nowhere/ffmpeg") is None


def test_our_redis_never_evicts_keeps_a_log_and_asks_for_the_password(tmp_path: Path) -> None:
    import redis

    binary, port = embedded.find_redis_server(), embedded.free_port()
    folder = tmp_path / "a folder with spaces"
    config = embedded.write_redis_config(folder, port=port, password="secret")
    url = f"redis://:secret@127.0.0.1:{port}/0"

    with running([str(binary), str(config)], log=tmp_path / "log"):
        assert embedded.redis_answers(url, seconds=10)
        with redis.Redis.from_url(url) as client:
            assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
            assert client.config_get("appendonly") == {"appendonly": "yes"}
        assert not embedded.redis_answers(url.replace("secret", "wrong"), seconds=0)

    assert stat.S_IMODE(config.stat().st_mode) == 0o600


def test_a_private_file_is_replaced_whole_and_is_the_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "secrets"
    path.write_text("old")
    path.chmod(0o644)

    embedded.write_private(path, "new")

    assert path.read_text() == "new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]
