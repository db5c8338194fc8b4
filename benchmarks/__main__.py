"""Run the benchmarks, print a table, write bench.json into DATA_DIR.

python -m benchmarks [NAME]
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import pkgutil
import platform
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

import benchmarks
from app import clock
from benchmarks.rows import Row

NOT_BENCHMARKS = (
    "__main__", "rows", "lateness_job", "counting_server", "bare", "bare_api", "filling", "copying", "discarding_s3",
)  # fmt: skip


def names() -> list[str]:
    """Return the benchmarks there are: every module here with a `run`."""
    return [
        found.name for found in pkgutil.iter_modules(benchmarks.__path__) if found.name not in NOT_BENCHMARKS
    ]


def show(console: Console, rows: list[Row]) -> None:
    """Print the rows as a table."""
    table = Table(title="Benchmarks")
    for heading in ("name", "value", "unit", "baseline", "ratio"):
        table.add_column(heading, justify="left" if heading in ("name", "unit") else "right")
    for row in rows:
        table.add_row(row.name, _number(row.value), row.unit, _number(row.baseline), _number(row.ratio))
    console.print(table)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:,.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench")
    parser.add_argument("only", nargs="?", default="", metavar="NAME", help=f"one of: {', '.join(names())}")
    only = parser.parse_args().only
    if only and only not in names():
        parser.error(f"there is no benchmark {only!r}; there are: {', '.join(names())}")
    console = Console()
    rows: list[Row] = []
    for name in [only] if only else names():
        console.print(f"[bold]{name}[/] ...")
        rows += importlib.import_module(f"benchmarks.{name}").run(console.print)
    show(console, rows)
    path = Path(os.environ.get("DATA_DIR") or "var") / "bench.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    facts = {"at": clock.isoformat(clock.now()), "machine": platform.machine(), "cores": os.cpu_count()}
    path.write_text(json.dumps({**facts, "rows": [asdict(row) for row in rows]}, indent=2) + "\n")
    console.print(f"written to {path}")


main()
