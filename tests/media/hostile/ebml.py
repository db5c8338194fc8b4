"""Hostile Matroska and WebM files: RFC 8794 and RFC 9559, used against the reader."""

from __future__ import annotations

import struct

from tests.media.hostile import Files, Lures

SEGMENT, INFO, TRACKS, CLUSTER = (
    b"\x18\x53\x80\x67",
    b"\x15\x49\xa9\x66",
    b"\x16\x54\xae\x6b",
    b"\x1f\x43\xb6\x75",
)
ATTACHMENTS, CHAPTERS, CUES, SEEK_HEAD = (
    b"\x19\x41\xa4\x69",
    b"\x10\x43\xa7\x70",
    b"\x1c\x53\xbb\x6b",
    b"\x11\x4d\x9b\x74",
)
UNKNOWN = b"\x01\xff\xff\xff\xff\xff\xff\xff"


def element(identifier: bytes, body: bytes) -> bytes:
    """Return one element with an 8-byte size."""
    return identifier + (len(body) | 1 << 56).to_bytes(8, "big") + body


def files(lures: Lures, bases: dict[str, bytes]) -> Files:
    """Yield references to other files, nested and endless elements, floods of tracks."""
    mkv = bases["mkv"]
    yield from ((f"mkv-{name}", data) for name, data in _references(lures, mkv).items())
    yield from ((f"mkv-{name}", data) for name, data in _bombs(mkv).items())


def _inserted(mkv: bytes, elements: bytes) -> bytes:
    """Put elements first in the segment, whose size becomes unknown."""
    start = mkv.index(SEGMENT)
    return mkv[:start] + SEGMENT + UNKNOWN + elements + mkv[start + 12 :]


def _references(lures: Lures, mkv: bytes) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for number, lure in enumerate(lures.all[1:4]):
        path = lure.encode()
        linked = (
            element(b"\x3c\x83\xab", path)
            + element(b"\x3e\x83\xbb", path)
            + element(b"\x3e\xb9\x23", b"x" * 16)
        )
        file = (
            element(b"\x46\x6e", path) + element(b"\x46\x60", b"font/ttf") + element(b"\x46\x5c", b"\0" * 50)
        )
        found[f"linked-{number}"] = _inserted(mkv, element(INFO, linked))
        found[f"attached-{number}"] = _inserted(mkv, element(ATTACHMENTS, element(b"\x61\xa7", file)))
        found[f"subtitle-{number}"] = _inserted(mkv, element(TRACKS, _ass_track(lure)))
    edition = element(b"\x45\xdd", b"\1") + element(b"\xb6", element(b"\x6e\x67", b"x" * 16))
    found["ordered-chapters"] = _inserted(mkv, element(CHAPTERS, element(b"\x45\xb9", edition)))
    return found


def _ass_track(lure: str) -> bytes:
    script = f"[Script Info]\nVideo File: {lure}\nAudio URI: {lure}\n[Fonts]\nfontname: {lure}\n".encode()
    fields = element(b"\xd7", b"\x09") + element(b"\x83", b"\x11") + element(b"\x86", b"S_TEXT/ASS")
    return element(b"\xae", fields + element(b"\x63\xa2", script))


def _bombs(mkv: bytes) -> dict[str, bytes]:
    deep, chapters = b"", b""
    for _ in range(5000):
        chapters = element(b"\xb6", chapters)
    for _ in range(5000):
        deep = element(b"\x67\xc8", deep)  # SimpleTag may hold SimpleTags
    seek = element(b"\x4d\xbb", element(b"\x53\xab", SEEK_HEAD) + element(b"\x53\xac", b"\0"))
    size = mkv.index(SEGMENT)
    return _durations(mkv) | {
        "nested-tags": _inserted(mkv, element(b"\x12\x54\xc3\x67", element(b"\x73\x73", deep))),
        "nested-chapters": _inserted(mkv, element(CHAPTERS, element(b"\x45\xb9", chapters))),
        "giant": _inserted(mkv, element(TRACKS, _track(b"V_UNCOMPRESSED", b"\xff\xff\xff\xff"))),
        "tracks": _inserted(mkv, element(TRACKS, _track(b"V_VP8", b"\x40") * 1500)),
        "seek-loop": _inserted(mkv, element(SEEK_HEAD, seek * 1000)),
        "cues": _inserted(mkv, element(CUES, element(b"\xbb", element(b"\xb3", b"\0")) * 20_000)),
        "no-timescale": _inserted(mkv, element(INFO, element(b"\x2a\xd7\xb1", b"\0"))),
        "void-flood": _inserted(mkv, b"\xec\x80" * 50_000),
        "huge-size": mkv[:size] + SEGMENT + b"\x01\x7f\xff\xff\xff\xff\xff\xfe" + mkv[size + 12 :],
        "huge-child": mkv[: size + 12] + INFO + b"\x01\x7f\xff\xff\xff\xff\xff\xfe" + mkv[size + 12 :],
        "segments-in-segments": mkv[:size] + (SEGMENT + UNKNOWN) * 5000 + mkv[size:],
        "cluster-flood": mkv + element(CLUSTER, element(b"\xe7", b"\0")) * 5000,
        "header-alone": mkv[:size],
        "header-lies": mkv[:4] + b"\x01\xff\xff\xff\xff\xff\xff\xfe" + mkv[5:],
    }


def _track(codec: bytes, side: bytes) -> bytes:
    picture = element(b"\xe0", element(b"\xb0", side) + element(b"\xba", side))
    kind = element(b"\xd7", b"\5") + element(b"\x83", b"\1") + element(b"\x86", codec)
    return element(b"\xae", kind + picture)


def _durations(mkv: bytes) -> dict[str, bytes]:
    times = {
        "zero": 0.0,
        "endless": 1e300,
        "infinite": float("inf"),
        "no-number": float("nan"),
        "negative": -1.0,
    }
    return {
        f"duration-{name}": _inserted(mkv, element(INFO, element(b"\x44\x89", struct.pack(">d", value))))
        for name, value in times.items()
    }
