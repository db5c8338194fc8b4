"""Hostile MP4 and QuickTime files: ISO/IEC 14496-12 and Apple's QuickTime File Format, used against the reader."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable

from tests.media.hostile import Files, Lures

NESTED = {b"moov", b"trak", b"mdia", b"minf", b"stbl", b"dinf", b"edts", b"udta", b"moof", b"traf"}
HUGE = b"\xff\xff\xff\xff"
Change = Callable[[bytes], bytes]


def box(kind: bytes, body: bytes = b"") -> bytes:
    """Return one box."""
    return struct.pack(">I", 8 + len(body)) + kind + body


def changed(data: bytes, kind: bytes, change: Change) -> bytes:
    """Return the file with the body of every box of this kind changed, and all sizes right again."""
    out, at = b"", 0
    while at + 8 <= len(data):
        size, name = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        body = data[at + 8 : at + size]
        if name == kind:
            body = change(body)
        elif name in NESTED:
            body = changed(body, kind, change)
        out, at = out + box(name, body), at + max(size, 8)
    return out


def at(offset: int, value: bytes) -> Change:
    """Return a change that puts `value` at `offset` of a box's body."""
    return lambda body: body[:offset] + value + body[offset + len(value) :]


def files(lures: Lures, bases: dict[str, bytes]) -> Files:
    """Yield references to other files, lies about sizes and durations, loops and floods."""
    yield from ((f"mov-{name}", data) for name, data in _references(lures, bases["mov"]).items())
    yield from ((f"lie-mp4-{name}", data) for name, data in _lies(bases["mp4"]).items())
    runs = changed(bases["fragments.mp4"], b"trun", at(4, HUGE))
    yield from {
        "lie-fragments-samples": runs,
        "lie-fragments-sizes": changed(runs, b"tfhd", at(4, HUGE)),
    }.items()
    yield from ((f"shape-{name}", data) for name, data in _shapes(bases["mp4"]).items())
    yield from ((f"flood-{name}", data) for name, data in _floods(bases["mp4"]).items())


def _references(lures: Lures, mov: bytes) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for number, lure in enumerate(lures.all):
        url = box(b"url ", b"\0\0\0\0" + lure.encode() + b"\0")
        found[f"url-{number}"] = changed(mov, b"dref", lambda _, url=url: b"\0\0\0\0\0\0\0\1" + url)
        found[f"alias-{number}"] = changed(
            mov, b"dref", lambda _, lure=lure: b"\0\0\0\0\0\0\0\1" + _alias(lure)
        )
        target = box(b"rdrf", b"\0\0\0\0url " + struct.pack(">I", len(lure) + 1) + lure.encode() + b"\0")
        found[f"movie-{number}"] = box(b"ftyp", b"qt  \0\0\0\0") + box(
            b"moov", box(b"rmra", box(b"rmda", target))
        )
    urn = box(b"urn ", b"\0\0\0\0x\0" + lures.all[0].encode() + b"\0")
    found["urn"] = changed(mov, b"dref", lambda _: b"\0\0\0\0\0\0\0\1" + urn)
    found["many-references"] = changed(mov, b"dref", lambda _: b"\0\0\0\0" + HUGE)
    return found


def _alias(path: str) -> bytes:
    """An Apple alias record, version 2, whose tagged parts name `path` (mov.c reads tags 2 and 18)."""
    name = path.rpartition("/")[2][:27].encode()
    fixed = b"\0\0\0\0" + struct.pack(">HH", 0, 2) + b"\0\0" + b"\x04disk".ljust(28, b"\0") + b"\0" * 8
    record = fixed + bytes([len(name)]) + name.ljust(63, b"\0") + b"\0" * 16
    record += struct.pack(">hh", -1, 1) + b"\0" * 16
    for tag, value in ((2, path.replace("/", ":").encode()), (18, path.encode()), (19, b"/")):
        record += struct.pack(">hh", tag, len(value)) + value + b"\0" * (len(value) % 2)
    return box(b"alis", b"\0\0\0\0" + record + b"\xff\xff\0\0")


