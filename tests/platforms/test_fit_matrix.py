"""Each awkward video on each platform: the verdict, as docs/media.md shows it."""

from __future__ import annotations

from fractions import Fraction

import pytest

from app.domain.fit import Verdict, judge, judge_all
from app.domain.making import outcome
from app.domain.video_spec import VideoFacts, VideoSpec, problems
from app.domain.wish import Wish
from app.platforms import registry
from tests.awkward import AWKWARD
from tests.servers import ROOT

AS_IT_IS = Wish()
ORDER = ("youtube", "tiktok", "instagram", "facebook")
# what is done: - nothing, else the heaviest part of the work, else "no" where nothing helps
EXPECTED = {
    "plain 9:16": "- - - -",
    "HEVC 10-bit HDR": "- video video video",
    "varying frame rate": "- - - video",
    "rotated": "- - - -",
    "4K at 60": "- - video -",
    "square": "- - - -",
    "landscape": "- - - -",
    "ultra-wide": "- - video -",
    "61 frames a second": "- video video video",
    "3 seconds": "- - - -",
    "20 minutes": "- no no -",
    "no sound": "- - - -",
    "5.1 sound": "- - audio audio",
    "PCM in MOV": "- - audio audio",
    "VP9 and Opus in WebM": "- - video audio",
    "AV1": "- video video -",
    "ProRes": "- video video video",
    "MPEG-2": "- video video video",
    "AVI with Xvid": "- video video video",
    "odd sizes": "- video video video",
    "index at the end": "- - remux -",
    "edit list": "- - remux -",
}
# what a Page gets of these is no reel, by their shape or their length
NO_REELS = {
    "4K at 60", "square", "landscape", "ultra-wide", "20 minutes", "MPEG-2", "AVI with Xvid", "odd sizes",
}  # fmt: skip


def spec_of(name: str, facts: VideoFacts) -> VideoSpec:
    platform = registry.get_class(name)
    return platform.post_types[platform.type_of(facts, {}) or next(iter(platform.post_types))]


def verdicts(facts: VideoFacts, wish: Wish = AS_IT_IS) -> dict[str, Verdict]:
    return {name: judge(facts, spec_of(name, wish.cut(facts)), wish) for name in ORDER}


def word(verdict: Verdict) -> str:
    return {"ok": "-", "impossible": "no"}.get(verdict.state) or (
        verdict.recipe.work if verdict.recipe else "?"
    )


def state_word(verdict: Verdict) -> str:
    return {"ok": "-", "impossible": "no", "fixable": "made"}[verdict.state]


def test_every_platform_and_every_awkward_video_is_in_the_table() -> None:
    assert set(ORDER) == set(registry.names())
    assert EXPECTED.keys() == AWKWARD.keys()


@pytest.mark.parametrize("name", AWKWARD)
def test_a_page_gets_a_reel_of_what_is_one(name: str) -> None:
    kind = registry.get_class("facebook").type_of(AWKWARD[name], {})

    assert kind == ("video" if name in NO_REELS else "reel")


@pytest.mark.parametrize("name", AWKWARD)
def test_each_awkward_video_ends_in_the_predicted_verdict(name: str) -> None:
    found = verdicts(AWKWARD[name])

    assert " ".join(word(verdict) for verdict in found.values()) == EXPECTED[name]


@pytest.mark.parametrize("name", AWKWARD)
def test_what_is_fixable_meets_every_limit_afterwards(name: str) -> None:
    facts = AWKWARD[name]
    for platform, verdict in verdicts(facts, Wish(shape="blur", end=59.0)).items():
        if verdict.recipe is None:
            continue
        made = outcome(facts, verdict.recipe)
        assert problems(made, spec_of(platform, made)) == []
        assert verdict.seconds > 0 and verdict.size_bytes
        if picture := verdict.recipe.picture:
            assert picture.width % 2 == picture.height % 2 == 0
            assert 23 <= Fraction(picture.frame_rate) <= Fraction("60.6")


@pytest.mark.parametrize("name", AWKWARD)
def test_one_rendition_does_for_all_that_need_the_same_kind_of_work(name: str) -> None:
    facts = AWKWARD[name]
    specs = {platform: spec_of(platform, facts) for platform in ORDER}

    together = judge_all(facts, specs, Wish())

    assert " ".join(state_word(verdict) for verdict in together.values()) == " ".join(
        cell if cell in ("-", "no") else "made" for cell in EXPECTED[name].split()
    )
    by_work = {(v.recipe.work, v.recipe.hash) for v in together.values() if v.recipe}
    assert len(by_work) == len({work for work, _ in by_work})
    for platform, verdict in together.items():
        if verdict.recipe:
            assert problems(outcome(facts, verdict.recipe), specs[platform]) == []


def test_the_table_in_the_docs_is_this_one() -> None:
    text = (ROOT / "docs" / "media.md").read_text()

    for name, row in EXPECTED.items():
        assert f"| {name} | " + " | ".join(_shown(cell) for cell in row.split()) + " |" in text


def _shown(cell: str) -> str:
    return {"-": "as it is", "no": "**impossible**"}.get(cell, cell)
