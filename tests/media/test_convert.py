from __future__ import annotations

import subprocess
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from app.domain.recipe import Fit, Recipe, Sound
from app.exceptions import VideoValidationError
from app.media import measure
from app.media.command import GOP_SECONDS
from sandbox.probe import probe
from tests.clips import ffmpeg, make_clip
from tests.media.recipes import REMUX, SMALL, STEREO, WIDE, converted
from tests.media.sync import FLASHES, make_flashing, moments


@pytest.fixture(scope="session")
def flashing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_flashing(tmp_path_factory.mktemp("sync") / "flashing.mp4")


def test_a_remux_puts_the_index_first_drops_the_edit_list_and_encodes_nothing(
    tmp_path: Path, flashing: Path
) -> None:
    before = measure(flashing)
    facts = measure(converted(flashing, REMUX, tmp_path / "out.mp4"))

    assert (before.is_fast_start, before.has_edit_list) == (False, True)
    assert (facts.is_fast_start, facts.has_edit_list) == (True, False)
    assert (facts.video_codec, facts.audio_codec) == ("h264", "aac")
    assert facts.duration_seconds == pytest.approx(before.duration_seconds, abs=0.001)
    assert facts.video_bit_rate == before.video_bit_rate


def test_a_picture_is_encoded_as_platforms_like_it(tmp_path: Path, clip: Path) -> None:
    recipe = Recipe(picture=replace(SMALL, width=90, height=160, frame_rate="24000/1001"), sound=STEREO)

    facts = measure(converted(clip, recipe, tmp_path / "out.mp4"))

    assert (facts.video_codec, facts.video_profile, facts.pixel_format) == ("h264", "High", "yuv420p")
    assert (facts.width, facts.height, facts.frame_rate, facts.is_constant_rate) == (90, 160, 23.976, True)
    assert (facts.color_primaries, facts.color_transfer, facts.color_matrix) == ("bt709",) * 3
    assert (facts.audio_codec, facts.audio_profile, facts.audio_channels) == ("aac", "LC", 2)
    assert (facts.is_fast_start, facts.has_edit_list, facts.is_interlaced) == (True, False, False)
    assert (facts.keyframe_seconds or GOP_SECONDS) <= GOP_SECONDS + 0.05


def test_sound_alone_is_encoded_beside_a_copied_picture(tmp_path: Path, clip: Path) -> None:
    sound = Sound(channels=2, sample_rate=44_100, bit_rate=96_000)

    facts = measure(converted(clip, Recipe(picture=None, sound=sound), tmp_path / "out.mp4"))

    assert (facts.audio_channels, facts.audio_sample_rate) == (2, 44_100)
    assert facts.video_bit_rate == measure(clip).video_bit_rate


@pytest.mark.parametrize("sound", ["none", "copy", STEREO])
def test_a_video_without_sound_stays_without_and_sound_can_be_left_out(tmp_path: Path, sound: object) -> None:
    source = make_clip(tmp_path / "in.mp4", sound=sound == "none")
    recipe = Recipe(picture=WIDE, sound=sound)  # type: ignore[arg-type]

    assert measure(converted(source, recipe, tmp_path / "out.mp4")).audio_codec is None


# -- picture and sound stay together


COPIED, CUT = Recipe(picture=WIDE, sound="copy"), Recipe(picture=WIDE, sound=STEREO, start=0.5, end=3.5)


@pytest.mark.parametrize(
    ("ending", "recipe", "tolerance"),
    [
        ("mp4", REMUX, 0.022),
        ("mp4", Recipe(picture=None, sound=STEREO), 0.002),
        ("mp4", COPIED, 0.022),
        ("mp4", CUT, 0.002),
        ("mkv", REMUX, 0.022),
        ("mkv", CUT, 0.002),
        ("ts", REMUX, 0.022),
        ("ts", CUT, 0.002),
        ("ts", replace(CUT, sound="copy"), 0.022),
    ],
)
def test_flash_and_beep_stay_together(
    tmp_path: Path, flashing: Path, ending: str, recipe: Recipe, tolerance: float
) -> None:
    source = flashing if ending == "mp4" else _copied(flashing, tmp_path / f"in.{ending}")

    found = moments(converted(source, recipe, tmp_path / "out.mp4"))

    expected = [moment - recipe.start for moment in FLASHES]
    assert found.flashes == pytest.approx(expected, abs=0.018)  # Matroska's milliseconds, half a frame
    assert found.beeps == pytest.approx(expected, abs=tolerance + 0.001)


@pytest.mark.parametrize("recipe", [REMUX, Recipe(picture=WIDE, sound=STEREO)])
def test_sound_that_begins_late_stays_where_it_is(tmp_path: Path, recipe: Recipe) -> None:
    late = make_flashing(tmp_path / "late.mp4", extra=("-itsoffset", "0.6"))

    found = moments(converted(late, recipe, tmp_path / "out.mp4"))

    assert found.flashes == pytest.approx(FLASHES, abs=0.001)
    assert found.beeps == pytest.approx([1.6, 2.6, 3.6], abs=0.003)


def _copied(source: Path, target: Path) -> Path:
    command = [ffmpeg(), "-nostdin", "-loglevel", "error", "-i", str(source), "-c", "copy", str(target)]
    subprocess.run(command, check=True, timeout=60)
    return target


# -- trimming, sizes, shapes


