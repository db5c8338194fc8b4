"""Videos as people really send them, made small: each is awkward for one reason.

`AWKWARD` names them; `make` writes one. But for that reason each is what every platform takes as it is: a reel of
three seconds by shape, size, length and sound, with its index first and no edit list.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.clips import ffmpeg

H264 = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", "30")
AAC = ("-c:a", "aac", "-af", "atrim=start_sample=1024")  # in place of its silence
VP9 = ("-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8")
XVID = ("-c:v", "mpeg4", "-vtag", "XVID", "-bf", "2", "-b:v", "2M")
MPEG2 = ("-c:v", "mpeg2video", "-flags", "+ildct+ilme", "-r", "30", "-b:v", "3M")
EDIT_LIST = ("-movflags", "+faststart")
FAST_START = (*EDIT_LIST, "-use_editlist", "0")
HEVC10 = (
    "-c:v",
    "libx265",
    "-preset",
    "ultrafast",
    "-pix_fmt",
    "yuv420p10le",
    "-tag:v",
    "hvc1",
    "-x265-params",
)
BT2020 = "log-level=none:colorprim=bt2020:colormatrix=bt2020nc:transfer="
TAGGED = "setparams=color_primaries=bt2020:colorspace=bt2020nc:color_trc="


REEL = "540x960"  # the least Facebook takes for a reel


@dataclass(frozen=True)
class Awkward:
    """How one is made: size in pixels as shown (but for rotation), pictures and samples a second, seconds."""

    ending: str = "mp4"
    size: str = REEL
    rate: str = "30"
    seconds: float = 3.2
    sound: str | None = "sine=frequency=440:sample_rate=48000"
    codecs: tuple[str, ...] = (*H264, *AAC)
    filters: str = "null"
    extra: tuple[str, ...] = FAST_START
    turned: int = 0
    times: int = 1  # how often it is repeated, without being encoded again


SURROUND = "anoisesrc=r=48000:a=0.1,aformat=channel_layouts=mono,pan=5.1|c0=c0|c1=c0|c2=c0|c3=c0|c4=c0|c5=c0"

AWKWARD: Mapping[str, Awkward] = {
    "plain": Awkward(),
    "hdr-pq": Awkward(rate="24", codecs=(*HEVC10, f"{BT2020}smpte2084", *AAC), filters=f"{TAGGED}smpte2084"),
    "hdr-hlg": Awkward(codecs=(*HEVC10, f"{BT2020}arib-std-b67", *AAC), filters=f"{TAGGED}arib-std-b67"),
    "vfr": Awkward(filters="select='not(eq(mod(n,7),3))'", extra=("-fps_mode", "vfr", *FAST_START)),
    "rotated": Awkward(size="960x540", turned=90),
    "4k60": Awkward(size="3840x2160", rate="60", seconds=0.8, sound=None, times=4),
    "square": Awkward(size="960x960"),
    "landscape": Awkward(size="960x540"),
    "ultra-wide": Awkward(size="2560x720"),
    "61-fps": Awkward(rate="61"),
    "3-seconds": Awkward(seconds=3),
    "2-seconds": Awkward(seconds=2),
    "20-minutes": Awkward(seconds=5, sound=None, times=240, extra=("-crf", "40", *FAST_START)),
    "2-minutes": Awkward(seconds=5, sound=None, times=24, extra=("-crf", "40", *FAST_START)),
    "no-audio": Awkward(sound=None),
    "surround": Awkward(sound=SURROUND),
    "pcm-in-mov": Awkward("mov", codecs=(*H264, "-c:a", "pcm_s16le")),
    "vp9-opus": Awkward("webm", codecs=(*VP9, "-c:a", "libopus"), extra=()),
    "av1": Awkward(codecs=("-c:v", "libaom-av1", "-usage", "realtime", "-cpu-used", "8", "-pix_fmt", "yuv420p", *AAC)),
    "prores": Awkward("mov", codecs=("-c:v", "prores_ks", "-profile:v", "standard", "-c:a", "pcm_s24le")),
    "mpeg-2": Awkward("ts", rate="60", codecs=(*MPEG2, "-c:a", "mp2"), filters="interlace", extra=()),
    "xvid": Awkward("avi", codecs=(*XVID, "-c:a", "libmp3lame"), extra=()),
    "odd-sizes": Awkward(codecs=(*H264[:4], *AAC), filters="format=yuv444p,pad=541:961"),
    "late-moov": Awkward(extra=("-use_editlist", "0")),
    "edit-list": Awkward(
        codecs=("-c:v", "libx264", "-preset", "veryfast", "-bf", "3", "-pix_fmt", "yuv420p", *AAC), extra=EDIT_LIST,
    ),
    "wide-pixels": Awkward(size="270x960", filters="setsar=2/1"),
    "22-khz-in-mkv": Awkward("mkv", sound="sine=frequency=440:sample_rate=22050", extra=()),
    "low-rate": Awkward(rate="15"),
}  # fmt: skip


def make(name: str, folder: Path) -> Path:
    """Write the awkward video of this name and return its path."""
    how = AWKWARD[name]
    path = folder / f"{name}.{how.ending}"
    first = path if not how.turned and how.times == 1 else path.with_stem(f"{name}-first")
    picture = ["-f", "lavfi", "-i", f"smptehdbars=size={how.size}:rate={how.rate}:duration={how.seconds}"]
    tone = ["-f", "lavfi", "-t", str(how.seconds), "-i", how.sound] if how.sound else []
    _run(*picture, *tone, *how.codecs, "-vf", how.filters, *how.extra, str(first))
    if how.turned:
        _run("-display_rotation", str(how.turned), "-i", str(first), "-c", "copy", *FAST_START, str(path))
    if how.times > 1:
        _run("-stream_loop", str(how.times - 1), "-i", str(first), "-c", "copy", *FAST_START, str(path))
    return path


def _run(*arguments: str) -> None:
    subprocess.run([ffmpeg(), "-nostdin", "-y", "-loglevel", "error", *arguments], check=True, timeout=120)
