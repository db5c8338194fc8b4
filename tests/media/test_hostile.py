"""Hostile files under strace: whatever is in them, nothing is opened that is not the job's, and nobody dies."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.clips import ffmpeg, make_clip
from tests.media.hostile import Lures, corpus
from tests.servers import ROOT
from tests.skips import skip_or_fail

AT_ONCE = 2  # straced processes side by side
WATCHED = "open,openat,openat2,creat,execve,socket,connect,bind,sendto"
STEPS = ("measure", "thumbnail", "moment", "convert", "remux", "image", "named image")
CODES = {"ok", "VIDEO_VALIDATION_ERROR", "VIDEO_CONVERSION_ERROR"}
OURS = (
    sys.prefix,
    sys.base_prefix,
    os.path.realpath(sys.prefix),
    os.path.realpath(sys.base_prefix),
    str(ROOT),
)
SYSTEM = (
    "/usr/lib",
    "/usr/local/lib",
    "/lib",
    "/etc/ld.so",
    "/dev/null",
    "/dev/urandom",
    "/proc/",
    "/sys/devices/",
)
# What Python and OpenSSL read when they start, whatever they are given.
BASICS = ("/etc/localtime", "/usr/share/zoneinfo", "/usr/share/locale/locale.alias", "/etc/ssl/openssl.cnf")
_CALL = re.compile(r"^\d+ +(\w+)\((.*)$")
_OWN = re.compile(r"(/bases/base.mp4|/jobs/[^/]+/(original.mp4|sent.jpg|out.jpg|out.mp4))?")
_PATH = re.compile(r'"((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True)
class Seen:
    """What came of the files, and every call that was none of their business."""

    ends: list[dict[str, Any]]
    foreign: list[str]
    calls: int


def watched(folder: Path, paths: list[Path], *, seconds: float) -> Seen:
    """Drive the files through all that reads one: measuring, pictures, converting and copying, under strace."""
    if shutil.which("strace") is None:
        skip_or_fail("no strace: apt-get install strace")
    if subprocess.run(["strace", "-o", "/dev/null", "true"], capture_output=True).returncode:
        skip_or_fail("strace may not trace here")
    shares = [paths[start::AT_ONCE] for start in range(AT_ONCE)]
    children = [_start(folder, number, share) for number, share in enumerate(shares)]
    said = [child.communicate(timeout=seconds)[0] for child in children]
    assert [child.returncode for child in children] == [0] * AT_ONCE
    traces = [(folder / f"trace.{number}").read_text(errors="replace") for number in range(AT_ONCE)]
    lines = [line for trace in traces for line in trace.splitlines()]
    ends = [json.loads(line) for text in said for line in text.splitlines()]
    return Seen(ends, [line for line in lines if _is_foreign(line, folder)], len(lines))


def _start(folder: Path, number: int, paths: list[Path]) -> subprocess.Popen[str]:
    trace = [
        "strace",
        "-f",
        "--seccomp-bpf",
        "-qq",
        "-s",
        "300",
        "-e",
        f"trace={WATCHED}",
        "-e",
        "signal=none",
    ]
    driver = [sys.executable, str(ROOT / "tests" / "media" / "hostile" / "drive.py"), str(folder), ffmpeg()]
    return subprocess.Popen(
        [*trace, "-o", str(folder / f"trace.{number}"), *driver, *map(str, paths)],
        cwd=folder,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "PYTHONDONTWRITEBYTECODE": "1",
            "HOME": "/",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def _is_foreign(line: str, folder: Path) -> bool:
    """Whether this call opens, runs or reaches anything beyond the job's own files and our libraries."""
    found = _CALL.match(line)
    if found is None:
        return False  # "<unfinished ...>" has its call on its first line; the rest are exits
    call, arguments = found.groups()
    if call in ("socket", "connect", "bind", "sendto"):
        return True
    path = _PATH.search(arguments)
    if path is None:
        return True
    name = path.group(1)
    if call == "execve":
        return name not in (sys.executable, ffmpeg())
    if name.startswith(str(folder)):
        return not _OWN.fullmatch(name.removeprefix(str(folder)))
    return not name.startswith((*OURS, *SYSTEM, *BASICS)) and name != str(Path(ffmpeg()).parent)


