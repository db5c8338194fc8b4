from __future__ import annotations

import pytest

from app.exceptions import VideoValidationError
from app.media import CONTENT_TYPES, EXTENSIONS, sniff


@pytest.mark.parametrize(
    ("head", "container"),
    [
        (b"\0\0\0\x20ftypisom\0\0\x02\0", "mp4"),
        (b"\0\0\0\x14ftypqt  \0\0\x02\0", "mov"),
        (b"\0\0\0\x08wide\0\0\0\x10mdat", "mov"),
        (b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81\x01\x42\x82\x84webm", "webm"),
        (b"\x1a\x45\xdf\xa3\xa3\x42\x86\x81\x01\x42\x82\x88matroska", "matroska"),
        (b"RIFF\x10\0\0\0AVI LIST", "avi"),
        ((b"\x47" + b"\0" * 187) * 4, "mpegts"),
    ],
)
def test_a_video_is_known_by_its_first_bytes(head: bytes, container: str) -> None:
    assert sniff(head) == container


def test_an_empty_file_is_refused_as_such() -> None:
    with pytest.raises(VideoValidationError, match="empty"):
        sniff(b"")


@pytest.mark.parametrize(
    "head",
    [
        b"#EXTM3U\n#EXT-X-VERSION:3\nfile:///etc/passwd\n",
        b"\xef\xbb\xbf#EXTM3U\n",
        b"  \n#extm3u\n",
        b"ffconcat version 1.0\nfile /etc/passwd\n",
        b"<MPD xmlns='urn:mpeg:dash:schema:mpd:2011'>",
        b"<?xml version='1.0'?><MPD>",
        b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\n",
    ],
)
def test_a_playlist_in_disguise_is_refused_as_such(head: bytes) -> None:
    with pytest.raises(VideoValidationError, match="playlist") as caught:
        sniff(head)
    assert "MP4" in caught.value.details["allowed"]


@pytest.mark.parametrize(
    "head",
    [
        b"hello, world",
        b"\x89PNG\r\n\x1a\n",
        b"PK\x03\x04",
        b"RIFF\x10\0\0\0WAVEfmt ",
        b"\x47" * 10,
        b"GIF89a",
        b"\0",
    ],
)
def test_what_is_no_video_is_refused(head: bytes) -> None:
    with pytest.raises(VideoValidationError, match="not a video"):
        sniff(head)


def test_a_picture_in_a_video_container_is_refused_as_a_picture() -> None:
    with pytest.raises(VideoValidationError, match="picture"):
        sniff(b"\0\0\0\x18ftypheic\0\0\0\0")


def test_every_container_has_an_ending_and_a_type() -> None:
    assert EXTENSIONS.keys() == CONTENT_TYPES.keys()
