"""Thousands of tests make an app each: what is the same for all of them is made once in a process.

What Werkzeug compiles for the routes took more than a quarter of the suite's processor time, and what botocore reads
about S3 a fifth of the tests of the store. Nothing but the time changes: the code compiled for a rule depends on its
text alone, as long as the rule has no defaults, and the descriptions of services are only read.
"""

from __future__ import annotations

import functools
from typing import Any

from botocore.loaders import JSONFileLoader
from werkzeug.routing import Rule

_compiled: dict[tuple[Any, ...], Any] = {}
_compile = Rule._compile_builder
_load = JSONFileLoader.load_file


def _kept(rule: Rule, append_unknown: bool = True) -> Any:  # noqa: FBT001 - Werkzeug's shape
    if rule.defaults:
        return _compile(rule, append_unknown)
    key = (rule.rule, append_unknown, tuple(rule._trace))
    if key not in _compiled:
        _compiled[key] = _compile(rule, append_unknown)
    return _compiled[key]


@functools.cache
def _read(path: str) -> Any:
    return _load(JSONFileLoader(), path)


def install() -> None:
    """Keep what was made from now on, in this process."""
    Rule._compile_builder = _kept  # type: ignore[method-assign]
    JSONFileLoader.load_file = lambda _, path: _read(path)
