"""What people may write and choose for a platform, and what is wrong with it. Reached through `base`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Option:
    """One option a user may set for this platform in `options.<platform>` of a post.

    `kind`: string, boolean, integer. `choices` None: free. A required option has no default and must be
    chosen by the user at scheduling time.
    """

    name: str
    kind: Literal["string", "boolean", "integer"]
    doc: str
    default: Any = None
    choices: tuple[str, ...] | None = None
    required: bool = False
    minimum: int | None = None


@dataclass(frozen=True)
class TextLimit:
    """A limit on a text as the platform itself counts it. `count` turns a text into that platform's units."""

    field: Literal["title", "caption"]
    maximum: int
    unit: str
    count: Callable[[str], int]
    source: str
    required: bool = False


@dataclass(frozen=True)
class Problem:
    """Why something does not fit this platform: the field, what was found, what is allowed, what to do."""

    field: str
    message: str
    measured: Any = None
    allowed: Any = None


def text_problem(limit: TextLimit, text: str) -> Problem | None:
    """Return what is wrong with `text` under `limit`, or None."""
    measured = limit.count(text)
    if measured > limit.maximum:
        return Problem(
            limit.field,
            f"The {limit.field} has {measured} {limit.unit}, at most {limit.maximum} fit. Shorten it.",
            measured,
            limit.maximum,
        )
    if limit.required and not text.strip():
        return Problem(limit.field, f"A {limit.field} is needed here. Add one.", 0, limit.maximum)
    return None


_KINDS: dict[str, type] = {"string": str, "boolean": bool, "integer": int}


def option_problems(known: Sequence[Option], given: Mapping[str, Any]) -> list[Problem]:
    """Return unknown options, missing required ones, and values of the wrong kind or outside the choices."""
    by_name = {option.name: option for option in known}
    problems = [
        Problem(
            f"options.{name}",
            f"{name!r} is not an option here. Known: {', '.join(by_name)}.",
            name,
            [*by_name],
        )
        for name in given
        if name not in by_name
    ]
    for option in known:
        if option.name in given and given[option.name] is not None:
            problems += _value_problems(option, given[option.name])
        elif option.required:
            allowed = list(option.choices) if option.choices else option.kind
            problems.append(
                Problem(f"options.{option.name}", f"Choose {option.name}: {option.doc}", None, allowed)
            )
    return problems


def _value_problems(option: Option, value: Any) -> list[Problem]:
    field_name = f"options.{option.name}"
    wanted = _KINDS[option.kind]
    if not isinstance(value, wanted) or (wanted is int and isinstance(value, bool)):
        return [
            Problem(
                field_name, f"{option.name} must be a {option.kind}, found {value!r}.", value, option.kind
            )
        ]
    if option.choices is not None and value not in option.choices:
        allowed = ", ".join(option.choices)
        return [
            Problem(field_name, f"{option.name} must be one of {allowed}, found {value!r}.", value, allowed)
        ]
    if option.minimum is not None and isinstance(value, int) and value < option.minimum:
        return [
            Problem(field_name, f"{option.name} must be at least {option.minimum}, found {value}.", value)
        ]
    return []


def with_defaults(known: Sequence[Option], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options with defaults filled in."""
    defaults = {option.name: option.default for option in known if option.default is not None}
    return defaults | {name: value for name, value in given.items() if value is not None}
