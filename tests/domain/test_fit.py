"""What is judged about a video, and the recipes that come of it, without any platform's own numbers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from app.domain.common_spec import combine
from app.domain.fit import judge, judge_all
from app.domain.making import frame_rate, make_recipe, outcome
from app.domain.recipe import Recipe
from app.domain.video_spec import VideoSpec, problems
from app.domain.wish import Wish
from tests.awkward import HDR, PCM, PLAIN, shown

AS_IT_IS = Wish()
LOOSE = VideoSpec(source="a page", checked_on="2026-11-23")
STRICT = replace(
    LOOSE,
    containers=("mp4",),
    video_codecs=("h264",),
    audio_codecs=("aac",),
    pixel_formats=("yuv420p",),
    max_frame_rate=60,
    max_width=1920,
    max_size_bytes=300_000_000,
    needs_fast_start=True,
    allows_edit_list=False,
    allows_hdr=False,
)


def recipe(facts: Any, spec: VideoSpec, wish: Wish = AS_IT_IS) -> Recipe:
    made = judge(facts, spec, wish).recipe
    assert made is not None
    return made


def test_a_video_within_the_limits_goes_out_as_it_is() -> None:
    assert judge(PLAIN, STRICT, Wish(shape="crop")) == judge(PLAIN, LOOSE, Wish())
    assert judge(PLAIN, STRICT, Wish()).state == "ok"


@pytest.mark.parametrize(
    ("change", "work"),
    [
        ({"is_fast_start": False}, "remux"),
        ({"has_edit_list": True}, "remux"),
        ({"container": "mov"}, "remux"),
        ({"audio_codec": "pcm_s16le", "container": "mov"}, "audio"),
        ({"is_hdr": True}, "video"),
        ({"video_codec": "prores", "container": "mov"}, "video"),
        ({"size_bytes": 300_000_001}, "video"),
    ],
)
def test_no_more_is_done_than_must_be(change: dict[str, Any], work: str) -> None:
    assert recipe(replace(PLAIN, **change), STRICT).work == work


def test_sound_that_is_right_is_copied_even_where_the_picture_is_not() -> None:
    assert recipe(HDR, STRICT).sound == "copy"
    assert recipe(replace(HDR, audio_codec=None), STRICT).sound == "none"


def test_a_picture_no_mp4_can_hold_is_encoded_although_only_the_container_is_wrong() -> None:
    old = replace(PLAIN, container="avi", video_codec="mpeg4")

    assert recipe(old, replace(LOOSE, containers=("mp4",))).work == "video"


def test_hdr_is_mapped_where_it_is_not_taken_and_left_alone_where_it_is() -> None:
    mapped = recipe(HDR, STRICT).picture

    assert mapped is not None and mapped.is_tone_mapped
    assert judge(HDR, LOOSE, Wish()).state == "ok"


# -- sizes and shapes

UPRIGHT = replace(STRICT, min_aspect=0.55, max_aspect=0.575, preferred_aspect=9 / 16)
MINIMUM = replace(LOOSE, min_side=360)


@pytest.mark.parametrize(
    ("shape", "size"), [("crop", (608, 1080)), ("pad", (1080, 1920)), ("blur", (1080, 1920))]
)
def test_a_shape_changes_as_the_user_chose(shape: Any, size: tuple[int, int]) -> None:
    picture = recipe(shown(1920, 1080), UPRIGHT, Wish(shape=shape)).picture

    assert picture is not None
    assert (picture.width, picture.height, picture.shape) == (*size, shape)


def test_without_a_choice_another_shape_is_impossible_and_says_what_to_choose() -> None:
    verdict = judge(shown(1920, 1080), UPRIGHT, Wish())

    assert verdict.state == "impossible"
    assert [(p.rule, p.measured, p.allowed) for p in verdict.problems] == [("aspect", 1.7778, 0.575)]
    assert "fit.shape" in verdict.problems[0].message


def test_a_shape_that_may_stay_is_not_changed_by_a_choice() -> None:
    picture = recipe(shown(3840, 2160), STRICT, Wish(shape="crop")).picture

    assert picture is not None
    assert (picture.width, picture.height, picture.shape) == (1920, 1080, None)


def test_a_small_picture_is_enlarged_only_by_choice_and_at_most_twofold() -> None:
    small, tiny = shown(320, 240), shown(64, 64)

    assert judge(small, MINIMUM, Wish()).state == "impossible"
    picture = recipe(small, MINIMUM, Wish(shape="pad")).picture
    assert picture is not None and (picture.width, picture.height) == (480, 360)
    assert judge(tiny, MINIMUM, Wish(shape="pad")).state == "impossible"


def test_odd_sizes_become_even_and_are_never_stretched() -> None:
    picture = recipe(replace(shown(853, 481), pixel_format="yuv444p"), STRICT).picture

    assert picture is not None and (picture.width, picture.height) == (852, 480)


# -- rates and budgets


@pytest.mark.parametrize(
    ("found", "is_constant", "rate"),
    [
        (29.97, True, "30000/1001"),
        (59.9401, True, "60000/1001"),
        (25.0, True, "25"),
        (61.0, True, "60"),
        (120.0, True, "60"),
        (119.88, True, "60000/1001"),
        (100.0, True, "50"),
        (15.0, True, "30"),
        (12.5, True, "25"),
        (29.61, False, "30000/1001"),
        (27.0, False, "30000/1001"),
        (75.0, False, "60"),
        (0.0, False, "30"),
    ],
)
def test_frame_rates_become_ones_that_play_evenly(found: float, is_constant: bool, rate: str) -> None:  # noqa: FBT001
    facts = replace(PLAIN, frame_rate=found, is_constant_rate=is_constant)

    assert str(frame_rate(facts, replace(LOOSE, min_frame_rate=23, max_frame_rate=60))) == rate


def test_a_budget_of_bytes_is_kept_for_long_videos_and_shrinks_a_picture_it_would_spoil() -> None:
    long = replace(PLAIN, duration_seconds=900.0, size_bytes=900_000_000)
    tight = replace(STRICT, max_size_bytes=100_000_000)

    roomy, spoilt = recipe(long, STRICT).picture, recipe(long, tight).picture

    assert roomy is not None and (roomy.width, roomy.height) == (1080, 1920)
    assert outcome(long, recipe(long, STRICT)).size_bytes <= 300_000_000
    assert spoilt is not None and spoilt.height < 1920
    assert outcome(long, recipe(long, tight)).size_bytes <= 100_000_000


def test_a_preferred_size_is_kept_only_where_it_costs_nothing_that_can_be_seen() -> None:
    wanted = replace(STRICT, preferred_size_bytes=64_000_000)
    short, longer = replace(HDR, duration_seconds=60.0), replace(HDR, duration_seconds=180.0)

    assert recipe(short, wanted).max_bytes == 64_000_000
    assert recipe(longer, wanted).max_bytes is None


# -- a part of it


def test_a_part_goes_out_only_because_the_user_asked() -> None:
    long = replace(PLAIN, duration_seconds=120.0)
    spec = replace(STRICT, max_duration_seconds=90)

    assert judge(long, spec, Wish()).state == "impossible"
    assert "fit.start" in judge(long, spec, Wish()).problems[0].message
    beginning = recipe(long, spec, Wish(end=60.0))  # a copy would end some pictures late
    assert (beginning.start, beginning.end, beginning.work) == (0.0, 60.0, "video")
    cut = recipe(long, spec, Wish(start=30.0, end=90.0))
    assert (cut.start, cut.end, cut.work) == (30.0, 90.0, "video")


def test_a_cut_that_takes_nothing_away_is_none() -> None:
    assert judge(PLAIN, STRICT, Wish(end=20.0)).state == "ok"


@pytest.mark.parametrize(
    "wish", [Wish(start=5, end=5), Wish(start=20.0), Wish(end=21.0), Wish(start=9, end=3)]
)
def test_a_part_that_is_not_in_the_video_is_a_fault(wish: Wish) -> None:
    assert len(wish.faults(PLAIN)) == 1


# -- several at once


def test_one_recipe_keeps_the_limits_of_all_that_need_the_same_work() -> None:
    slow = replace(STRICT, max_frame_rate=30, max_width=4000)
    found = judge_all(
        replace(shown(3840, 2160), frame_rate=60.0), {"a": STRICT, "b": slow, "c": LOOSE}, Wish()
    )

    assert found["a"].recipe == found["b"].recipe
    picture = found["a"].recipe.picture if found["a"].recipe else None
    assert picture is not None and (picture.width, picture.frame_rate) == (1920, "30/1")
    assert found["c"].state == "ok"


def test_limits_nothing_can_keep_together_get_recipes_of_their_own() -> None:
    slow, fast = replace(STRICT, max_frame_rate=25), replace(STRICT, min_frame_rate=50)
    facts = replace(HDR, frame_rate=30.0)

    found = judge_all(facts, {"slow": slow, "fast": fast}, Wish())

    rates = [v.recipe.picture.frame_rate for v in found.values() if v.recipe and v.recipe.picture]
    assert rates == ["25/1", "60/1"]


def test_who_needs_a_remux_does_not_get_what_another_has_encoded() -> None:
    found = judge_all(
        replace(PLAIN, is_fast_start=False), {"a": STRICT, "b": replace(STRICT, max_width=720)}, Wish()
    )

    assert [v.recipe.work for v in found.values() if v.recipe] == ["remux", "video"]


def test_a_rendition_that_is_there_already_is_used_again_where_it_serves() -> None:
    there = make_recipe(HDR, replace(STRICT, max_width=720), Wish())
    found = judge_all(HDR, {"a": STRICT}, Wish(), made=[there])

    assert found["a"].recipe == there
    assert judge_all(PCM, {"a": STRICT}, Wish(), made=[there])["a"].recipe != there  # heavier than it needs
    assert judge_all(HDR, {"a": STRICT}, Wish(end=5.0), made=[there])["a"].recipe != there  # another part


def test_limits_that_contradict_each_other_cannot_be_combined() -> None:
    assert combine([replace(LOOSE, containers=("mp4",)), replace(LOOSE, containers=("mov",))]) is None
    assert combine([replace(LOOSE, min_side=500), replace(LOOSE, max_side=400)]) is None
    both = combine([replace(STRICT, max_side=2000), replace(LOOSE, min_side=360, containers=("mp4", "mov"))])
    assert both is not None
    assert (both.max_side, both.min_side, both.containers, both.allows_hdr) == (2000, 360, ("mp4",), False)


def test_what_is_changed_is_said_in_words() -> None:
    said = " ".join(judge(replace(HDR, frame_rate=61.0, rotation=90), STRICT, Wish()).changes)

    assert (
        "MP4 (it is mov)" in said and "HDR" in said and "60 a second (it is 61)" in said and "upright" in said
    )


def test_a_recipe_survives_json_and_keeps_its_hash() -> None:
    made = recipe(HDR, STRICT, Wish(shape="blur", start=1.0))

    assert Recipe.from_dict(made.to_dict()) == made
    assert Recipe.from_dict(made.to_dict()).hash == made.hash
    assert problems(outcome(HDR, made), STRICT) == []
