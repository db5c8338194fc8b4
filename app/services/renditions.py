"""Renditions: which targets need one, and what its end means for them. How one is made is in `converting`.

A target that needs a rendition names it (`rendition_id`) from the transaction that schedules it, and is held for
`media` until it is there. Whoever locks both locks posts, then targets, then the rendition.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Row, case, exists, select, update
from sqlalchemy.dialects import postgresql, sqlite

from app import clock
from app.domain.changes_said import changes_said
from app.domain.fit import judge, serves
from app.domain.making_time import likely_seconds
from app.domain.recipe import Recipe
from app.domain.target_error import target_error
from app.domain.target_state import OPEN, WAITING
from app.domain.video_spec import VideoFacts
from app.extensions import db
from app.models import Post, Rendition, Target, TargetRef, Video
from app.models.base import JsonObject, new_id
from app.services import fits, originals
from app.services.fits import Place
from app.services.outcomes import NOTHING_STAGED

GONE = ("failed", "removed")


# -- which targets need one


def assign(*where: Any) -> None:
    """Give each waiting target that matches what is to go out: the original, or a rendition, begun if need be.

    In the caller's transaction, after the targets are written and before their holds are reckoned. What was
    uploaded of something else is forgotten.
    """
    db.session.flush()
    query = (
        select(Target, Post, Video)
        .join(Post, Post.id == Target.post_id)
        .join(Video, Video.id == Target.video_id)
        .where(Target.state.in_(WAITING), *where)
        .order_by(Target.id)
        .execution_options(populate_existing=True)
    )
    rows = db.session.execute(query).all()
    for video in {row.Video.id: row.Video for row in rows}.values():
        _assign(video, [row for row in rows if row.Video.id == video.id])


def _assign(video: Video, rows: Sequence[Row[*tuple[Any, ...]]]) -> None:
    facts = fits.facts_of(video) if video.state == "ready" else None
    if facts is None:  # decided once it is measured; until then its targets are held
        _write(rows, dict.fromkeys((row.Target.id for row in rows), None))
        return
    places = {row.Target.id: fits.place_of(row.Post, row.Target) for row in rows}
    if all(_fits_as_it_is(facts, place) for place in places.values()):
        _write(rows, dict.fromkeys(places, None))
        return
    query = select(Rendition).where(Rendition.video_id == video.id).order_by(Rendition.id)
    there = list(db.session.scalars(query))
    kept = {
        row.Target.id: row.Target.rendition_id
        for row in rows
        if _still_serves(facts, places[row.Target.id], row.Target.rendition_id, there)
    }
    made = [Recipe.from_dict(row.recipe) for row in there if row.state not in GONE]
    open_places = {id_: place for id_, place in places.items() if id_ not in kept}
    found = fits.verdicts(facts, open_places, made=made)
    recipes = {id_: each.recipe for id_, each in found.items() if each.state != "impossible"}
    begun = {recipe: want(video, facts, recipe) for recipe in {*recipes.values()} if recipe is not None}
    for id_ in {*kept.values()}:
        want(video, facts, next(Recipe.from_dict(row.recipe) for row in there if row.id == id_))
    _write(rows, kept | {id_: begun[recipe] if recipe else None for id_, recipe in recipes.items()})


def _fits_as_it_is(facts: VideoFacts, place: Place) -> bool:
    return judge(facts, place.spec(facts), place.wish).state == "ok"


def _still_serves(
    facts: VideoFacts, place: Place, rendition_id: uuid.UUID | None, there: Sequence[Rendition]
) -> bool:
    """Does what a target has already do? Then it stays, for it may be uploaded by now."""
    recipe = next((Recipe.from_dict(found.recipe) for found in there if found.id == rendition_id), None)
    spec = place.spec(facts)
    return recipe is not None and serves(facts, recipe, spec, judge(facts, spec, place.wish), place.wish)


def _write(rows: Iterable[Row[*tuple[Any, ...]]], wanted: dict[uuid.UUID, uuid.UUID | None]) -> None:
    for row in rows:
        target: Target = row.Target
        if target.rendition_id != wanted.get(target.id, target.rendition_id):
            _hand_out(target.ref, wanted[target.id])


def _hand_out(ref: TargetRef, rendition_id: uuid.UUID | None) -> None:
    """Have something else go out, over whoever works on the target: what they uploaded is not it."""
    values = {**NOTHING_STAGED, "rendition_id": rendition_id}
    if not Target.take_back([ref], states={"scheduled"}, **values):
        Target.move(
            ref, before={"staging", "staged"}, after="scheduled", fenced=False, next_at=clock.now(), **values,
        )  # fmt: skip


def want(video: Video, facts: VideoFacts, recipe: Recipe) -> uuid.UUID:
    """Return the rendition of a recipe, to be made if it is not there; the caller commits.

    Its row is written to in any case: whoever is about to let go of it must see this transaction's targets.
    """
    now = clock.now()
    fresh = {
        "id": new_id(), "workspace_id": video.workspace_id, "video_id": video.id, "recipe_hash": recipe.hash,
        "recipe": recipe.to_dict(), "state": "processing", "next_at": now,
        "remaining_seconds": likely_seconds(facts, recipe),
    }  # fmt: skip
    dialect = postgresql if db.engine.dialect.name == "postgresql" else sqlite
    unique = [Rendition.video_id, Rendition.recipe_hash]
    db.session.execute(dialect.insert(Rendition).values(fresh).on_conflict_do_nothing(index_elements=unique))
    again = Rendition.state.in_(GONE)
    values = {
        "updated_at": now,
        "state": case((again, "processing"), else_=Rendition.state),
        "next_at": case((again, now), else_=Rendition.next_at),
        "progress": case((again, 0.0), else_=Rendition.progress),
        "error": case((again, None), else_=Rendition.error),
    }
    found = db.session.scalars(
        update(Rendition)
        .where(Rendition.video_id == video.id, Rendition.recipe_hash == recipe.hash)
        .values(values)
        .returning(Rendition.id)
        .execution_options(synchronize_session=False)
    )
    return found.one()


def is_needed(rendition_id: uuid.UUID) -> bool:
    """Is there a target that still has to go out with it?"""
    needed = exists().where(Target.rendition_id == rendition_id, Target.state.in_(sorted(OPEN)))
    return bool(db.session.scalar(select(needed)))


# -- what its end means


def lock_waiting(rendition_id: uuid.UUID) -> list[Target]:
    """Lock and return the targets that wait with it, after their posts."""
    query = select(Target).where(Target.rendition_id == rendition_id, Target.state.in_(WAITING))
    Post.lock(db.session.scalars(query.with_only_columns(Target.post_id)).all())
    return list(
        db.session.scalars(
            query.order_by(Target.id).with_for_update().execution_options(populate_existing=True)
        )
    )


def fail_targets(targets: Sequence[Target], error: JsonObject) -> None:
    """End the targets whose rendition cannot be made, in the caller's transaction."""
    for name in sorted({target.platform for target in targets}):
        told = target_error(
            error["code"], error["message"], platform=name, kind="media", details=error["details"]
        )
        refs = [target.ref for target in targets if target.platform == name]
        Target.move_many(
            refs, before=WAITING, after="failed", fenced=False, error=told, next_at=None, hold=None
        )


