"""Thousands of tests make an app each, with the same routes: what Werkzeug compiles for one is kept for the next.

That took more than a quarter of the suite's processor time. Nothing but the time changes: the code compiled for a rule
depends on its text alone, as long as the rule has no defaults.
"""

from __future__ import annotations

from typing import Any

from werkzeug.routing import Rule

_compiled: dict[tuple[Any, ...], Any] = {}
_compile = Rule._compile_builder


def _kept(rule: Rule, append_unknown: bool = True) -> Any:  # noqa: FBT001 - Werkzeug's shape
    if rule.defaults:
        return _compile(rule, append_unknown)
    key = (rule.rule, append_unknown, tuple(rule._trace))
    if key not in _compiled:
        _compiled[key] = _compile(rule, append_unknown)
    return _compiled[key]


def install() -> None:
    """Keep compiled rules from now on, in this process."""
    Rule._compile_builder = _kept  # type: ignore[method-assign]
