"""Reads a video with PyAV and prints what it is as JSON. Run as a script in a limited child.

`probe.py PATH DEMUXER FORMAT_WHITELIST MAX_PIXELS`. Imports nothing of ours. Prints {"facts": {...}} or
{"refused": {"reason", "message"}}; anything else means that the parser itself gave up.
"""

from __future__ import annotations

import json
import statistics
import sys
from itertools import pairwise
from typing import Any

try:
    import av
    from av.audio.stream import AudioStream
    from av.container import InputContainer
    from av.video.stream import VideoStream
except ImportError:
    sys.exit(127)  # our installation is broken, not the file

SAMPLE_PACKETS = 600  # enough to see whether the rate is constant: 10 to 25 seconds
TAIL_SECONDS = 5.0
MISSING_SECONDS = 1.0  # a file whose packets end this much before its declared end is cut off ...
MISSING_SHARE = 0.02  # ... or this share of it, whichever is more
HDR_TRANSFERS = {16, 18}  # PQ and HLG: ITU-T H.273, table 3
# Colours by number: ITU-T H.273, tables 2, 3 and 4. By name: as ffmpeg writes them.
SYSTEMS = {1: "bt709", 4: "bt470m", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m"}
PRIMARIES = SYSTEMS | {8: "film", 9: "bt2020", 11: "smpte431", 12: "smpte432"}
TRANSFERS = {
    1: "bt709",
    4: "gamma22",
    5: "gamma28",
    6: "smpte170m",
    7: "smpte240m",
    8: "linear",
    13: "iec61966-2-1",
    14: "bt2020-10",
    15: "bt2020-12",
    16: "smpte2084",
    18: "arib-std-b67",
}
MATRICES = SYSTEMS | {0: "gbr", 4: "fcc", 9: "bt2020nc", 10: "bt2020c"}


class Refused(Exception):  # noqa: N818 - a finding, not a fault of ours
    """The file is not a video that can be published."""

    def __init__(self, reason: str, message: str) -> None:
        self.finding = {"reason": reason, "message": message}
        super().__init__(message)


def main(path: str, demuxer: str, whitelist: str, max_pixels: str) -> dict[str, Any]:
    av.logging.set_level(None)
    guards = {"protocol_whitelist": "file", "format_whitelist": whitelist, "max_pixels": max_pixels}
    try:
        with av.open(path, format=demuxer, options=guards, metadata_errors="replace") as container:
            return {"facts": _facts(container, int(max_pixels))}
    except Refused as refused:
        return {"refused": refused.finding}
    except (av.error.FFmpegError, EOFError) as error:
        return {"refused": {"reason": str(error)[:200], "message": "This file cannot be read as a video."}}


def _facts(container: InputContainer, max_pixels: int) -> dict[str, Any]:
    video = _video_stream(container, max_pixels)
    timing = _timing(container, video)
    frame = _first_frame(container, video)
    duration = _duration(container, video)
    _require_tail(container, duration)
    return {
        "duration_seconds": round(duration, 6),
        "bit_rate": container.bit_rate or 0,
        **_codec_facts(video),
        **_picture_facts(video, frame),
        **timing,
        **_audio_facts(container),
        **_start_facts(container, video, frame),
    }


def _video_stream(container: InputContainer, max_pixels: int) -> VideoStream:
    cover = av.stream.Disposition.attached_pic
    moving = [stream for stream in container.streams.video if not stream.disposition & cover]
    if not moving:
        raise Refused("no video stream", "This file holds no moving picture.")
    streams = [stream for stream in moving if stream.codec_context is not None]  # None: no decoder for it
    if not streams:
        raise Refused("an unknown video codec", "This video uses a codec we cannot read. Export it as H.264.")
    best = max(streams, key=lambda stream: stream.codec_context.width * stream.codec_context.height)
    pixels = best.codec_context.width * best.codec_context.height
    if pixels > max_pixels:
        raise Refused(f"{pixels} pixels a frame", f"The picture is too large: at most {max_pixels} pixels.")
    return best


def _timing(container: InputContainer, video: VideoStream) -> dict[str, Any]:
    times: list[float] = []
    keys: list[float] = []
    for packet in container.demux(video):
        if packet.pts is None or packet.time_base is None:
            continue
        times.append(float(packet.pts * packet.time_base))
        if packet.is_keyframe:
            keys.append(times[-1])
        if len(times) >= SAMPLE_PACKETS:
            break
    if not times:
        raise Refused("no pictures", "This file holds no moving picture.")
    gaps = [later - earlier for earlier, later in pairwise(sorted(times))]
    return {
        "frame_rate": _frame_rate(video, gaps),
        "is_constant_rate": _is_constant(gaps),
        "keyframe_seconds": round(max(b - a for a, b in pairwise(keys)), 3) if len(keys) > 1 else None,
    }


def _frame_rate(video: VideoStream, gaps: list[float]) -> float:
    if video.average_rate:
        return round(float(video.average_rate), 4)
    middle = statistics.median(gaps) if gaps else 0.0
    return round(1 / middle, 4) if middle > 0 else 0.0


def _is_constant(gaps: list[float]) -> bool:
    if len(gaps) < 2:
        return True
    inner = gaps[:-1] if len(gaps) == SAMPLE_PACKETS - 1 else gaps  # the last may lack its neighbour
    middle = statistics.median(inner)
    allowed = max(0.0015, middle * 0.03)  # Matroska rounds to milliseconds
    return all(abs(gap - middle) <= allowed for gap in inner)


def _first_frame(container: InputContainer, video: VideoStream) -> Any:
    container.seek(0)
    video.codec_context.flush_buffers()
    for frame in container.decode(video):
        return frame
    raise Refused("no decodable frame", "No picture of this video can be decoded.")


def _duration(container: InputContainer, video: VideoStream) -> float:
    if video.duration and video.time_base:
        return float(video.duration * video.time_base)
    if container.duration:
        return container.duration / av.time_base
    return _last_end(container, start=None)  # recorders that stream write no duration: look for the end


def _require_tail(container: InputContainer, video_duration: float) -> None:
    """Refuse a file whose packets end before the end it declares."""
    declared = (container.duration or 0) / av.time_base or video_duration
    found = _last_end(container, start=max(declared - TAIL_SECONDS, 0.0))
    if found < declared - max(MISSING_SECONDS, declared * MISSING_SHARE):
        raise Refused(
            f"pictures and sound for {found:.2f} of {declared:.2f} seconds",
            "This file is cut off: it was not recorded or sent completely. Send the whole file again.",
        )


def _last_end(container: InputContainer, *, start: float | None) -> float:
    """Return when the last packet ends, in seconds from the file's own beginning."""
    origin = (container.start_time or 0) / av.time_base
    container.seek(int(((start or 0.0) + origin) * av.time_base))
    end = 0.0
    streams = [*container.streams.video, *container.streams.audio]
    try:
        for packet in container.demux(streams):
            moment = packet.pts if packet.pts is not None else packet.dts
            if moment is not None and packet.time_base is not None:
                end = max(end, float((moment + (packet.duration or 0)) * packet.time_base) - origin)
    except av.error.FFmpegError:
        return end
    return end


def _codec_facts(video: VideoStream) -> dict[str, Any]:
    context = video.codec_context
    return {
        "video_codec": context.codec.canonical_name,
        "video_profile": context.profile,
        "video_level": context.level if context.level > 0 else None,
        "video_bit_rate": context.bit_rate or None,
        "is_interlaced": int(context.field_order) > 1,  # 0 unknown, 1 progressive: libavcodec/defs.h
    }


def _picture_facts(video: VideoStream, frame: Any) -> dict[str, Any]:
    turned = frame.rotation % 180 == 90
    ratio = video.sample_aspect_ratio or video.codec_context.sample_aspect_ratio
    stretched = round(frame.width * float(ratio)) if ratio else frame.width
    width, height = (frame.height, stretched) if turned else (stretched, frame.height)
    return {
        "pixel_format": frame.format.name,
        "bit_depth": max(component.bits for component in frame.format.components),
        "is_hdr": int(frame.color_trc) in HDR_TRANSFERS,
        "color_primaries": PRIMARIES.get(int(frame.color_primaries)),
        "color_transfer": TRANSFERS.get(int(frame.color_trc)),
        "color_matrix": MATRICES.get(int(frame.colorspace)),
        "coded_width": frame.width,
        "coded_height": frame.height,
        "width": width,
        "height": height,
        "rotation": frame.rotation % 360,
    }


def _audio_facts(container: InputContainer) -> dict[str, Any]:
    names = ("codec", "profile", "channels", "sample_rate", "bit_rate")
    if not container.streams.audio:
        return {f"audio_{name}": None for name in names}
    sound = _audio_stream(container)
    context = sound.codec_context if sound is not None else None
    if context is None:  # sound for which there is no decoder
        return {f"audio_{name}": None for name in names} | {"audio_codec": "unknown"}
    values = (
        context.codec.canonical_name,
        context.profile,
        context.layout.nb_channels,
        context.sample_rate,
        context.bit_rate or None,
    )
    return {f"audio_{name}": value for name, value in zip(names, values, strict=True)}


def _audio_stream(container: InputContainer) -> AudioStream | None:
    return next((stream for stream in container.streams.audio if stream.codec_context is not None), None)


def _start_facts(container: InputContainer, video: VideoStream, frame: Any) -> dict[str, Any]:
    """Return which streams are meant, and when each begins."""
    sound = _audio_stream(container)
    origin = (container.start_time or 0) / av.time_base
    return {
        "video_index": video.index,
        "audio_index": sound.index if sound else None,
        "video_start": round(float(frame.pts * frame.time_base) - origin, 6)
        if frame.pts is not None
        else 0.0,
        "audio_start": round(float(sound.start_time * sound.time_base) - origin, 6)
        if sound and sound.start_time is not None and sound.time_base
        else None,
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(*sys.argv[1:])))
