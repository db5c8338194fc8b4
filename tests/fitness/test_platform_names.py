from __future__ import annotations

import re
from pathlib import Path

from app.platforms.registry import names
from tests.servers import ROOT

# What the design knows beside what is built: none of them may leak into the generic parts.
NAMES = {*names(), "tiktok", "youtube", "instagram", "facebook", "bluesky", "mastodon", "reddit", "linkedin"}
SEARCHED = ("app", "jobs", "migrations", "benchmarks", "wsgi.py", "gunicorn.conf.py", "Makefile")
ALLOWED = ROOT / "app" / "platforms"


def searched_files() -> list[Path]:
    found: list[Path] = []
    for name in SEARCHED:
        path = ROOT / name
        found += [path] if path.is_file() else path.rglob("*.py")
    return [path for path in found if ALLOWED not in path.parents]


def test_platform_names_appear_only_where_they_belong() -> None:
    pattern = re.compile("|".join(sorted(NAMES)), re.IGNORECASE)

    files = searched_files()
    leaks = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in files
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        if pattern.search(line)
    ]

    assert len(files) > 40
    assert leaks == []
