"""What a video is, measured from the bytes that arrived: for the stand-ins that refuse what the real ones do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import av

_NESTED = {b"moov", b"trak", b"edts"}


@dataclass(frozen=True)
class Probe:
    """`duration` is in seconds, `width` and `height` are pixels as stored, each `pixel_aspect` times as wide as high,
    `container` is ffmpeg's name of the format."""

    container: str
    width: int
    height: int
    pixel_aspect: float
    frame_rate: float
    duration: float
    video_codec: str
    has_moov_first: bool
    has_edit_list: bool


def probe(path: Path) -> Probe | None:
    """Return the facts of a file, or None for bytes that are no video."""
    try:
        with av.open(str(path), options={"protocol_whitelist": "file"}) as container:
            if not container.streams.video:
                return None
            stream = container.streams.video[0]
            seconds = (container.duration or 0) / av.time_base
            facts = (
                container.format.name,
                stream.width,
                stream.height,
                float(stream.sample_aspect_ratio or 1),
                float(stream.average_rate or 0),
                seconds,
            )
            codec = stream.codec_context.name if stream.codec_context else ""
    except (av.error.FFmpegError, EOFError, ValueError):
        return None
    boxes = _box_kinds(path)
    index, media = _position(boxes, b"moov"), _position(boxes, b"mdat")
    return Probe(*facts, codec, index < media, b"elst" in boxes)


def _position(boxes: list[bytes], kind: bytes) -> int:
    return boxes.index(kind) if kind in boxes else len(boxes)


def _box_kinds(path: Path) -> list[bytes]:
    """Return the kinds of an ISO file's boxes in order, those that lead to edit lists opened."""
    with path.open("rb") as file:
        return list(_walk(file, 0, path.stat().st_size))


def _walk(file: BinaryIO, start: int, end: int) -> Iterator[bytes]:
    while end - start >= 8:
        file.seek(start)
        header = file.read(16)
        length, kind, body = int.from_bytes(header[:4], "big"), header[4:8], start + 8
        if length == 1:
            length, body = int.from_bytes(header[8:16], "big"), start + 16
        if length == 0:
            length = end - start
        if length < body - start:
            return
        yield kind
        if kind in _NESTED:
            yield from _walk(file, body, min(start + length, end))
        start += length
