from __future__ import annotations

from pathlib import Path

from app.media.abilities import ENCODERS, HDR_FILTERS, abilities
from tests.clips import ffmpeg


def test_the_ffmpeg_from_pip_has_all_we_use() -> None:
    import imageio_ffmpeg

    able = abilities(Path(imageio_ffmpeg.get_ffmpeg_exe()))

    assert able.missing == ()
    assert able.converts


def test_the_ffmpeg_in_use_converts() -> None:
    assert abilities(Path(ffmpeg())).converts


def test_an_ffmpeg_that_lacks_filters_is_seen_through(tmp_path: Path) -> None:
    program = tmp_path / "ffmpeg"
    program.write_text('#!/bin/sh\n"' + ffmpeg() + '" "$@" | grep -v zscale\n')
    program.chmod(0o700)

    able = abilities(program)

    assert able.missing == ("zscale",)
    assert able.converts


def test_an_ffmpeg_that_does_not_run_lacks_everything() -> None:
    able = abilities(Path("/nowhere/ffmpeg"))

    assert set(able.missing) > {*ENCODERS, *HDR_FILTERS}
    assert not able.converts
