"""Hostile AVI and MPEG-TS files, and pictures inside containers that claim giant sizes."""

from __future__ import annotations

import struct
from collections.abc import Mapping

from tests.media.hostile import Files, Lures

HUGE = b"\xff\xff\xff\xff"
PACKET = 188


def files(lures: Lures, bases: Mapping[str, bytes]) -> Files:
    """Yield lies in AVI headers and indexes, floods of programs, giant pictures."""
    yield from ((f"avi-{name}", data) for name, data in _avi(bases["avi"]).items())
    yield from ((f"ts-{name}", data) for name, data in _ts(bases["ts"]).items())
    yield from ((f"giant-{name}", data) for name, data in _giants(bases).items())


def _patched(data: bytes, mark: bytes, offset: int, value: bytes) -> bytes:
    """Put `value` at `offset` behind every `mark`."""
    parts = data.split(mark)
    return mark.join([parts[0], *(part[:offset] + value + part[offset + len(value) :] for part in parts[1:])])


def _grown(avi: bytes, chunk: bytes) -> bytes:
    """Append a chunk and put the size of the whole right."""
    data = avi + chunk
    return data[:4] + struct.pack("<I", len(data) - 8) + data[8:]


def _chunk(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("<I", len(body)) + body


def _avi(avi: bytes) -> dict[str, bytes]:
    entry = b"00dc" + struct.pack("<III", 0x10, 4, 100)
    loop = struct.pack("<HBBI4s", 4, 0, 0, 1000, b"00dc") + b"\0" * 12 + struct.pack("<QII", 12, 24, 1) * 1000
    deep = b""
    for _ in range(3000):
        deep = _chunk(b"LIST", b"hdrl" + deep)
    start = avi.index(b"strl") - 8
    stream = avi[start : start + 8 + int.from_bytes(avi[start + 4 : start + 8], "little")]
    return {
        "index-bomb": _grown(avi, _chunk(b"idx1", entry * 100_000)),
        "index-of-itself": _grown(avi, _chunk(b"indx", loop)),
        "index-endless": _patched(avi, b"idx1", 0, HUGE),
        "frames": _patched(avi, b"avih", 4 + 16, HUGE),
        "no-rate": _patched(avi, b"strh", 4 + 20, b"\0" * 8),
        "rate": _patched(avi, b"strh", 4 + 20, b"\1\0\0\0" + HUGE),
        "streams": _patched(avi, b"avih", 4 + 24, HUGE),
        "many-streams": _grown(avi, stream * 2000),
        "long-stream": _patched(avi, b"strh", 4 + 32, HUGE),
        "sample-size": _patched(avi, b"strh", 4 + 44, HUGE),
        "deep": b"RIFF" + struct.pack("<I", len(deep) + 4) + b"AVI " + deep,
        "list-endless": _patched(avi, b"LIST", 0, HUGE),
        "chunk-endless": _patched(avi, b"00dc", 0, HUGE),
        "riffs": avi + avi * 20,
    }


def _packet(pid: int, body: bytes, *, start: bool = True) -> bytes:
    header = bytes([0x47, (0x40 if start else 0) | pid >> 8, pid & 255, 0x10])
    return (header + body).ljust(PACKET, b"\xff")[:PACKET]


def _ts(ts: bytes) -> dict[str, bytes]:
    programs = b"".join(struct.pack(">HH", number, 0xE000 | number + 32) for number in range(1, 40))
    table = b"\0\0\xb0" + bytes([9 + len(programs)]) + b"\0\1\xc1\0\0" + programs + b"\0" * 4
    pids = b"".join(_packet(pid, b"\0\0\1\xe0\0\0\x80\0\0") for pid in range(32, 8000, 4))
    clock = bytes([0x47, 0x01, 0x00, 0x30, 7, 0x10]) + b"\xff" * 182
    return {
        "programs": _packet(0, table) * 500 + ts,
        "pids": ts + pids,
        "clock": clock * 20 + ts,
        "nothing": _packet(0x1FFF, b"") * 5000,
        "same-packet": ts[:PACKET] * 5000,
        "backwards": b"".join(ts[i : i + PACKET] for i in range(len(ts) - PACKET, -1, -PACKET)),
        "no-sync": ts[: 4 * PACKET] + ts[4 * PACKET :].replace(b"\x47", b"\x48"),
    }


def _giants(bases: Mapping[str, bytes]) -> dict[str, bytes]:
    """Headers that claim pictures of billions of pixels."""
    side = struct.pack("<II", 65_535, 65_535)
    vp8 = bases["webm"].replace(b"\x9d\x01\x2a\x40\0\x40\0", b"\x9d\x01\x2a\xff\x3f\xff\x3f")
    return {
        "raw": _patched(bases["raw.avi"], b"strf", 4 + 4, side),
        "raw-negative": _patched(
            bases["raw.avi"], b"strf", 4 + 4, b"\x40\0\0\0" + struct.pack("<i", -(2**31))
        ),
        "mjpeg-header": _patched(bases["avi"], b"strf", 4 + 4, side),
        "mjpeg-frame": _patched(bases["avi"], b"\xff\xc0", 3, HUGE),
        "png-frame": _patched(bases["png.mov"], b"IHDR", 0, struct.pack(">II", 60_000, 60_000)),
        "png-wide": _patched(bases["png.mov"], b"IHDR", 0, struct.pack(">II", 2**31 - 1, 1)),
        "vp8-frame": vp8,
        "vp8-track": bases["webm"]
        .replace(b"\xb0\x81\x40", b"\xb0\x81\xff")
        .replace(b"\xba\x81\x40", b"\xba\x81\xff"),
        "depth": _patched(bases["raw.avi"], b"strf", 4 + 14, b"\xff\xff"),
    }
