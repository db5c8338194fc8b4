"""What making a video fit costs beside the bare command: processor time of all processes, medians of turns.

The video is VIDEO_SECONDS of 1080x1920 at 30 frames a second. `pass through`: a video every platform takes is measured
and judged, beside the bare reader. `conversion`: the product's child with limits and progress, beside ffmpeg with
the same filters and encoders. `four platforms`: all that is made for four, beside what is made for one.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from app.domain.fit import judge_all
from app.domain.recipe import Picture, Recipe, Sound
from app.domain.video_spec import VideoFacts, VideoSpec
from app.domain.wish import Wish
from app.media import convert, measure
from app.media.command import Job, arguments
from app.media.demuxers import DEMUXERS, FORMAT_WHITELIST, MAX_PIXELS
from app.platforms import registry
from benchmarks.rows import Row
from tests.clips import ffmpeg, make_clip

SECONDS = float(os.environ.get("VIDEO_SECONDS", "10"))
TURNS = int(os.environ.get("TURNS", "7"))
PROBE = Path(sys.modules[measure.__module__].__file__ or "").with_name("probe.py")
RECIPE = Recipe(
    picture=Picture(
        width=720, height=1280, shape=None, frame_rate="30/1", max_bit_rate=6_000_000, is_tone_mapped=False
    ),
    sound=Sound(channels=2, sample_rate=48_000, bit_rate=128_000),
)
Say = Callable[[str], None]


def run(say: Say) -> list[Row]:
    """Measure and return the rows."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clip = make_clip(folder / "clip.mp4", seconds=SECONDS, size="1080x1920", extra=("-crf", "30"))
        fitting = folder / "fitting.mp4"
        _convert(clip, Recipe(picture=None, sound="copy"), measure(clip), fitting)
        say("a video that fits")
        rows = [_pass_through(fitting)]
        say("one conversion")
        rows.append(_conversion(fitting, folder))
        say("four platforms")
        ten_bits = ("-movflags", "+faststart", "-pix_fmt", "yuv422p", "-crf", "30")
        awkward = make_clip(folder / "awkward.mp4", seconds=SECONDS, size="1080x1920", extra=ten_bits)
        return [*rows, _four_platforms(awkward, folder)]


def _pass_through(source: Path) -> Row:
    def ours() -> None:
        facts = measure(source)
        verdicts = judge_all(facts, _specs(facts), Wish())
        assert all(verdict.recipe is None for verdict in verdicts.values())

    def bare() -> None:
        limits = [DEMUXERS["mp4"], FORMAT_WHITELIST, str(MAX_PIXELS)]
        command = [sys.executable, "-I", str(PROBE), str(source), *limits]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

    value, baseline = _medians(ours, bare, turns=4 * TURNS)
    return Row(
        "pass through: measured and judged, beside one bare probe", value, "CPU s", baseline, value / baseline
    )


def _conversion(source: Path, folder: Path) -> Row:
    facts = measure(source)
    job = Job(Path(ffmpeg()), source, folder / "bare.mp4", facts, RECIPE)
    said = {"-progress", "pipe:1", "-nostats", "-stats_period", "0.5"}
    command = [word for word in arguments(job, budget=None) if word not in said]
    value, baseline = _medians(
        lambda: _convert(source, RECIPE, facts, folder / "ours.mp4"),
        lambda: subprocess.run(command, check=True, stdin=subprocess.DEVNULL),
        turns=TURNS,
    )
    return Row(f"conversion of {SECONDS:g} s, beside bare ffmpeg", value, "CPU s", baseline, value / baseline)


def _four_platforms(source: Path, folder: Path) -> Row:
    facts = measure(source)
    specs = _specs(facts)
    needing = [name for name, verdict in judge_all(facts, specs, Wish()).items() if verdict.recipe]
    one = {needing[0]: specs[needing[0]]}
    value, baseline = _medians(
        lambda: _make_all(source, facts, specs, folder),
        lambda: _make_all(source, facts, one, folder),
        turns=max(3, TURNS // 2),
    )
    name = f"four platforms ({len(needing)} need another file), beside one"
    return Row(name, value, "CPU s", baseline, value / baseline)


def _make_all(source: Path, facts: VideoFacts, specs: dict[str, VideoSpec], folder: Path) -> None:
    verdicts = judge_all(facts, specs, Wish())
    for recipe in {verdict.recipe for verdict in verdicts.values() if verdict.recipe}:
        out = folder / "made.mp4"
        _convert(source, recipe, facts, out)
        measure(out)


def _convert(source: Path, recipe: Recipe, facts: VideoFacts, out: Path) -> None:
    convert(source, recipe, facts, out, ffmpeg=Path(ffmpeg()), on_progress=lambda *_: None)


def _specs(facts: VideoFacts) -> dict[str, VideoSpec]:
    return {
        name: platform.post_types[platform.type_of(facts, {}) or next(iter(platform.post_types))]
        for name, platform in registry.classes().items()
    }


def _medians(ours: Callable[[], object], bare: Callable[[], object], *, turns: int) -> tuple[float, float]:
    """Run both in turns and return the median processor seconds of each, child processes included."""
    ours(), bare()
    spent: tuple[list[float], list[float]] = ([], [])
    pairs = list(zip((ours, bare), spent, strict=True))
    for turn in range(turns):
        for step, times in pairs if turn % 2 else reversed(pairs):
            before = _processor_seconds()
            step()
            times.append(_processor_seconds() - before)
    return statistics.median(spent[0]), statistics.median(spent[1])


def _processor_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)
