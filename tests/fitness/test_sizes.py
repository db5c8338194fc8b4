from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.servers import ROOT

FOLDERS = ("app", "jobs", "sandbox", "benchmarks", "crash", "tests")
FILES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
LONGEST_FUNCTION = 40
LONGEST_FILE = 300
LONGEST_PLATFORM = 400  # a platform is one file, and so is its stand-in


def is_platform(path: Path) -> bool:
    parts = path.relative_to(ROOT).parts
    return parts[0] == "sandbox" or parts[:2] == ("app", "platforms") or parts[0] == "tests"


def long_functions(path: Path) -> list[str]:
    tree = ast.parse(path.read_text())
    functions = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    sizes = ((node.name, (node.end_lineno or node.lineno) - node.lineno + 1) for node in functions)
    return [f"{name}: {lines} lines" for name, lines in sizes if lines > LONGEST_FUNCTION]


def test_there_are_files_to_measure() -> None:
    assert len(FILES) > 50


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_and_functions_are_short(path: Path) -> None:
    lines = path.read_text().count("\n")

    assert lines <= (LONGEST_PLATFORM if is_platform(path) else LONGEST_FILE)
    assert long_functions(path) == []
