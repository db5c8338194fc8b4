"""Where a video fits: as it is, after a conversion, or not at all; and the fewest conversions for all. Pure."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

from app.domain.changes_said import changes_said
from app.domain.common_spec import combine
from app.domain.making import likely_bytes, make_recipe, outcome
from app.domain.making_time import likely_seconds
from app.domain.recipe import Recipe, Work
from app.domain.video_spec import Problem, VideoFacts, VideoSpec, problems
from app.domain.wish import Wish

State = Literal["ok", "fixable", "impossible"]
Key = TypeVar("Key", bound=Hashable)
WORK_RANK: dict[Work, int] = {"pass": 0, "remux": 1, "audio": 2, "video": 3}
SHAPE_RULES = frozenset({"aspect", "short_side", "width", "height"})
CHOOSE_SHAPE = "Choose fit.shape (crop, blur or pad) to have the picture changed."
CUT = "Choose fit.start and fit.end to have a part of it go out."


@dataclass(frozen=True)
class Verdict:
    """`problems`: what is broken as it is, or, when `impossible`, what no conversion mends.

    Of what is `fixable`: the recipe, what it changes in words, about how many seconds it takes and how many
    bytes come of it.
    """

    state: State
    problems: tuple[Problem, ...] = ()
    recipe: Recipe | None = None
    changes: tuple[str, ...] = ()
    seconds: float = 0.0
    size_bytes: int | None = None


def judge(facts: VideoFacts, spec: VideoSpec, wish: Wish) -> Verdict:
    """Return whether a video, or the wanted part of it, may go out under these limits, and what that takes."""
    wish = wish.within(facts)
    found = tuple(problems(wish.cut(facts), spec))
    if not found and not wish.cuts:
        return Verdict("ok")
    recipe = make_recipe(facts, spec, wish)
    left = problems(outcome(facts, recipe), spec)
    if left:
        return Verdict("impossible", tuple(_advised(problem, wish) for problem in left))
    return _fixable(facts, recipe, found)


def judge_all(
    facts: VideoFacts, specs: Mapping[Key, VideoSpec], wish: Wish, *, made: Sequence[Recipe] = ()
) -> dict[Key, Verdict]:
    """Return the verdict for each of `specs`, with as few recipes as no target suffers from.

    A recipe of `made` (there is a rendition of it already) is taken where it serves; targets that need the
    same kind of work share a recipe that keeps the limits of all of them, if there is one. What may go out
    as it is does.
    """
    wish = wish.within(facts)
    found = {key: judge(facts, spec, wish) for key, spec in specs.items()}
    shared: list[tuple[list[Key], Verdict]] = []
    for key, verdict in found.items():
        if verdict.recipe is None:
            continue
        served = next((each for each in made if serves(facts, each, specs[key], verdict, wish)), None)
        if served is not None:
            found[key] = _fixable(facts, served, verdict.problems)
        else:
            _share(facts, specs, wish, key, verdict, shared)
    for keys, together in shared:
        for key in keys:
            found[key] = replace(together, problems=found[key].problems)
    return found


def _share(
    facts: VideoFacts,
    specs: Mapping[Key, VideoSpec],
    wish: Wish,
    key: Key,
    verdict: Verdict,
    shared: list[tuple[list[Key], Verdict]],
) -> None:
    """Put the target to the first others with which it can share a recipe, else begin anew."""
    for number, (keys, before) in enumerate(shared):
        if _rank(before.recipe) != _rank(verdict.recipe):
            continue
        common = combine([specs[each] for each in (*keys, key)])
        together = judge(facts, common, wish) if common else None
        if together is not None and together.recipe and _rank(together.recipe) == _rank(verdict.recipe):
            shared[number] = ([*keys, key], together)
            return
    shared.append(([key], verdict))


def serves(facts: VideoFacts, recipe: Recipe, spec: VideoSpec, verdict: Verdict, wish: Wish) -> bool:
    """Does a rendition of this recipe do for a target with that verdict, without work it does not need?"""
    wish = wish.within(facts)
    same_part = (recipe.start, recipe.end) == (wish.start, wish.end)
    same_shape = recipe.picture is None or recipe.picture.shape in (None, wish.shape)
    no_heavier = verdict.recipe is not None and _rank(recipe) <= _rank(verdict.recipe)
    return same_part and same_shape and no_heavier and not problems(outcome(facts, recipe), spec)


def _rank(recipe: Recipe | None) -> int:
    return 0 if recipe is None else WORK_RANK[recipe.work]


def _fixable(facts: VideoFacts, recipe: Recipe, found: tuple[Problem, ...]) -> Verdict:
    return Verdict(
        "fixable",
        found,
        recipe,
        changes_said(facts, recipe),
        likely_seconds(facts, recipe),
        likely_bytes(facts, recipe),
    )


def _advised(problem: Problem, wish: Wish) -> Problem:
    """Return the problem with what the user can do about it, if there is something."""
    too_long = problem.rule == "duration" and problem.measured > problem.allowed
    advice = CUT if too_long else CHOOSE_SHAPE if problem.rule in SHAPE_RULES and not wish.shape else ""
    return replace(problem, message=f"{problem.message} {advice}".strip(), fixable=False)
