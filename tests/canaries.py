"""Are secrets left anywhere by the whole suite? Every secret that is made while tests run bears a mark, and whatever
leaves the product is searched for it: log lines, error reports, metrics, answers, events, Redis, child processes.

tests/conftest.py takes in the hooks below. Each process of the suite notes what it finds, with the test during which it
found it; in the end the session fails if there is anything. A test that has a secret shown on purpose says why:
`@pytest.mark.shows_secrets("a development installation prints its mails")`.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import flask
import prometheus_client
import pytest
from sqlalchemy import Engine, event

from tests.canary_marks import HEX_MARK, MARK, RAW_MARK, SECRET
from tests.handed_out import HANDED_OUT, REPEATED

SHORTEST = 24  # bytes; shorter ones are names and nonces
SHORTEST_HEX = 16  # bytes
SHOWN, BEGUN = 60, 12  # bytes before and of a secret that say where it stands
PLACES = ("log", "report", "metrics", "error", "answer", "event", "stored", "redis", "argv", "environment")
WRITTEN = {  # by how a statement begins
    "INSERT INTO events": "event",
    "INSERT INTO deliveries": "event",
    "INSERT INTO idempotency_keys": "stored",
}

found: list[str] = []  # what stood where it must not, and when
looked: Counter[str] = Counter()  # bytes looked at, by place
_test: list[pytest.Item] = []  # the one that runs now


def canary(name: str) -> str:
    """Return a made-up secret for a setting: long, marked, no other's."""
    return f"{MARK}-{name}-7f3a9c5e1b8d2460"


def look(place: str, text: str | bytes, *, test: str | None = None, of: str = "") -> None:
    """Note each secret in what has left the product; `test` None: the one that runs now; `of`: where it came from."""
    if test is None and _test and _test[0].get_closest_marker("shows_secrets"):
        return
    raw = text.encode(errors="replace") if isinstance(text, str) else text
    looked[place] += len(raw)
    when = test or (_test[0].nodeid if _test else "between tests")
    for hit in SECRET.finditer(raw):
        before = raw[max(0, hit.start() - SHOWN) : hit.start() + BEGUN].decode(errors="replace")
        found.append(f"{place}: {of} ...{before!r}... in {when}")


# -- marking


def _mark(
    make: Callable[..., Any], marked: Callable[[Any], Any], shortest: int = SHORTEST
) -> Callable[..., Any]:
    def make_marked(size: int | None = None) -> Any:
        made = make(size)
        return marked(made) if (size or 0) >= shortest else made

    return make_marked


def pytest_configure(config: pytest.Config) -> None:
    """Have all secrets marked, and everything looked at, from now on."""
    config.addinivalue_line("markers", "shows_secrets(why): a secret is shown here on purpose")
    secrets.token_urlsafe = _mark(secrets.token_urlsafe, lambda made: made[: -len(MARK)] + MARK)
    secrets.token_bytes = _mark(secrets.token_bytes, lambda made: RAW_MARK + made[len(RAW_MARK) :])
    secrets.token_hex = _mark(
        secrets.token_hex, lambda made: made[: -len(HEX_MARK)] + HEX_MARK, shortest=SHORTEST_HEX
    )
    subprocess.Popen.__init__ = _look_at_child(subprocess.Popen.__init__)  # type: ignore[method-assign]
    flask.request_finished.connect(_look_at_answer, weak=False)
    event.listen(Engine, "before_cursor_execute", _look_at_statement)


# -- looking


def _look_at_answer(sender: flask.Flask, response: flask.Response, **_: Any) -> None:
    if "settings" not in sender.extensions or response.is_streamed:
        return
    if flask.request.path == "/metrics":
        look("metrics", response.get_data())
    elif response.status_code >= 400 and flask.request.endpoint not in REPEATED:
        look("error", _whole(response), of=f"{flask.request.endpoint}")
    elif response.status_code < 400 and flask.request.endpoint not in HANDED_OUT:
        look("answer", _whole(response), of=f"{flask.request.endpoint}")


def _whole(response: flask.Response) -> bytes:
    return str(response.headers).encode(errors="replace") + response.get_data()


def _look_at_child(start: Callable[..., None]) -> Callable[..., None]:
    """Look at what a child process is started with: anybody on the machine may read its arguments.

    Our own programs are told their settings by the environment; whatever else runs has no use for them.
    """

    def begin(self: Any, args: Any, *positional: Any, **options: Any) -> None:
        command = [args] if isinstance(args, str | bytes | Path) else list(args)
        look("argv", b"\n".join(map(os.fsencode, command)))
        is_ours = Path(os.fsdecode(command[0])).name.startswith("python") and "-I" not in command
        if not is_ours:
            inherited = options.get("env")
            look("environment", repr(dict(os.environ if inherited is None else inherited)))
        start(self, args, *positional, **options)

    return begin


def _look_at_statement(_c: Any, _cursor: Any, statement: str, values: Any, *_: Any) -> None:
    for beginning, place in WRITTEN.items():
        if statement.startswith(beginning):
            look(place, repr(values))


def look_through_redis(client: Any) -> None:
    """Look at every key and value, what RQ has packed unpacked."""
    for key in client.scan_iter(count=1000):
        look("redis", b"\n".join([key, *map(_unpacked, _values(client, key))]))


def _values(client: Any, key: bytes) -> list[bytes]:
    kind = client.type(key)
    if kind == b"hash":
        return [part for pair in client.hgetall(key).items() for part in pair]
    if kind == b"list":
        return list(client.lrange(key, 0, -1))
    if kind == b"set":
        return list(client.smembers(key))
    if kind == b"zset":
        return list(client.zrange(key, 0, -1))
    return [client.get(key) or b""] if kind == b"string" else []


def _unpacked(value: bytes) -> bytes:
    try:
        return zlib.decompress(value)
    except zlib.error:
        return value


@pytest.fixture(scope="session", autouse=True)
def canaries(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """In the end look at all metrics and at what processes of ours wrote into files."""
    yield
    look("metrics", prometheus_client.generate_latest())
    for log in tmp_path_factory.getbasetemp().rglob("*.log"):
        look("log", log.read_bytes(), test=str(Path(*log.parts[-3:])))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    _test[:] = [item]
    if item.get_closest_marker("shows_secrets"):
        item.user_properties.append(("shows_secrets", True))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Look at what was printed; where there are several processes, the one that is told by all of them does it."""
    if report.when == "teardown" and ("shows_secrets", True) not in report.user_properties:
        for name, text in report.sections:
            if "stdout" in name or "stderr" in name:
                look("log", text, test=report.nodeid)


# -- the end


def pytest_sessionfinish(session: pytest.Session) -> None:
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["canaries"] = (found, dict(looked))
    elif found and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    theirs, bytes_looked_at = getattr(node, "workeroutput", {}).get("canaries", ([], {}))
    found.extend(theirs)
    looked.update(bytes_looked_at)


def tell(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what was found."""
    for each in sorted(set(found)):
        terminalreporter.write_line(f"SECRET LEFT {each}", red=True, bold=True)
    if found:
        terminalreporter.write_line("Secrets were left behind: the run has failed.", red=True, bold=True)