def _lies(data: bytes) -> dict[str, bytes]:
    """Counts, sizes and times far beyond what is there."""
    tables = ("stts", "stsz", "stsc", "stco", "stss", "ctts", "elst", "sdtp", "sbgp", "stsd")
    found = {f"count-{table}": changed(data, table.encode(), at(4, HUGE)) for table in tables}
    found["one-size-for-ever"] = changed(data, b"stsz", at(4, b"\0\0\0\1" + HUGE))
    found["long-mvhd"] = changed(data, b"mvhd", at(12, b"\0\0\0\1" + HUGE))
    found["long-mdhd"] = changed(data, b"mdhd", at(12, b"\0\0\0\1" + HUGE))
    found["no-timescale"] = changed(changed(data, b"mdhd", at(12, b"\0\0\0\0")), b"mvhd", at(12, b"\0\0\0\0"))
    found["slow-stts"] = changed(data, b"stts", at(8, HUGE + HUGE))
    found["giant-stsd"] = changed(data, b"stsd", at(8 + 8 + 24, HUGE))
    found["giant-tkhd"] = changed(data, b"tkhd", at(76, HUGE + HUGE))
    found["codec-unknown"] = changed(data, b"stsd", at(12, b"zzzz"))
    return {name: made for name, made in found.items() if made != data}


def _shapes(mp4: bytes) -> dict[str, bytes]:
    ftyp, deep = box(b"ftyp", b"isom\0\0\0\0"), b""
    for _ in range(10_000):
        deep = struct.pack(">I", 8 + len(deep)) + b"trak" + deep
    moov = mp4[mp4.index(b"moov") - 4 :]
    return {
        "ftyp-alone": ftyp,
        "deep": ftyp + box(b"moov", deep) + box(b"mdat", b"x"),
        "zero-length": ftyp + struct.pack(">I", 0) + b"moov" + moov[8:],
        "zeros": ftyp + b"\0" * 100_000,
        "size-one": ftyp + struct.pack(">I4sQ", 1, b"moov", 2**64 - 1) + moov,
        "size-negative": ftyp + struct.pack(">I4sQ", 1, b"moov", 2**63) + moov,
        "size-seven": ftyp + struct.pack(">I", 7) + moov[4:],
        "size-all": ftyp + HUGE + moov[4:],
        "moov-in-moov": ftyp + box(b"moov", moov) + box(b"mdat", b"x" * 100),
        "mdat-first-endless": ftyp + struct.pack(">I4s", 0, b"mdat") + moov,
        "junk": ftyp + bytes(range(256)) * 40,
        "empty-moov": ftyp + box(b"moov") + box(b"mdat", b"x" * 100),
        "compressed-moov-bomb": ftyp + _compressed(b"\0" * 50_000_000) + box(b"mdat", b"x" * 100),
    }


def _compressed(data: bytes) -> bytes:
    packed = struct.pack(">I", len(data)) + zlib.compress(data, 9)
    return box(b"moov", box(b"cmov", box(b"dcom", b"zlib") + box(b"cmvd", packed)))


def _floods(mp4: bytes) -> dict[str, bytes]:
    """Thousands of streams, boxes and chapters."""
    start = mp4.index(b"trak") - 4
    trak = mp4[start : start + int.from_bytes(mp4[start : start + 4], "big")]
    many = changed(mp4, b"moov", lambda body: body + trak * 2000)
    free = b"".join(box(b"free") for _ in range(20_000))
    chapter = box(b"chap", struct.pack(">II", 1, 1))
    looped = changed(mp4, b"trak", lambda body: body + box(b"tref", chapter))
    named = changed(mp4, b"udta", lambda _: box(b"meta", b"\0" * 4 + b"\xa9nam" * 20_000))
    return {"streams": many, "boxes": mp4 + free, "chapter-of-itself": looped, "metadata": named}
