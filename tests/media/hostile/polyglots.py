"""Files that are two things at once: a video by their first bytes, something else to whoever looks longer."""

from __future__ import annotations

import io
import struct
import zipfile

from tests.media.hostile import Files, Lures
from tests.media.hostile.boxes import box


def files(lures: Lures, bases: dict[str, bytes]) -> Files:
    """Yield headers of each container before playlists, and sound videos around or behind something else."""
    playlist = f"\n#EXTM3U\n#EXTINF:2,\n{lures.all[0]}\n#EXT-X-ENDLIST\n".encode()
    concat = f"\nffconcat version 1.0\nfile '{lures.outside}'\n".encode()
    for name, header in _headers(bases).items():
        yield f"poly-{name}-hls", header + playlist
        yield f"poly-{name}-concat", header + concat
    for name, data in _doubles(playlist, bases["mp4"]).items():
        yield f"poly-{name}", data


def _headers(bases: dict[str, bytes]) -> dict[str, bytes]:
    ftyp = bases["mp4"][: int.from_bytes(bases["mp4"][:4], "big")]
    return {
        "ftyp": ftyp,
        "ftyp-m3u8": box(b"ftyp", b"m3u8\0\0\0\0hls "),
        "wide": struct.pack(">I", 8) + b"wide",
        "free": ftyp + struct.pack(">I", 0) + b"free",
        "ebml": bases["mkv"][:64],
        "webm": bases["webm"][:64],
        "riff": b"RIFF\xff\xff\xff\x7fAVI LIST",
        "ts": (b"\x47\x1f\xff\x10" + b"\xff" * 184) * 4,
    }


def _doubles(playlist: bytes, mp4: bytes) -> dict[str, bytes]:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as made:
        made.writestr("../../outside/escaped.txt", playlist)
    zipped, html = archive.getvalue(), b"<html><script>alert(1)</script>"
    return {
        "mp4-then-hls": mp4 + playlist,
        "mp4-then-zip": mp4 + zipped,
        "zip-then-mp4": zipped + mp4,
        "html-then-mp4": html + mp4,
        "jpeg-then-mp4": b"\xff\xd8\xff\xe0" + mp4,
        "pdf-then-mp4": b"%PDF-1.4\n" + mp4,
        "elf-then-mp4": b"\x7fELF\x02\x01\x01" + mp4,
        "shebang-then-mp4": b"#!/bin/sh\ntouch escaped\n" + mp4,
        "mp4-in-free": box(b"ftyp", b"isom\0\0\0\0") + box(b"free", mp4) + playlist,
        "hls-in-mdat": box(b"ftyp", b"isom\0\0\0\0") + box(b"moov") + box(b"mdat", playlist),
        "mp4-twice": mp4 + mp4,
        "id3-then-mp4": b"ID3\x04\0\0\0\0\0\0" + mp4,
    }
