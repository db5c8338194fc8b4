"""What is wrong with a target: its channel, its video, its words and options, as its platform counts."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from app.exceptions import PlatformValidationError
from app.models import Channel, Post, Target, Video
from app.models.base import JsonObject
from app.platforms.base import with_defaults
from app.services import covers, fits, permissions, posting
from app.services.platforms import registry
from app.services.publishing import effective_options


@dataclass(frozen=True)
class Placed:
    """A target with the rows it stands on. `prefix` is how its fields are called in errors."""

    target: Target
    channel: Channel
    video: Video
    prefix: str = ""


def check(post: Post, placed: Sequence[Placed]) -> None:
    """Raise PlatformValidationError with every problem of every target that is not a draft."""
    details: dict[str, list[Any]] = {}
    wanted = [item for item in placed if item.target.state != "draft"]
    granted = permissions.granted([item.channel for item in wanted])
    for item in wanted:
        for name, message in target_problems(post, item, granted=granted[item.channel.id]):
            details.setdefault(item.prefix + name, []).append(message)
    if details:
        verdicts = _verdicts(post, wanted)
        is_media = any(verdict["state"] == "impossible" for verdict in verdicts)
        raise PlatformValidationError(details=details | ({"verdicts": verdicts} if is_media else {}))


def target_problems(post: Post, item: Placed, *, granted: Collection[str]) -> Iterable[tuple[str, str]]:
    """Yield (field, what is wrong) of one target: its channel, its video, and its words as the platform counts.

    `granted` are the permissions its connection has, empty when they are not known.
    """
    target, platform = item.target, registry().get(item.target.platform)
    if item.channel.status == "disconnected":
        yield "channel_id", "This channel is disconnected. Connect it again, or leave it out."
    options = effective_options(post, target)
    yield from video_problems(post, item)
    title, caption = effective_texts(post, target)
    for problem in platform.validate(title=title, caption=caption, options=options):
        yield problem.field, problem.message
    chosen = with_defaults(platform.options, options)
    yield from permissions.problems(platform, chosen, granted=granted)
    yield from covers.problems(platform, chosen, video=item.video)
    yield from posting.problems(platform, chosen, channel=item.channel, length=_length(post, item))


def effective_texts(post: Post, target: Target) -> tuple[str, str]:
    """Return title and caption as they go out: the target's own, else the post's."""
    title = post.title if target.title is None else target.title
    return title, post.caption if target.caption is None else target.caption


def video_problems(post: Post, item: Placed) -> Iterable[tuple[str, str]]:
    """Yield (field, why this video cannot go there); of one that is still measured nothing is known yet.

    What a conversion mends is no problem.
    """
    target, video, label = item.target, item.video, registry().get(item.target.platform).label
    if video.state == "rejected":
        reason = (video.error or {}).get("message", "it cannot be used")
        yield "video_id", f"This video was rejected: {reason}"
    elif video.state == "archived":
        yield "video_id", "The file of this video is gone: it is archived. Upload it again."
    elif faults := fits.cut_faults(post, target, video):
        yield from (("fit", fault) for fault in faults)
    else:
        verdict = fits.target_verdict(post, target, video)
        broken = verdict.problems if verdict and verdict.state == "impossible" else ()
        yield from (("video_id", f"{label}: {problem.message}") for problem in broken)


def _length(post: Post, item: Placed) -> float | None:
    """Return how long what goes out is, in seconds, None while that is not known."""
    facts = fits.facts_of(item.video)
    if facts is None:
        return None
    return fits.place_of(post, item.target).wish.cut(facts).duration_seconds


def _verdicts(post: Post, wanted: Iterable[Placed]) -> list[JsonObject]:
    """Return for each target what would be done, or what is impossible, with what was measured and is allowed."""
    found = []
    for item in wanted:
        facts = fits.facts_of(item.video)
        verdict = fits.target_verdict(post, item.target, item.video, item.channel)
        if facts and verdict:
            shown = fits.shown(verdict, fits.place_of(post, item.target).post_type(facts))
            found.append({"channel_id": str(item.channel.id), "platform": item.target.platform, **shown})
    return found