def run(
    folder: Path, *, mutations: int, seed: int, seconds: float, every: int = 1
) -> tuple[list[Path], Seen]:
    """Write the corpus, drive `every` so many-th file of it under the watch, and return what came of them."""
    outside = folder / "outside" / "secret.mp4"
    outside.parent.mkdir()
    make_clip(outside, seconds=0.5, size="64x64")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"http://127.0.0.1:{listener.getsockname()[1]}/secret.mp4"
        whole = corpus(folder, Lures(outside, "neighbour.mp4", address), mutations=mutations, seed=seed)
        paths = whole[::every]
        for path in paths:
            (path.parent / "neighbour.mp4").symlink_to(outside)
        seen = watched(folder, paths, seconds=seconds)
        listener.settimeout(0.05)
        with pytest.raises(TimeoutError):
            listener.accept()
    return paths, seen


def require_harmless(paths: list[Path], seen: Seen) -> None:
    assert seen.foreign == []
    assert sorted(end["name"] for end in seen.ends) == sorted(path.parent.name for path in paths)
    codes = Counter(end[step] for end in seen.ends for step in STEPS)
    assert codes.keys() <= CODES
    left = {item.name for path in paths for item in path.parent.iterdir()}
    assert left <= {"original.mp4", "neighbour.mp4", "sent.jpg", "out.jpg", "out.mp4"}


@pytest.mark.long
def test_two_hundred_hostile_files_open_nothing_and_kill_nobody(tmp_path: Path) -> None:
    paths, seen = run(tmp_path, mutations=24, seed=1, seconds=900)

    assert len(paths) >= 200
    require_harmless(paths, seen)


def test_some_hostile_files_of_every_sort_open_nothing_and_kill_nobody(tmp_path: Path) -> None:
    paths, seen = run(tmp_path, mutations=24, seed=1, seconds=400, every=4)

    assert len(paths) >= 50
    require_harmless(paths, seen)
    assert seen.calls > 10 * len(paths)  # the trace did see them
    assert all(any(end[step] == "ok" for end in seen.ends) for step in ("convert", "remux", "moment"))


@pytest.mark.long
@pytest.mark.parametrize("seed", range(2, 6))
def test_a_thousand_mutated_files_open_nothing_and_kill_nobody(tmp_path: Path, seed: int) -> None:
    paths, seen = run(tmp_path, mutations=1000, seed=seed, seconds=3600)

    require_harmless(paths, seen)


def test_the_watch_sees_what_is_not_the_jobs(tmp_path: Path) -> None:
    own = tmp_path / "jobs" / "x"
    foreign = [
        f'1 openat(AT_FDCWD, "{own}/neighbour.mp4", O_RDONLY) = 3',
        f'1 openat(AT_FDCWD, "{tmp_path}/outside/secret.mp4", O_RDONLY) = -1 ENOENT (No such file or directory)',
        '1 openat(AT_FDCWD, "../../outside/secret.mp4", O_RDONLY <unfinished ...>',
        '1 openat(AT_FDCWD, "/etc/passwd", O_RDONLY) = 3',
        "1 socket(AF_INET, SOCK_STREAM, IPPROTO_TCP) = 3",
        '1 execve("/bin/sh", ["sh"], 0x1) = 0',
    ]
    own_calls = [
        f'1 openat(AT_FDCWD, "{own}/original.mp4", O_RDONLY|O_CLOEXEC) = 3',
        '1 openat(AT_FDCWD, "/proc/self/maps", O_RDONLY) = 3',
        "1 <... openat resumed>) = 3",
    ]

    assert [line for line in foreign + own_calls if _is_foreign(line, tmp_path)] == foreign
