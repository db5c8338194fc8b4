from __future__ import annotations

import struct
from pathlib import Path

import pytest

from app.exceptions import VideoValidationError
from app.media import Layout, inspect_layout, read_at_path
from app.media.sniff import Container
from tests.clips import make_clip


def box(kind: bytes, body: bytes = b"") -> bytes:
    return struct.pack(">I", 8 + len(body)) + kind + body


def outline(data: bytes, container: Container = "mp4") -> Layout:
    return inspect_layout(
        lambda offset, length: data[offset : offset + length], size=len(data), container=container
    )


def test_the_index_before_the_pictures_is_a_fast_start() -> None:
    assert outline(box(b"ftyp") + box(b"moov") + box(b"mdat")).is_fast_start is True
    assert outline(box(b"ftyp") + box(b"mdat") + box(b"moov")).is_fast_start is False


def test_an_edit_list_is_found_in_its_track() -> None:
    edited = box(b"moov", box(b"mvhd") + box(b"trak", box(b"edts", box(b"elst", b"\0" * 8))))

    assert outline(edited + box(b"mdat")).has_edit_list is True
    assert outline(box(b"moov", box(b"trak")) + box(b"mdat")).has_edit_list is False


def test_long_and_open_ended_boxes_are_followed() -> None:
    long_box = struct.pack(">I4sQ", 1, b"mdat", 16 + 3) + b"abc"
    open_box = struct.pack(">I4s", 0, b"mdat") + b"to the end"

    assert outline(box(b"moov") + long_box).is_fast_start is True
    assert outline(box(b"moov") + open_box).is_fast_start is True


@pytest.mark.parametrize(
    "data",
    [
        box(b"ftyp") + box(b"mdat", b"pictures"),
        box(b"ftyp") + box(b"moov"),
        box(b"ftyp") + box(b"moov") + box(b"mdat", b"x" * 100)[:50],
        box(b"ftyp") + box(b"moov") + struct.pack(">I4sQ", 1, b"mdat", 2**63),
    ],
)
def test_a_file_that_is_cut_off_is_refused_as_such(data: bytes) -> None:
    with pytest.raises(VideoValidationError, match="cut off") as caught:
        outline(data)
    assert caught.value.details["size_bytes"] == len(data)


@pytest.mark.parametrize("size", [2, 7])
def test_boxes_that_do_not_add_up_are_refused(size: int) -> None:
    with pytest.raises(VideoValidationError, match="damaged"):
        outline(struct.pack(">I4s", size, b"moov") + b"x" * 20)


def test_a_file_of_endless_pieces_is_refused_quickly() -> None:
    with pytest.raises(VideoValidationError, match="pieces"):
        outline(box(b"free") * 100_001)


def test_boxes_inside_boxes_without_end_are_no_endless_walk() -> None:
    nested = b""
    for _ in range(2000):
        nested = box(b"trak", nested)

    assert outline(box(b"moov", nested) + box(b"mdat")).has_edit_list is False


@pytest.mark.parametrize(("ending", "container"), [("mkv", "matroska"), ("webm", "webm"), ("avi", "avi")])
def test_other_containers_are_whole_or_cut_off(tmp_path: Path, ending: str, container: Container) -> None:
    path = make_clip(tmp_path / f"clip.{ending}", sound=False, extra=())
    whole = path.read_bytes()

    assert inspect_layout(read_at_path(path), size=len(whole), container=container) == Layout(None, None)
    with pytest.raises(VideoValidationError, match="cut off"):
        outline(whole[: len(whole) * 2 // 3], container)


@pytest.mark.parametrize("container", ["mp4", "mov", "matroska", "webm", "avi", "mpegts"])
@pytest.mark.parametrize("data", [b"", b"\0", b"\xff" * 64, b"\x1a\x45\xdf\xa3", b"\0" * 64])
def test_rubbish_is_refused_or_has_no_outline_but_never_breaks_us(container: Container, data: bytes) -> None:
    try:
        assert outline(data, container) == Layout(None, None)
    except VideoValidationError as refused:
        assert refused.message
