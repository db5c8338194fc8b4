"""Folders of one process: nobody takes them from the living, and those of the dead go."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from app.storage.private_folder import YOUNG, private_folder, size, sweep
from tests.servers import ROOT

HOLD = """
import sys, time
from pathlib import Path
from app.storage.private_folder import private_folder
with private_folder(Path(sys.argv[1]), "download-") as folder:
    (folder / "original.mp4").write_bytes(b"x" * 1000)
    print(folder, flush=True)
    time.sleep(60)
"""


def make_old(folder: Path) -> None:
    os.utime(folder, (0, 0))


def test_a_killed_process_leaves_its_folder_to_the_next_sweep_and_a_living_one_keeps_it(
    tmp_path: Path,
) -> None:
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        folder = Path(holder.stdout.readline().strip())
        make_old(folder)

        sweep(tmp_path)
        assert size(tmp_path) == 1000
        holder.send_signal(signal.SIGKILL)
        holder.wait(timeout=10)
        make_old(folder)
        with private_folder(tmp_path, "thumbnail-"):
            assert not folder.exists()
    assert (size(tmp_path), list(tmp_path.iterdir())) == (0, [])


def test_one_just_made_is_left_alone(tmp_path: Path) -> None:
    young = tmp_path / "download-young"
    young.mkdir()

    sweep(tmp_path)
    assert young.exists()
    os.utime(young, (young.stat().st_mtime - YOUNG - 1,) * 2)
    sweep(tmp_path)
    assert not young.exists()


def test_what_is_something_else_is_never_swept(tmp_path: Path) -> None:
    other = tmp_path / "rendition-1.1"
    other.mkdir()
    make_old(other)

    sweep(tmp_path)

    assert other.exists()
