from __future__ import annotations

import pytest

from app.domain.file_name import clean_filename


@pytest.mark.parametrize(
    ("name", "clean"),
    [
        ("clip.mp4", "clip.mp4"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\ada\\clip.mov", "clip.mov"),
        ("a\r\nSet-Cookie: x", "aSet-Cookie: x"),
        ("v\0\ud800.mp4", "v.mp4"),
        ("  ", ""),
        ("ü" * 300, "ü" * 255),
    ],
)
def test_a_filename_keeps_only_what_can_be_shown(name: str, clean: str) -> None:
    assert clean_filename(name) == clean
