from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from app.domain.recipe import Fit, Picture, Recipe, Sound
from app.exceptions import StorageError, VideoConversionError, VideoValidationError
from app.media import Room, convert, measure
from app.media import convert as convert_function
from app.media.command import GOP_SECONDS
from tests.clips import ffmpeg, make_clip
from tests.media.sync import FLASHES, make_flashing, moments
from tests.servers import ROOT
from tests.skips import skip_or_fail

STEREO = Sound(channels=2, sample_rate=48_000, bit_rate=128_000)
REMUX = Recipe(picture=None, sound="copy")
SMALL = Picture(
    width=180, height=320, shape=None, frame_rate="30", max_bit_rate=2_000_000, is_tone_mapped=False
)
WIDE = replace(SMALL, width=160, height=90)


def quietly(share: float, remaining: float | None) -> None:
    """Hear the progress and do nothing."""


def converted(source: Path, recipe: Recipe, out: Path) -> Path:
    convert(source, recipe, measure(source), out, ffmpeg=Path(ffmpeg()), on_progress=quietly)
    return out


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


# -- progress, cancelling, failing


def test_progress_rises_to_the_end_and_says_what_remains(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", seconds=3, size="320x568")
    heard: list[tuple[float, float | None]] = []
    recipe = Recipe(picture=replace(SMALL, width=720, height=1280, shape="blur"), sound="copy")

    convert(
        source,
        recipe,
        measure(source),
        tmp_path / "out.mp4",
        ffmpeg=Path(ffmpeg()),
        on_progress=lambda *said: heard.append(said),
    )

    shares = [share for share, _ in heard]
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1.0, abs=0.05)
    assert any(remaining is not None and remaining > 0 for _, remaining in heard)


class CancelledError(Exception):
    """What a caller raises who no longer wants the file."""


def test_whoever_cancels_leaves_neither_file_nor_process(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", seconds=3, size="320x568")
    recipe = Recipe(picture=replace(SMALL, width=720, height=1280, shape="blur"), sound="copy")

    def cancel(share: float, remaining: float | None) -> None:
        raise CancelledError

    with pytest.raises(CancelledError):
        convert(
            source,
            recipe,
            measure(source),
            tmp_path / "out.mp4",
            ffmpeg=Path(ffmpeg()),
            on_progress=cancel,
        )
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]
    assert str(tmp_path) not in _command_lines()


def _command_lines() -> str:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(path.read_text())
        except OSError:
            continue  # it ended meanwhile
    return "\n".join(found)


def fake_ffmpeg(folder: Path, script: str) -> Path:
    program = folder / "ffmpeg"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o700)
    return program


@pytest.mark.parametrize(
    ("script", "error", "words"),
    [
        ("kill -SEGV $$", VideoConversionError, {"crashed": True, "reason": f"signal {signal.SIGSEGV:d}"}),
        ("kill -KILL $$", VideoConversionError, {"crashed": True, "reason": f"signal {signal.SIGKILL:d}"}),
        ("exit 8", VideoConversionError, {"crashed": False, "reason": "exit code 8"}),
        ("echo 'x: Invalid data found when processing input' >&2; exit 183", VideoValidationError, {}),
        ("echo 'av_interleaved_write_frame(): No space left on device' >&2; exit 1", StorageError, {}),
        ("exit 228", StorageError, {}),
        ("exit 229", StorageError, {}),
        ("exit 0", VideoValidationError, {"found": "no decodable frame"}),
    ],
)
def test_each_end_of_ffmpeg_is_told_apart_and_leaves_nothing(
    tmp_path: Path, clip: Path, script: str, error: type[Exception], words: dict[str, object]
) -> None:
    out = tmp_path / "out.mp4"
    out.write_bytes(b"half a file")

    with pytest.raises(error) as caught:
        convert(
            clip,
            REMUX,
            measure(clip),
            out,
            ffmpeg=fake_ffmpeg(tmp_path, script),
            on_progress=quietly,
        )
    assert words.items() <= caught.value.details.items()  # type: ignore[attr-defined]
    assert not out.exists()


def test_an_ffmpeg_that_hangs_is_ended(tmp_path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[convert_function.__module__], "BASE_SECONDS", 0.3)
    hanging = fake_ffmpeg(tmp_path, "echo progress=continue; sleep 60")

    with pytest.raises(VideoConversionError, match="too long") as caught:
        convert(clip, REMUX, measure(clip), tmp_path / "out.mp4", ffmpeg=hanging, on_progress=quietly)
    assert caught.value.details == {"crashed": False, "reason": "out of time"}


def test_a_missing_ffmpeg_is_our_fault(tmp_path: Path, clip: Path) -> None:
    with pytest.raises(VideoConversionError, match="doctor"):
        convert(
            clip,
            REMUX,
            measure(clip),
            tmp_path / "out.mp4",
            ffmpeg=Path("/nowhere"),
            on_progress=quietly,
        )


def test_a_file_that_is_no_longer_what_was_measured_is_refused(tmp_path: Path, clip: Path) -> None:
    facts, other = measure(clip), tmp_path / "other.mp4"
    other.write_bytes(clip.read_bytes()[:40] + os.urandom(20_000))

    with pytest.raises(VideoValidationError):
        convert(other, REMUX, facts, tmp_path / "out.mp4", ffmpeg=Path(ffmpeg()), on_progress=quietly)
    other.write_text("#EXTM3U\nfile:///etc/passwd\n")
    with pytest.raises(VideoValidationError, match="playlist"):
        convert(other, REMUX, facts, tmp_path / "out.mp4", ffmpeg=Path(ffmpeg()), on_progress=quietly)


# -- the disk


@pytest.mark.parametrize("room", [Room(free=10**18), Room(most=4000)])
def test_a_conversion_takes_no_more_of_the_disk_than_it_may(tmp_path: Path, clip: Path, room: Room) -> None:
    with pytest.raises(StorageError, match="room"):
        convert(
            clip,
            REMUX,
            measure(clip),
            tmp_path / "out.mp4",
            ffmpeg=Path(ffmpeg()),
            on_progress=quietly,
            room=room,
        )
    assert list(tmp_path.iterdir()) == []


ON_A_FULL_DISK = """
import sys
from pathlib import Path
from app.exceptions import StorageError
from tests.media.test_convert import REMUX, converted
small = Path(sys.argv[2])
try:
    converted(Path(sys.argv[1]), REMUX, small / "out.mp4")
except StorageError as error:
    print(error.message, list(small.iterdir()))
"""


def test_a_disk_that_really_is_full_is_said_and_left_clean(tmp_path: Path, clip: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    inside = f'mount -t tmpfs -o size=16k small "{small}" && exec "$0" "$@"'
    command = [
        "unshare",
        "-rm",
        "sh",
        "-c",
        inside,
        sys.executable,
        "-c",
        ON_A_FULL_DISK,
        str(clip),
        str(small),
    ]
    done = subprocess.run(
        command,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    if "unshare" in done.stderr or "mount" in done.stderr:
        skip_or_fail("no private mounts here: unshare -rm and a tmpfs")

    assert "no room left" in done.stdout
    assert done.stdout.strip().endswith("[]")