def test_a_cut_is_exact_and_a_budget_is_kept(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", seconds=5, size="320x180")
    recipe = Recipe(picture=WIDE, sound="copy", start=1.25, end=4.25, max_bytes=150_000)

    facts = measure(converted(source, recipe, tmp_path / "out.mp4"))

    assert facts.duration_seconds == pytest.approx(3.0, abs=1 / 30)
    assert facts.size_bytes <= 150_000


@pytest.mark.parametrize("rate", ["30/1", "24000/1001"])
@pytest.mark.parametrize("end", [1.5, 2.02])
def test_a_part_never_ends_later_than_asked_and_at_most_a_picture_earlier(
    tmp_path: Path, rate: str, end: float
) -> None:
    ahead = (
        "-preset",
        "veryfast",
        "-bf",
        "3",
        "-b_strategy",
        "0",
    )  # some pictures are sent before their time
    source, out = make_clip(tmp_path / "in.mp4", seconds=3, size="160x90", extra=ahead), tmp_path / "out.mp4"
    recipe = Recipe(picture=replace(WIDE, frame_rate=rate), sound=STEREO, end=end)

    facts = measure(converted(source, recipe, out))

    found = probe(out)
    assert found is not None
    assert end - 1 / float(Fraction(rate)) - 0.001 < facts.duration_seconds <= found.duration <= end
    assert facts.is_constant_rate


def test_the_average_rate_stays_under_what_is_allowed_even_in_a_short_video(tmp_path: Path) -> None:
    noise = ("-vf", "noise=alls=90:allf=t", "-crf", "10")
    source = make_clip(tmp_path / "in.mp4", seconds=3, size="320x180", extra=noise)
    picture = replace(WIDE, width=320, height=180, max_bit_rate=600_000)

    facts = measure(converted(source, Recipe(picture=picture, sound="copy"), tmp_path / "out.mp4"))

    assert facts.video_bit_rate is not None
    assert 300_000 < facts.video_bit_rate <= 600_000


def test_a_budget_nothing_can_keep_is_refused_with_figures(tmp_path: Path, clip: Path) -> None:
    for recipe in (Recipe(picture=SMALL, sound="copy", max_bytes=2000), replace(REMUX, max_bytes=2000)):
        with pytest.raises(VideoValidationError, match="small enough") as caught:
            converted(clip, recipe, tmp_path / "out.mp4")
        assert caught.value.details["allowed"] == 2000
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("shape", "across"), [("crop", 160.0), ("blur", 50.6), ("pad", 50.6)])
@pytest.mark.parametrize("pixels", ["1", "4/3"])
def test_a_picture_is_never_stretched(tmp_path: Path, shape: Fit, across: float, pixels: str) -> None:
    """A white square of half the height stays a square, whatever becomes of the picture around it."""
    wide = 90 if pixels == "1" else 67.5  # stored narrower when its pixels are wide
    square = (
        f"color=black:s=320x180,drawbox=x=(iw-{wide})/2:y=45:w={wide}:h=90:c=white:t=fill,setsar={pixels}"
    )
    source = make_clip(tmp_path / "in.mp4", seconds=0.5, size="320x180", sound=False, extra=("-vf", "null"))
    command = [ffmpeg(), "-nostdin", "-y", "-loglevel", "error", "-f", "lavfi", "-i", square, "-t", "0.5"]
    subprocess.run([*command, "-pix_fmt", "yuv420p", str(source)], check=True, timeout=60)

    out = converted(source, Recipe(picture=replace(SMALL, shape=shape), sound="none"), tmp_path / "out.mp4")

    width, height = _white(out)
    share = 1.0 if pixels == "1" or shape == "crop" else 0.75  # a wider picture is scaled down further
    assert width == pytest.approx(height, abs=3)
    assert width == pytest.approx(across * share, abs=4)


def _white(path: Path) -> tuple[int, int]:
    """Return how wide and high the white area is through the middle."""
    import av

    with av.open(str(path)) as container:
        frame = next(container.decode(video=0)).reformat(format="gray")
    line, data = frame.planes[0].line_size, bytes(frame.planes[0])
    row = data[line * (frame.height // 2) :][: frame.width]
    column = data[frame.width // 2 :: line][: frame.height]
    return _run_of_white(row), _run_of_white(column)


def _run_of_white(line: bytes) -> int:
    """Return how long the white run around the middle is; a blurred background may be white elsewhere."""
    before, after = line[: len(line) // 2][::-1], line[len(line) // 2 :]
    return sum(
        next((i for i, value in enumerate(side) if value <= 160), len(side)) for side in (before, after)
    )


def test_a_turned_picture_is_encoded_upright(tmp_path: Path) -> None:
    upright = make_clip(tmp_path / "upright.mp4", seconds=0.5, size="320x180", sound=False)
    turned = tmp_path / "turned.mp4"
    turning = [ffmpeg(), "-nostdin", "-loglevel", "error", "-display_rotation", "90", "-i", str(upright)]
    subprocess.run([*turning, "-c", "copy", str(turned)], check=True, timeout=60)
    recipe = Recipe(picture=replace(SMALL, width=90, height=160), sound="none")

    facts = measure(converted(turned, recipe, tmp_path / "out.mp4"))

    assert (facts.coded_width, facts.coded_height, facts.rotation) == (90, 160, 0)
