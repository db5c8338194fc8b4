"""What ffmpeg's and PyAV's parsers may be asked to read."""

from __future__ import annotations

from app.media.sniff import Container

DEMUXERS: dict[Container, str] = {
    "mp4": "mp4",
    "mov": "mov",
    "matroska": "matroska",
    "webm": "matroska",
    "avi": "avi",
    "mpegts": "mpegts",
}
# No playlist format is in it: a library that opens what a file names reads other people's files.
FORMAT_WHITELIST = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts"
MAX_PIXELS = 8192 * 8192  # 8K video has 33 million; stack-facts: 132 million cost 8.7 s and 277 MB
