"""What a video is, measured from the bytes that arrived: for the stand-ins that refuse what the real ones do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO

import av
from av.container import InputContainer
from av.video.stream import VideoStream

ISO = "mov,mp4,m4a,3gp,3g2,mj2"  # ffmpeg's name of MP4 and MOV alike
EIGHT_BITS = ("yuv420p", "yuvj420p")  # what "4:2:0" means where nobody speaks of more bits
_NESTED = {b"moov", b"trak", b"edts"}


@dataclass(frozen=True)
class Probe:
    """`duration` is in seconds, `width` and `height` are pixels as shown: turned as the file says, and with square
    pixels. `container` is ffmpeg's name of the format, `brand` what an ISO file says it is. Of a silent video
    `audio_codec` is empty and the other two are 0."""

    container: str
    brand: str
    width: int
    height: int
    frame_rate: float
    has_fixed_rate: bool
    duration: float
    video_codec: str
    pixel_format: str
    is_interlaced: bool
    audio_codec: str
    audio_rate: int
    audio_channels: int
    has_moov_first: bool
    has_edit_list: bool

    @property
    def aspect(self) -> float:
        return self.width / self.height

    @property
    def has_plain_sound(self) -> bool:
        """Is it silent, or AAC of at most two channels and 48 kHz, which is what Meta reads?"""
        is_plain = self.audio_codec == "aac" and self.audio_rate <= 48_000 and self.audio_channels <= 2
        return is_plain or not self.audio_codec


def probe(path: Path) -> Probe | None:
    """Return the facts of a file, or None for bytes that are no video or none of whose pictures can be decoded."""
    try:
        with av.open(str(path), options={"protocol_whitelist": "file"}) as container:
            streams = [stream for stream in container.streams.video if stream.codec_context is not None]
            if not streams:
                return None
            facts = {
                "container": container.format.name,
                "brand": container.metadata.get("major_brand", "").strip(),
                "frame_rate": float(streams[0].average_rate or 0),
                "duration": (container.duration or 0) / av.time_base,
                **_sound(container),
                **_picture(container, streams[0]),
                "has_fixed_rate": _has_fixed_rate(container, streams[0]),
            }
    except (av.error.FFmpegError, EOFError, ValueError, StopIteration):
        return None
    boxes = _box_kinds(path)
    index, media = _position(boxes, b"moov"), _position(boxes, b"mdat")
    return Probe(**facts, has_moov_first=index < media, has_edit_list=b"elst" in boxes)


def _picture(container: InputContainer, stream: VideoStream) -> dict[str, Any]:
    """Return what the first picture shows: how it is turned is said with it. Raises StopIteration without one."""
    frame = next(container.decode(stream))
    width, height = round(frame.width * float(stream.sample_aspect_ratio or 1)), frame.height
    is_turned = frame.rotation % 180 == 90
    return {
        "width": height if is_turned else width,
        "height": width if is_turned else height,
        "video_codec": stream.codec_context.codec.canonical_name,
        "pixel_format": frame.format.name,
        "is_interlaced": int(stream.codec_context.field_order) > 1,  # 0 unknown, 1 progressive
    }


def _has_fixed_rate(container: InputContainer, stream: VideoStream) -> bool:
    """Tell whether all pictures are shown equally long, give or take a tenth and what rounding to 1/1000 s makes."""
    container.seek(0)
    packets = container.demux(stream)
    shown = sorted(
        float(each.pts * each.time_base)
        for each in packets
        if each.pts is not None and each.time_base is not None
    )
    gaps = [later - earlier for earlier, later in pairwise(shown)]
    usual = sum(gaps) / len(gaps) if gaps else 0.0
    return all(abs(gap - usual) <= usual / 10 + 0.0015 for gap in gaps)


def _sound(container: InputContainer) -> dict[str, Any]:
    if not container.streams.audio:
        return {"audio_codec": "", "audio_rate": 0, "audio_channels": 0}
    context = container.streams.audio[0].codec_context
    if context is None:  # no decoder knows it
        return {"audio_codec": "unknown", "audio_rate": 0, "audio_channels": 0}
    return {
        "audio_codec": context.codec.canonical_name,
        "audio_rate": context.sample_rate,
        "audio_channels": context.layout.nb_channels,
    }


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
