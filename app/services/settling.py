"""Writing what came of the engine's calls: ledger, target, metrics; by what kind of call it was."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from app import clock
from app.domain.target_state import IN_FLIGHT, State
from app.exceptions import PlatformAPIError
from app.extensions import db, settings
from app.models import Post, Target
from app.monitoring import track_video_post, track_visible_lateness
from app.platforms.base import HandleDead, NotStaged, Rejected, Unknown
from app.services import blocks, credentials, instance, ledger, quotas
from app.services.leases import FREE
from app.services.outcomes import Outcome, after_call, after_commits
from app.services.publishing import Loaded
from app.services.refusals import refuse, stage_again
from app.services.watching import after_watch

_NOT_MADE = frozenset[State]({"staged", "scheduled", "failed"})  # after an intent: the post does not exist


def settle(results: Sequence[tuple[Loaded, Outcome]]) -> None:
    """Write what came of these calls, in one transaction; then tell the metrics, doubt tokens, pause channels.

    None stands for a preflight that found nothing in the way. Commits.
    """
    Post.lock(item.ref.post_id for item, _ in results)  # all at once: two workers never wait for each other
    ordered = sorted(results, key=lambda result: result[0].ref.id)
    ledger.close_many((item, _name(outcome), _facts(outcome)) for item, outcome in ordered)
    called = [(item, outcome) for item, outcome in ordered if _is_answer_to_commit(item)]
    ends = after_commits(called)
    ends += [
        (item, _settle_one(item, outcome)) for item, outcome in ordered if not _is_answer_to_commit(item)
    ]
    quotas.give_back(item for item, state in ends if item.state in IN_FLIGHT and state in _NOT_MADE)
    quotas.fill((item, error) for item, outcome in results if (error := _refusal(outcome)) is not None)
    generation = instance.advance() if any(item.kind == "commit" for item, _ in results) else None
    db.session.commit()
    if generation is not None:
        instance.record(generation)  # a snapshot taken between a claim and its post is an old one now
    for item, state in ends:
        if state in ("published", "failed", "unknown"):
            count_ending(item, state)
    _doubt_tokens(results)
    blocks.pause(
        (item.channel_id, error) for item, outcome in results if (error := _refusal(outcome)) is not None
    )


def count_ending(item: Loaded, state: str) -> None:
    """Tell the metrics how a target ended; after the commit."""
    track_video_post(platform=item.platform.name, status="success" if state == "published" else state)
    if state == "published":
        lateness = (clock.now() - item.due_at).total_seconds()
        track_visible_lateness(platform=item.platform.name, seconds=lateness)


def _doubt_tokens(results: Sequence[tuple[Loaded, Outcome]]) -> None:
    refused = {
        (item.credential_id, item.token_refreshed_at, item.channel_id): outcome
        for item, outcome in results
        if isinstance(outcome, PlatformAPIError) and outcome.kind == "reauth"
    }
    for (credential_id, used, channel_id), error in refused.items():
        credentials.doubt(credential_id, error, used=used, channel_id=channel_id)


def _settle_one(item: Loaded, outcome: Outcome) -> State | None:
    """Apply one outcome; return the state the target was moved to, None when it was not ours any more."""
    if item.kind == "watch":
        return after_watch(item, outcome)
    if isinstance(outcome, PlatformAPIError) and item.state == "staged":  # no intent was written
        return refuse(item, outcome, before={"staged"})
    if isinstance(outcome, NotStaged):
        stage_again(item)
        return None
    if item.kind == "preflight":
        _after_preflight(item)
        return None
    return after_call(item, outcome)


def _is_answer_to_commit(item: Loaded) -> bool:
    """Was the intent written and the call made? Before it, what stops a commit leaves it staged."""
    return item.kind == "commit" and item.state == "publishing"


def _name(outcome: Outcome) -> str:
    return "Clear" if outcome is None else type(outcome).__name__


def _refusal(outcome: Outcome) -> PlatformAPIError | None:
    found = outcome.error if isinstance(outcome, Rejected) else outcome
    return found if isinstance(found, PlatformAPIError) else None


def _facts(outcome: Outcome) -> dict[str, Any] | None:
    if error := _refusal(outcome):
        return error.to_dict()
    if isinstance(outcome, Unknown | HandleDead | NotStaged):
        return {"message": outcome.reason}
    return None


def _after_preflight(item: Loaded) -> None:
    """Nothing stands in the way: the target is due for its commit."""
    now = clock.now()
    ahead = timedelta(seconds=settings().commit_ahead_seconds)
    next_at = max(now, item.due_at - ahead)
    Target.note(item.ref, **FREE, preflighted_at=now, next_at=next_at, error=None, retries=0)
