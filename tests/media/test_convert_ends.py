"""How a conversion ends: well, cancelled, refused, crashed, out of time or out of room."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from app.domain.recipe import Recipe
from app.exceptions import StorageError, VideoConversionError, VideoProcessingError, VideoValidationError
from app.media import Room, convert, measure
from app.media import convert as convert_function
from tests.clips import ffmpeg, make_clip
from tests.media.recipes import REMUX, SMALL, quietly
from tests.servers import ROOT
from tests.skips import skip_or_fail

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
    with pytest.raises(VideoProcessingError, match="doctor") as caught:
        convert(
            clip,
            REMUX,
            measure(clip),
            tmp_path / "out.mp4",
            ffmpeg=Path("/nowhere"),
            on_progress=quietly,
        )
    assert not isinstance(caught.value, VideoConversionError)  # which would end the posts for good


def test_a_file_that_is_no_longer_what_was_measured_is_refused(tmp_path: Path, clip: Path) -> None:
    facts, other = measure(clip), tmp_path / "other.mp4"
    other.write_bytes(clip.read_bytes()[:40] + os.urandom(20_000))

    with pytest.raises(VideoValidationError):
        convert(other, REMUX, facts, tmp_path / "out.mp4", ffmpeg=Path(ffmpeg()), on_progress=quietly)
    other.write_text("#EXTM3U\nfile:///etc/passwd\n")
    with pytest.raises(VideoValidationError, match="playlist"):
        convert(other, REMUX, facts, tmp_path / "out.mp4", ffmpeg=Path(ffmpeg()), on_progress=quietly)


# -- the disk


@pytest.mark.parametrize("room", [Room(free=10**18), Room(most=4000), Room(most=-1)])
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
from tests.media.recipes import REMUX, converted
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


def test_hdr_needs_an_ffmpeg_that_can_and_says_so(tmp_path: Path, clip: Path) -> None:
    facts = replace(measure(clip), is_hdr=True)
    lacking = fake_ffmpeg(tmp_path, f'"{ffmpeg()}" "$@" | grep -v zscale')

    with pytest.raises(VideoProcessingError, match="zscale") as caught:
        convert(
            clip,
            Recipe(picture=SMALL, sound="copy"),
            facts,
            tmp_path / "out.mp4",
            ffmpeg=lacking,
            on_progress=quietly,
        )
    assert not isinstance(caught.value, VideoConversionError)
