"""The outline of a file: is all of it there, does the index come first, are there edit lists.

Only headers are read, a few dozen bytes each, so it costs the same for 10 GB and works on ranges of S3.
ISO boxes: ISO/IEC 14496-12, 4.2. EBML: RFC 8794. AVI: Microsoft's "AVI RIFF File Reference".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from app.exceptions import VideoValidationError
from app.media.sniff import Container

ReadAt = Callable[[int, int], bytes]  # (offset, length) -> at most length bytes

MAX_BOXES = 100_000  # a file of fragments has one pair each; beyond this nobody made it to be watched
_EDIT_LIST = (b"trak", b"edts", b"elst")  # where it lies in the index; no deeper is looked
_UNKNOWN_SIZES = {2 ** (7 * width) - 1 for width in range(1, 9)}  # RFC 8794, 6.2


@dataclass(frozen=True)
class Layout:
    """`is_fast_start`: the index comes before the pictures. None where the container has no such thing."""

    is_fast_start: bool | None
    has_edit_list: bool | None


@dataclass(frozen=True)
class _Box:
    kind: bytes
    start: int
    body: int
    end: int


def inspect_layout(read_at: ReadAt, *, size: int, container: Container) -> Layout:
    """Return the outline. Raises VideoValidationError when the file is cut off or has no index."""
    if container in ("mp4", "mov"):
        return _inspect_iso(read_at, size)
    if container in ("matroska", "webm"):
        _require_ebml(read_at, size)
    if container == "avi":
        _require(4, 8 + int.from_bytes(read_at(4, 4), "little"), size)
    return Layout(is_fast_start=None, has_edit_list=None)


def read_at_path(path: Path) -> ReadAt:
    """Return a reader of ranges of a local file."""

    def read_at(offset: int, length: int) -> bytes:
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(length)

    return read_at


def _inspect_iso(read_at: ReadAt, size: int) -> Layout:
    index: _Box | None = None
    media: _Box | None = None
    for box in _boxes(read_at, 0, size):
        if box.kind == b"moov":
            index = index or box
        elif box.kind in (b"mdat", b"moof"):
            media = media or box
    if index is None:
        _cut_off("no index (moov)", size)
    if media is None:
        _cut_off("no pictures (mdat)", size)
    return Layout(is_fast_start=index.start < media.start, has_edit_list=_has_edit_list(read_at, index))


def _has_edit_list(read_at: ReadAt, parent: _Box, path: tuple[bytes, ...] = _EDIT_LIST) -> bool:
    kind, *deeper = path
    for box in _boxes(read_at, parent.body, parent.end):
        if box.kind == kind and (not deeper or _has_edit_list(read_at, box, tuple(deeper))):
            return True
    return False


def _boxes(read_at: ReadAt, offset: int, end: int) -> Iterator[_Box]:
    for _ in range(MAX_BOXES):
        if end - offset < 8:
            return  # a few bytes of padding after the last box are common
        box = _box(read_at(offset, 16), offset, end)
        yield box
        offset = box.end
    raise VideoValidationError("This file is in more pieces than we read.", {"allowed": MAX_BOXES})


def _box(header: bytes, offset: int, end: int) -> _Box:
    length, kind, body = int.from_bytes(header[:4], "big"), header[4:8], offset + 8
    if length == 0 and kind.isalnum():
        return _Box(kind, offset, body, end)  # "up to the end of the file"
    if length == 1:
        length, body = int.from_bytes(header[8:16], "big"), offset + 16
    if length < body - offset:
        if kind == b"\0\0\0\0":
            return _Box(kind, offset, body, end)  # zeros as padding, QuickTime's terminator
        raise VideoValidationError(
            "This file is damaged: its parts do not fit together.", {"at_byte": offset}
        )
    _require(offset, offset + length, end)
    return _Box(kind, offset, body, offset + length)


def _require_ebml(read_at: ReadAt, size: int) -> None:
    header_size, width = _vint(read_at(4, 8))
    segment = 4 + width + header_size
    _require(0, segment, size)
    identifier = read_at(segment, 4)
    if identifier != b"\x18\x53\x80\x67":
        raise VideoValidationError(
            "This file is damaged: no segment follows its header.", {"at_byte": segment}
        )
    length, width = _vint(read_at(segment + 4, 8))
    if length not in _UNKNOWN_SIZES:
        _require(segment, segment + 4 + width + length, size)


def _vint(raw: bytes) -> tuple[int, int]:
    """Return an EBML number and how many bytes it takes."""
    width = 9 - raw[0].bit_length() if raw and raw[0] else 8
    value = int.from_bytes(raw[:width], "big") & (2 ** (7 * width) - 1)
    return value, width


def _require(start: int, end: int, size: int) -> None:
    if end > size:
        _cut_off(f"a part that begins at byte {start} and should end at byte {end}", size)


def _cut_off(found: str, size: int) -> NoReturn:
    raise VideoValidationError(
        "This file is cut off: it was not recorded or sent completely. Send the whole file again.",
        {"found": found, "size_bytes": size, "allowed": "a complete file"},
    )
