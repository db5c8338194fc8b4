"""Awkward videos, really made: each ends in the predicted verdict, and what is made of it is taken."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from app.domain.fit import Verdict, judge, judge_all
from app.domain.making import outcome
from app.domain.recipe import Fit, Recipe
from app.domain.video_spec import VideoFacts, VideoSpec, problems
from app.domain.wish import Wish
from app.media import convert, measure
from app.platforms import registry
from sandbox.platforms._facebook_life import reel_fault, video_fault
from sandbox.platforms._instagram_rules import media_fault
from sandbox.platforms._tiktok_rules import MAX_SECONDS
from sandbox.platforms._tiktok_rules import media_fault as tiktok_fault
from sandbox.probe import probe
from tests.clips import ffmpeg
from tests.media.awkward import AWKWARD, make

BLURRED = Wish(shape="blur")
ORDER = ("youtube", "tiktok", "instagram", "facebook")
# What is done: - nothing, else the heaviest part of the work, else "no" where nothing helps.
EXPECTED = {
    "plain": "- - - -",
    "hdr-pq": "- video video video",
    "hdr-hlg": "- video video video",
    "vfr": "- - - video",
    "rotated": "- - - -",
    "4k60": "- - video -",
    "square": "- - - -",
    "landscape": "- - - -",
    "ultra-wide": "- - video -",
    "61-fps": "- video video video",
    "3-seconds": "- - - -",
    "2-seconds": "- - no -",
    "20-minutes": "- no no -",
    "2-minutes": "- - - -",
    "no-audio": "- - - -",
    "surround": "- - audio audio",
    "pcm-in-mov": "- - audio audio",
    "vp9-opus": "- - video audio",
    "av1": "- video video -",
    "prores": "- video video video",
    "mpeg-2": "- video video video",
    "xvid": "- video video video",
    "odd-sizes": "- video video video",
    "late-moov": "- - remux -",
    "edit-list": "- - remux -",
    "wide-pixels": "- - - -",
    "22-khz-in-mkv": "- remux remux remux",
    "low-rate": "- video video video",
}
# What a Page gets of these is no reel: their shape or their length is another.
NO_REELS = {"4k60", "square", "landscape", "ultra-wide", "2-seconds", "20-minutes", "2-minutes"}


@pytest.fixture(scope="session")
def awkward(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Make an awkward video once a session."""
    folder, made = tmp_path_factory.mktemp("awkward"), dict[str, Path]()

    def get(name: str) -> Path:
        if name not in made:
            made[name] = make(name, folder)
        return made[name]

    return get


def specs(facts: VideoFacts) -> dict[str, VideoSpec]:
    """Return what each platform takes of such a video."""
    found = {name: registry.get_class(name) for name in ORDER}
    return {
        name: platform.post_types[platform.type_of(facts, {}) or next(iter(platform.post_types))]
        for name, platform in found.items()
    }


def word(verdict: Verdict) -> str:
    plain = {"ok": "-", "impossible": "no"}.get(verdict.state)
    return plain or (verdict.recipe.work if verdict.recipe else "?")


@pytest.mark.parametrize("name", AWKWARD)
def test_each_awkward_video_ends_as_predicted_and_what_is_made_of_it_is_taken(
    awkward: Callable[[str], Path], tmp_path: Path, name: str
) -> None:
    source = awkward(name)
    facts = measure(source)
    wanted = specs(facts)
    verdicts = judge_all(facts, wanted, BLURRED)
    kind = "video" if name in NO_REELS else "reel"

    assert wanted["facebook"] == registry.get_class("facebook").post_types[kind]
    assert " ".join(word(verdicts[platform]) for platform in ORDER) == EXPECTED[name]

    made: dict[Recipe, VideoFacts] = {}
    for platform, verdict in verdicts.items():
        if verdict.state == "impossible":
            continue
        path, out = source, facts
        if verdict.recipe is not None:
            path = tmp_path / f"{verdict.recipe.hash}.mp4"
            if verdict.recipe not in made:
                convert(
                    source, verdict.recipe, facts, path, ffmpeg=Path(ffmpeg()), on_progress=lambda *_: None
                )
                made[verdict.recipe] = measure(path)
                assert_as_planned(made[verdict.recipe], outcome(facts, verdict.recipe))
            out = made[verdict.recipe]
        assert problems(out, wanted[platform]) == []
        assert_taken(platform, path, kind)


@pytest.mark.parametrize("shape", ["blur", "pad"])
def test_a_wide_video_is_made_a_reel_that_is_taken(
    awkward: Callable[[str], Path], tmp_path: Path, shape: Fit
) -> None:
    source, out = awkward("landscape"), tmp_path / "reel.mp4"
    facts, reel = measure(source), registry.get_class("facebook").post_types["reel"]
    recipe = judge(facts, reel, Wish(shape=shape)).recipe
    assert recipe is not None and recipe.picture is not None and recipe.picture.shape == shape

    convert(source, recipe, facts, out, ffmpeg=Path(ffmpeg()), on_progress=lambda *_: None)

    assert problems(measure(out), reel) == []
    assert_taken("facebook", out, "reel")


def assert_as_planned(found: VideoFacts, planned: VideoFacts) -> None:
    """Hold a rendition against what the recipe says comes of it."""
    exact = (
        "container", "video_codec", "pixel_format", "bit_depth", "is_hdr", "is_interlaced", "width", "height",
        "audio_codec", "audio_channels", "audio_sample_rate", "is_fast_start", "has_edit_list",
    )  # fmt: skip
    assert {name: getattr(found, name) for name in exact} == {name: getattr(planned, name) for name in exact}
    assert found.duration_seconds == pytest.approx(planned.duration_seconds, abs=0.1)
    assert found.frame_rate == pytest.approx(planned.frame_rate, rel=0.01)
    if planned.is_constant_rate:
        assert found.is_constant_rate


def assert_taken(platform: str, path: Path, kind: str) -> None:
    """Hold a file against what the sandbox measures of the bytes that arrive; `kind`: what a Page gets."""
    arrived = probe(path)
    assert arrived is not None  # which is all that YouTube asks
    if platform == "tiktok":
        assert tiktok_fault(arrived, max_seconds=MAX_SECONDS) == ""
    if platform == "instagram":
        assert media_fault(arrived, size=path.stat().st_size) == 0
    if platform == "facebook":
        assert (reel_fault if kind == "reel" else video_fault)(arrived) == 0
