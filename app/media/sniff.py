"""What a file is by its first bytes. Names and Content-Types are only what the sender says."""

from __future__ import annotations

from typing import Literal

from app.exceptions import VideoValidationError

Container = Literal["mp4", "mov", "matroska", "webm", "avi", "mpegts"]

SNIFF_BYTES = 4096
EXTENSIONS: dict[Container, str] = {
    "mp4": "mp4",
    "mov": "mov",
    "matroska": "mkv",
    "webm": "webm",
    "avi": "avi",
    "mpegts": "ts",
}
CONTENT_TYPES: dict[Container, str] = {
    "mp4": "video/mp4",
    "mov": "video/quicktime",
    "matroska": "video/x-matroska",
    "webm": "video/webm",
    "avi": "video/x-msvideo",
    "mpegts": "video/mp2t",
}
ALLOWED = "a video file: MP4, MOV, MKV, WebM, AVI or MPEG-TS"

# Texts that make a media library open other files or addresses. They are named so that the error can say why.
_PLAYLISTS = (b"#extm3u", b"#ext-x", b"ffconcat", b"<mpd", b"<?xml", b"v=0", b"[playlist]", b"<smil", b"<asx")
_PICTURE_BRANDS = (b"avif", b"avis", b"heic", b"heix", b"hevc", b"mif1", b"msf1", b"crx ")
_OLD_QUICKTIME = (b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")
_TS_PACKET = 188


def sniff(head: bytes) -> Container:
    """Return the container the first SNIFF_BYTES bytes speak of. Raises VideoValidationError."""
    if not head:
        raise _refused("an empty file", "The file is empty. Send the video again.")
    if head.removeprefix(b"\xef\xbb\xbf").lstrip().lower().startswith(_PLAYLISTS):
        raise _refused("a playlist", "This is a playlist, not a video. Send the video file itself.")
    found = _iso(head) or _ebml(head) or _others(head)
    if found is None:
        raise _refused("something else", f"This is not a video file we know. Send {ALLOWED}.")
    return found


def _iso(head: bytes) -> Container | None:
    kind, brand = head[4:8], head[8:12]
    if kind == b"ftyp":
        if brand in _PICTURE_BRANDS:
            raise _refused("a picture", f"This is a picture, not a video. Send {ALLOWED}.")
        return "mov" if brand == b"qt  " else "mp4"
    return "mov" if kind in _OLD_QUICKTIME else None


def _ebml(head: bytes) -> Container | None:
    if not head.startswith(b"\x1a\x45\xdf\xa3"):
        return None
    return "webm" if b"\x42\x82\x84webm" in head[:128] else "matroska"  # DocType, 4 bytes long


def _others(head: bytes) -> Container | None:
    if head.startswith(b"RIFF") and head[8:12] == b"AVI ":
        return "avi"
    starts = head[: 3 * _TS_PACKET : _TS_PACKET]
    return "mpegts" if len(starts) == 3 and set(starts) == {0x47} else None


def _refused(found: str, message: str) -> VideoValidationError:
    return VideoValidationError(message, {"found": found, "allowed": ALLOWED})