def places_of(rendition_id: uuid.UUID) -> list[Place]:
    """Return where it is to go; no transaction stays open."""
    query = (
        select(Target, Post)
        .join(Post, Post.id == Target.post_id)
        .where(Target.rendition_id == rendition_id, Target.state.in_(sorted(OPEN)))
    )
    found = [fits.place_of(row.Post, row.Target) for row in db.session.execute(query)]
    db.session.rollback()
    return found


def make_again(rendition_id: uuid.UUID) -> None:
    """Have a rendition made anew whose file is not there any more, and what waits with it wait for that. Commits."""
    for target in lock_waiting(rendition_id):
        _hand_out(target.ref, rendition_id)
    db.session.execute(
        update(Rendition)
        .where(Rendition.id == rendition_id, Rendition.state == "ready")
        .values(state="processing", next_at=clock.now(), progress=0.0, fence=Rendition.fence + 1)
        .execution_options(synchronize_session=False)
    )
    Target.reckon_holds(Target.rendition_id == rendition_id)
    db.session.commit()


def shown(row: Rendition, video: Video) -> JsonObject:
    """Return a rendition as the API shows it; `video` is the one it is made of."""
    facts, recipe = fits.facts_of(video), Recipe.from_dict(row.recipe)
    columns = ("id", "state", "remaining_seconds", "size_bytes", "error", "created_at", "updated_at")
    return {name: getattr(row, name) for name in columns} | {
        "work": recipe.work,
        "changes": [*changes_said(facts, recipe)] if facts else [],
        "progress": round(row.progress * 100, 1),
        "file_url": originals.rendition_link(row),
    }


def list_of(video_ids: Iterable[uuid.UUID]) -> list[Rendition]:
    """Return the renditions of these videos, oldest first."""
    query = select(Rendition).where(Rendition.video_id.in_({*video_ids}), Rendition.state != "removed")
    return list(db.session.scalars(query.order_by(Rendition.id)))
