from __future__ import annotations

import os
import socket
import sys
import time
from pathlib import Path

import pytest

from app.media.child import Limits, run_limited

ROOMY = Limits(cpu=20, memory=2 * 1024**3, file=1024**2)


def python(code: str) -> list[str]:
    return [sys.executable, "-I", "-c", code]


def test_a_child_answers_on_its_output() -> None:
    ended = run_limited(python("print('hello')"), limits=ROOMY, seconds=10)

    assert (ended.code, ended.output) == (0, b"hello\n")


def test_a_child_sees_none_of_our_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_KEY", "do not tell")

    ended = run_limited(python("import os; print(sorted(os.environ))"), limits=ROOMY, seconds=10)

    assert b"LC_ALL" in ended.output
    assert b"SECRET_KEY" not in ended.output


def test_a_child_that_hangs_is_killed_in_time() -> None:
    start = time.monotonic()

    ended = run_limited(python("import time; time.sleep(60)"), limits=ROOMY, seconds=0.5)

    assert ended.code is None
    assert time.monotonic() - start < 5


@pytest.mark.parametrize(
    ("code", "limits"),
    [
        ("while True: pass", Limits(cpu=1, memory=2 * 1024**3, file=0)),
        ("bytearray(3 * 1024**3)", Limits(cpu=20, memory=1024**3, file=0)),
        (
            "import os; open(os.sys.argv[1], 'wb').write(b'x' * 10000)",
            Limits(cpu=20, memory=1024**3, file=1000),
        ),
    ],
)
def test_a_child_that_wants_too_much_ends_by_itself(code: str, limits: Limits, tmp_path: Path) -> None:
    ended = run_limited([*python(code), str(tmp_path / "out")], limits=limits, seconds=20)

    assert ended.code not in (0, None)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 1000


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can take the network away")
def test_a_child_reaches_no_network() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        code = f"import socket; socket.create_connection(('127.0.0.1', {port}), timeout=2)"

        ended = run_limited(python(code), limits=ROOMY, seconds=10)

    assert ended.code == 1


def test_a_program_that_is_not_there_is_told_from_one_that_failed() -> None:
    assert run_limited([os.fspath(Path("/nowhere/ffmpeg"))], limits=ROOMY, seconds=10).code == 127
