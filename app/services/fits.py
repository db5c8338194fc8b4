"""Where a video fits: its measured facts held against what each channel takes, as the user wants it to look."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from app.domain.fit import Verdict, judge, judge_all
from app.domain.recipe import Recipe
from app.domain.video_spec import VideoFacts, VideoSpec
from app.domain.wish import Wish
from app.models import Channel, Post, Target, Video
from app.models.base import JsonObject
from app.platforms.base import Platform
from app.services.platforms import registry
from app.services.publishing import effective_options

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True)
class Place:
    """Somewhere a video is to go: the platform, the options it is posted with, and what the user wants of it.

    `longest`: seconds the account may post, where that is known.
    """

    platform: Platform
    options: Mapping[str, Any]
    wish: Wish
    longest: float | None = None

    def post_type(self, facts: VideoFacts) -> str:
        """Return what the wanted part of the video would be posted as."""
        return self.platform.post_type(self.wish.within(facts).cut(facts), self.options)

    def spec(self, facts: VideoFacts) -> VideoSpec:
        """Return the limits the wanted part of the video has to keep."""
        spec = self.platform.post_types[self.post_type(facts)]
        if self.longest is None:
            return spec
        usual = spec.max_duration_seconds
        return replace(spec, max_duration_seconds=min(usual, self.longest) if usual else self.longest)


def place_of(post: Post, target: Target, channel: Channel | None = None) -> Place:
    """Return where a target is to go, with `channel` within what its account may post.

    A `fit` of its own is the whole of what a target wants.
    """
    wish = Wish.from_dict(post.fit if target.fit is None else target.fit)
    longest = longest_of(channel) if channel else None
    return Place(registry().get(target.platform), effective_options(post, target), wish, longest)


def longest_of(channel: Channel) -> float | None:
    """Return how long a video this account may post, in seconds, as its platform said when it was asked."""
    return (channel.posting or {}).get("max_duration_seconds")


def facts_of(video: Video) -> VideoFacts | None:
    """Return what was measured, None as long as nothing is."""
    return VideoFacts.from_dict(video.facts) if video.facts else None


def verdicts(
    facts: VideoFacts, places: Mapping[Key, Place], *, made: Sequence[Recipe] = ()
) -> dict[Key, Verdict]:
    """Return what is to be done for each place; those that want the same share what can be shared."""
    found: dict[Key, Verdict] = {}
    for wish in dict.fromkeys(place.wish for place in places.values()):
        specs = {key: place.spec(facts) for key, place in places.items() if place.wish == wish}
        found |= judge_all(facts, specs, wish, made=made)
    return found


def target_verdict(
    post: Post, target: Target, video: Video, channel: Channel | None = None
) -> Verdict | None:
    """Return the verdict of one target, None while its video is not measured."""
    facts = facts_of(video)
    if facts is None:
        return None
    place = place_of(post, target, channel)
    return judge(facts, place.spec(facts), place.wish)


def cut_faults(post: Post, target: Target, video: Video) -> list[str]:
    """Return why the wanted part is not in the video; what is not measured has no end yet."""
    facts = facts_of(video)
    return place_of(post, target).wish.faults(facts) if facts else []


def attach(post: Post, placed: Sequence[tuple[Target, Video]]) -> None:
    """Set `verdict` of targets that are not stored, their channels with them: what would be done, together."""
    for video in {video.id: video for _, video in placed}.values():
        facts = facts_of(video)
        of_video = [target for target, its in placed if its.id == video.id]
        if facts is None:
            continue
        places = {target.id: place_of(post, target, target.channel) for target in of_video}
        found = verdicts(facts, places)
        for target in of_video:
            target.verdict = shown(found[target.id], places[target.id].post_type(facts))


def shown(verdict: Verdict, post_type: str) -> JsonObject:
    """Return a verdict as the API shows it."""
    return {
        "state": verdict.state,
        "post_type": post_type,
        "work": verdict.recipe.work if verdict.recipe else None,
        "recipe_hash": verdict.recipe.hash if verdict.recipe else None,
        "changes": [*verdict.changes],
        "estimated_seconds": verdict.seconds if verdict.recipe else None,
        "estimated_bytes": verdict.size_bytes,
        "problems": [
            {
                "rule": problem.rule,
                "measured": problem.measured,
                "allowed": problem.allowed,
                "message": problem.message,
            }
            for problem in verdict.problems
        ],
    }
