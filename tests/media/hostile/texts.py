"""Texts that make a media library open other files: playlists, descriptions, scripts, subtitles, pictures."""

from __future__ import annotations

import struct
import zlib

from tests.media.hostile import Files, Lures


def files(lures: Lures) -> Files:
    """Yield playlists and the like, each pointing at each lure, and pictures that are no video."""
    for number, lure in enumerate(lures.all):
        for kind, text in {
            **_hls(lure),
            **_dash(lure),
            **_lists(lure),
            **_scripts(lure),
            **_subtitles(lure),
        }.items():
            if number < 3 or kind in ("hls", "hls-nested", "dash", "ffconcat", "sdp", "svg"):
                yield f"text-{kind}-{number}", text.encode()
    yield from ((f"picture-{kind}", data) for kind, data in _pictures(lures).items())


def _hls(lure: str) -> dict[str, str]:
    body = f"#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{lure}\n#EXT-X-ENDLIST\n"
    master = f"#EXT-X-STREAM-INF:BANDWIDTH=1\n{lure}\n"
    keyed = f'#EXT-X-KEY:METHOD=AES-128,URI="{lure}"\n#EXT-X-MAP:URI="{lure}"\n'
    return {
        "hls": f"#EXTM3U\n{body}",
        "hls-bom": f"\ufeff#EXTM3U\n{body}",
        "hls-spaces": f" \r\n\t#EXTM3U\r\n{body}",
        "hls-keyed": f"#EXTM3U\n{keyed}{body}",
        "hls-nested": f"#EXTM3U\n{master}",
        "hls-concat": f"#EXTM3U\n#EXTINF:2,\nconcat:{lure}|{lure}\n",
        "hls-late": f"#EXT-X-VERSION:3\n#EXTM3U\n{body}",
    }


def _dash(lure: str) -> dict[str, str]:
    adaptation = (
        f'<Period><AdaptationSet mimeType="video/mp4"><Representation id="1" bandwidth="1"><BaseURL>{lure}</BaseURL>'
        f'<SegmentList><Initialization sourceURL="{lure}"/><SegmentURL media="{lure}"/></SegmentList>'
        "</Representation></AdaptationSet></Period>"
    )
    mpd = f'<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static">{adaptation}</MPD>'
    entity = f'<!DOCTYPE x [<!ENTITY e SYSTEM "{lure}">]><MPD><BaseURL>&e;</BaseURL></MPD>'
    return {
        "dash": f'<?xml version="1.0"?>{mpd}',
        "dash-bare": mpd,
        "dash-entity": f'<?xml version="1.0"?>{entity}',
        "dash-comment": f"<!-- a video -->{mpd}",
    }


def _lists(lure: str) -> dict[str, str]:
    return {
        "ffconcat": f"ffconcat version 1.0\nfile '{lure}'\nduration 2\n",
        "concat": f"file '{lure}'\n",
        "sdp": f"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nc=IN IP4 127.0.0.1\r\na=control:{lure}\r\n"
        "m=video 5004 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n",
        "pls": f"[playlist]\nFile1={lure}\nNumberOfEntries=1\n",
        "asx": f'<asx version="3.0"><entry><ref href="{lure}"/></entry></asx>',
        "smil": f'<smil><body><video src="{lure}"/></body></smil>',
        "xspf": f"<playlist><trackList><track><location>{lure}</location></track></trackList></playlist>",
        "ram": f"{lure}\n",
        "reference": f"[Reference]\nRef1={lure}\n",
        "cue": f'FILE "{lure}" WAVE\n  TRACK 01 AUDIO\n    INDEX 01 00:00:00\n',
    }


def _scripts(lure: str) -> dict[str, str]:
    return {
        "avisynth": f'FFVideoSource("{lure}")\n',
        "vapoursynth": f"import vapoursynth as vs\nvs.core.ffms2.Source('{lure}').set_output()\n",
        "lavfi": f"movie={lure}[out0]",
        "ffmetadata": f";FFMETADATA1\ntitle={lure}\n",
        "svg": f'<svg xmlns:xlink="http://www.w3.org/1999/xlink"><image xlink:href="{lure}"/></svg>',
        "mvg": f"push graphic-context\nimage over 0,0 1,1 '{lure}'\npop graphic-context\n",
        "pattern": "img%03d.png",
    }


def _subtitles(lure: str) -> dict[str, str]:
    return {
        "ass": f"[Script Info]\nVideo File: {lure}\n[Events]\nDialogue: 0,0:00:00.00,0:00:02.00,D,,0,0,0,,x\n",
        "srt": f"1\n00:00:00,000 --> 00:00:02,000\n<img src='{lure}'>\n",
        "vtt": f"WEBVTT\n\nSTYLE\n::cue {{ background: url({lure}) }}\n\n00:00.000 --> 00:02.000\nx\n",
        "sami": f"<SAMI><BODY><SYNC Start=0><img src='{lure}'></SYNC></BODY></SAMI>",
        "vobsub": f"# VobSub index file, v7\nid: en, index: 0\n# {lure}\ntimestamp: 00:00:00:000, filepos: 000000000\n",
    }


def _pictures(lures: Lures) -> dict[str, bytes]:
    text = lures.all[0].encode()
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    png = (
        b"\x89PNG\r\n\x1a\n"
        + struct.pack(">I", 13)
        + b"IHDR"
        + header
        + struct.pack(">I", zlib.crc32(header))
    )
    return {
        "png": png,
        "apng": png + struct.pack(">I", 8) + b"acTL" + b"\xff\xff\xff\xff" * 2,
        "jpeg": b"\xff\xd8\xff\xe0\0\x10JFIF\0" + text,
        "gif": b"GIF89a\xff\xff\xff\xff" + text,
        "webp": b"RIFF\xff\xff\xff\x7fWEBPVP8 " + text,
        "tiff": b"II*\0\x08\0\0\0" + b"\xff" * 64,
        "exr": b"\x76\x2f\x31\x01\x02\0\0\0" + b"\0" * 64,
        "psd": b"8BPS\0\x01" + b"\0" * 6 + b"\0\x03" + struct.pack(">II", 300_000, 300_000) + b"\0\x08\0\x03",
        "bmp": b"BM" + b"\xff" * 60,
        "pnm": b"P6 60000 60000 255\n" + b"\0" * 99,
        "dpx": b"SDPX" + b"\0" * 200,
        "jxl": b"\xff\x0a" + b"\xff" * 64,
        "xpm": b'/* XPM */ static char *x[]={"60000 60000 1 9"' + text,
        "heic": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + text,
        "avif": b"\0\0\0\x18ftypavif\0\0\0\0mif1avif" + text,
    }
