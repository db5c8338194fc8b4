"""One more platform is one adapter and one stand-in: nothing else of the product has to know its name."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.platforms.fifth.walk import CAPTION, CONTENT
from tests.servers import ROOT

FILES = ROOT / "tests/platforms/fifth"
PLACES = {"adapter.py": "app/kite.py", "stand_in.py": "sandbox/kite.py"}


def put_in_place(folder: Path) -> None:
    for name, place in PLACES.items():
        (folder / place).parent.mkdir(parents=True)
        shutil.copy(FILES / name, folder / place)


def walk(folder: Path, database_url: str, redis_url: str) -> Any:
    """Do what tests/platforms/fifth/walk.py says, in a process that has looked for no platform yet."""
    command = [sys.executable, "-m", "tests.platforms.fifth.walk", str(folder), database_url, redis_url]
    walked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert walked.returncode == 0, walked.stderr
    return json.loads(walked.stdout.splitlines()[-1])


def test_a_made_up_platform_is_listed_connected_and_posted_to_once(
    tmp_path: Path, sqlite_url: str, redis_url: str
) -> None:
    put_in_place(tmp_path)

    found = walk(tmp_path, sqlite_url, redis_url)

    listed, target, (post,) = found["listed"], found["target"], found["posts"]
    assert (listed["label"], listed["configured"], listed["sandbox"]) == ("Kite", True, True)
    assert found["channel"]["platform"] == "kite"
    assert (target["status"], target["permalink"]) == ("published", post["permalink"])
    assert (post["caption"], post["privacy"]) == (CAPTION, "east")  # the text and its own option
    assert post["sha256"] == hashlib.sha256(CONTENT).hexdigest()
    assert found["settings"] == ["KITE_BASE", "KITE_CLIENT_ID", "KITE_CLIENT_SECRET"]  # in .env.example
    assert found["documented"]
    assert found["measured"]


def test_no_file_of_the_project_but_its_own_names_it() -> None:
    """Else the walk would show nothing."""
    folders = (ROOT / name for name in ("app", "jobs", "sandbox", "migrations"))
    paths = [path for folder in folders for path in folder.rglob("*.py")]

    assert len(paths) > 100
    assert [path for path in paths if re.search(r"\bkite\b", path.read_text(), re.IGNORECASE)] == []
