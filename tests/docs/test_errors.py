"""docs/errors.md names every code there is, with its status."""

from __future__ import annotations

import re
from collections.abc import Iterator

from app.error_handlers import HTTP_ERRORS
from app.exceptions import AppException
from tests.servers import ROOT

PAGE = (ROOT / "docs" / "errors.md").read_text()


def tree(root: type[AppException] = AppException) -> Iterator[type[AppException]]:
    yield root
    for child in root.__subclasses__():
        if child.__module__ == "app.exceptions":
            yield from tree(child)


def test_the_page_says_what_the_code_does() -> None:
    documented = {
        (code, int(status)) for code, status in re.findall(r"^\| `(\w+)` \| (\d+) \|", PAGE, re.MULTILINE)
    }

    real = {(family.code, family.status) for family in tree()}
    real |= {(code, status) for status, (code, _) in HTTP_ERRORS.items()}
    assert documented == real


def test_every_code_has_a_cause_and_a_remedy() -> None:
    rows = [line.strip("| ").split(" | ") for line in PAGE.splitlines() if line.startswith("| `")]

    assert len(rows) > 50
    assert [
        row for row in rows if len(row) not in (3, 4) or not all(cell.strip(" |") for cell in row[-2:])
    ] == []


def test_each_code_is_explained_once() -> None:
    codes = re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)

    assert sorted(set(codes)) == sorted(codes)


def test_what_only_targets_and_warnings_say_is_explained_too() -> None:
    sources = (path for layer in ("domain", "services") for path in (ROOT / "app" / layer).glob("*.py"))
    said = r'(?:target_error\(|_warning\(|_end\(row, |_wait\(row, |"code": )"([A-Z_]+)"'
    codes = {code for path in sources for code in re.findall(said, path.read_text())}

    assert {"MISSED", "PAUSED", "QUOTA_PROMISED", "NOT_PUBLISHED"} <= codes
    assert codes <= set(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE))
