"""What is wrong with a target: its channel, its video, its words and options, as its platform counts."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.domain import video_spec
from app.domain.video_spec import VideoFacts
from app.exceptions import PlatformValidationError
from app.models import Channel, Post, Target, Video
from app.platforms.base import Platform, with_defaults
from app.services import covers, permissions, posting
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
    details: dict[str, list[str]] = {}
    wanted = [item for item in placed if item.target.state != "draft"]
    granted = permissions.granted([item.channel for item in wanted])
    for item in wanted:
        for name, message in target_problems(post, item, granted=granted[item.channel.id]):
            details.setdefault(item.prefix + name, []).append(message)
    if details:
        raise PlatformValidationError(details=details)


def target_problems(post: Post, item: Placed, *, granted: Collection[str]) -> Iterable[tuple[str, str]]:
    """Yield (field, what is wrong) of one target: its channel, its video, and its words as the platform counts.

    `granted` are the permissions its connection has, empty when they are not known.
    """
    target, platform = item.target, registry().get(item.target.platform)
    if item.channel.status == "disconnected":
        yield "channel_id", "This channel is disconnected. Connect it again, or leave it out."
    options = effective_options(post, target)
    yield from (("video_id", message) for message in video_problems(item.video, platform, options))
    title, caption = effective_texts(post, target)
    for problem in platform.validate(title=title, caption=caption, options=options):
        yield problem.field, problem.message
    chosen = with_defaults(platform.options, options)
    yield from permissions.problems(platform, chosen, granted=granted)
    yield from covers.problems(platform, chosen, video=item.video)
    yield from posting.problems(platform, chosen, channel=item.channel, video=item.video)


def effective_texts(post: Post, target: Target) -> tuple[str, str]:
    """Return title and caption as they go out: the target's own, else the post's."""
    title = post.title if target.title is None else target.title
    return title, post.caption if target.caption is None else target.caption


def video_problems(video: Video, platform: Platform, options: Mapping[str, Any]) -> list[str]:
    """Return why this video cannot go to this platform; of one that is still measured nothing is known yet."""
    if video.state == "rejected":
        return [f"This video was rejected: {(video.error or {}).get('message', 'it cannot be used')}"]
    if video.state == "archived":
        return ["The file of this video is gone: it is archived. Upload it again."]
    return [f"{platform.label}: {problem.message}" for problem in spec_problems(video, platform, options)]


def spec_problems(video: Video, platform: Platform, options: Mapping[str, Any]) -> list[video_spec.Problem]:
    """Return the platform's limits this video breaks, as what these options make of it.

    Also those a conversion could mend: until there are conversions, what is uploaded is what goes out.
    """
    if video.facts is None:
        return []
    facts = VideoFacts.from_dict(video.facts)
    return video_spec.problems(facts, platform.spec_for(facts, options))
