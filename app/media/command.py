"""What ffmpeg is told so that a recipe becomes a file. Pure: nothing a user wrote gets into the arguments.

The result has no edit list, so nothing may need one: B-frames get negative offsets instead of a shifted
beginning, and the silence an AAC encoder puts first takes the place of as much sound (21 ms), so that picture
and sound stay together to a millisecond. Copied sound is cut at its packets: at most half a packet off.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import cast

from app.domain.recipe import Picture, Recipe, Sound
from app.domain.video_spec import VideoFacts
from app.media import picture as filters
from app.media.demuxers import DEMUXERS, FORMAT_WHITELIST, MAX_PIXELS
from app.media.sniff import Container

PRESET, QUALITY = "veryfast", "20"  # x264: what an upload deserves at a third of the work of its default
GOP_SECONDS = 2
BUFFER_SECONDS = 1.0  # of the rate's control; a short one, so that even a 3-second video keeps its average
FULL_AT_START = 0.9  # x264's vbv-init: this much of the buffer may be spent beyond the rate
AAC_PRIMING = 1024  # samples of silence ffmpeg's encoder puts first
LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1"}
MOST_LATE = 0.04  # seconds; sound that begins later than this must be encoded to stay where it is
HARDLY = 0.001  # of a picture; 2.9999 of them are 3
NUDGE = 0.0005  # seconds; so that rounding never loses the first picture
CONTAINER_SHARE = 0.98  # of a byte budget; the rest is for the index
LEAST_RATE = 20_000  # bits a second; a picture cannot be told from noise below


@dataclass(frozen=True)
class Job:
    """One conversion: what is read, what is written, with which program."""

    ffmpeg: Path
    source: Path
    out: Path
    facts: VideoFacts
    recipe: Recipe

    @property
    def seconds(self) -> float:
        """How long the result is meant to be."""
        end = self.facts.duration_seconds if self.recipe.end is None else self.recipe.end
        return max(min(end, self.facts.duration_seconds) - self.recipe.start, 0.0)

    @property
    def is_cut(self) -> bool:
        """Whether only a part of the video is wanted."""
        return self.recipe.start > 0 or self.recipe.end is not None

    @property
    def skips(self) -> float:
        """Seconds at the beginning that are read and thrown away, where jumping there would miss key frames."""
        return self.recipe.start if self.facts.container == "mpegts" else 0.0

    @property
    def sound(self) -> Sound | None:
        """How the sound is encoded; None: it is copied, or there is none.

        Sound that begins after the picture cannot be copied: without an edit list it would begin too early.
        """
        facts, sound = self.facts, self.recipe.sound
        if facts.audio_index is None and facts.audio_codec is None:
            return None
        if sound != "copy":
            return sound if isinstance(sound, Sound) else None
        late = (facts.audio_start or 0.0) - facts.video_start - self.recipe.start
        if late <= MOST_LATE:
            return None
        channels, rate = min(facts.audio_channels or 2, 2), facts.audio_sample_rate or 48_000
        return Sound(channels=channels, sample_rate=rate, bit_rate=max(facts.audio_bit_rate or 0, 128_000))


def arguments(job: Job, *, budget: int | None) -> list[str]:
    """Return the whole command. `budget`: bytes the file may have, None: as many as it takes."""
    guards = ["-nostdin", "-hide_banner", "-loglevel", "error", "-y", "-progress", "pipe:1", "-nostats"]
    end = ["-t", f"{job.seconds:.6f}"] if job.is_cut else []
    metadata = ["-map_metadata", "-1", "-map_chapters", "-1", "-sn", "-dn"]
    mp4 = ["-use_editlist", "0", "-movflags", "+faststart+negative_cts_offsets", "-f", "mp4"]
    return [
        *[str(job.ffmpeg), *guards, "-stats_period", "0.5"],
        *_input(job),
        *_picture(job, budget),
        *_sound(job),
        *end,
        *metadata,
        *mp4,
        f"file:{job.out}",
    ]


def _input(job: Job) -> list[str]:
    facts, recipe = job.facts, job.recipe
    demuxer = DEMUXERS[cast(Container, facts.container)]
    safe = ["-protocol_whitelist", "file", "-format_whitelist", FORMAT_WHITELIST, "-f", demuxer]
    limits = ["-max_pixels", str(MAX_PIXELS), "-fflags", "+genpts"]
    begin, length = facts.video_start + recipe.start, job.seconds
    if job.skips:
        begin, length = facts.video_start, recipe.start + job.seconds
    cut = ["-ss", f"{begin - NUDGE:.6f}"] if begin > NUDGE else []
    until = ["-t", f"{length + NUDGE:.6f}"] if recipe.end is not None else []
    return [*safe, *limits, *cut, *until, "-i", f"file:{job.source}"]


def _picture(job: Job, budget: int | None) -> list[str]:
    facts, picture = job.facts, job.recipe.picture
    chosen = ["-map", "0:V:0" if facts.video_index is None else f"0:{facts.video_index}"]
    if picture is None:
        tag = ["-tag:v", "hvc1"] if facts.video_codec == "hevc" else []  # Apple's players know no other
        return [*chosen, "-c:v", "copy", *tag, *(["-bsf:v", _drop_before(job.skips)] if job.skips else [])]
    group = str(max(1, round(Fraction(picture.frame_rate) * GOP_SECONDS)))
    encoder = ["-c:v", "libx264", "-preset", PRESET, "-crf", QUALITY, "-profile:v", "high"]
    closed = ["-g", group, "-flags", "+cgop"]
    skip = f"trim=start={job.skips},setpts=PTS-{job.skips}/TB," if job.skips else ""
    graph = skip + filters.filters(facts, picture)
    whole = int(job.seconds * Fraction(picture.frame_rate) + HARDLY)  # never longer than was asked for
    frames = ["-frames:v", str(max(1, whole))] if job.is_cut else []
    return [*chosen, "-vf", graph, *encoder, *closed, *frames, *_rate(job, picture, budget)]


def _rate(job: Job, picture: Picture, budget: int | None) -> list[str]:
    """Cap the bit rate so that even the average of a short video stays under what is allowed."""
    limits = [picture.max_bit_rate] if picture.max_bit_rate else []
    if budget is not None:
        limits.append(picture_rate(job, budget))
    if not limits:
        return []
    spare = 1 + FULL_AT_START * BUFFER_SECONDS / max(job.seconds, BUFFER_SECONDS)
    rate = max(int(min(limits) / spare), LEAST_RATE)
    return ["-maxrate", str(rate), "-bufsize", str(int(rate * BUFFER_SECONDS))]


def picture_rate(job: Job, budget: int) -> int:
    """Return the bits a second that a byte budget leaves for the picture; below LEAST_RATE it cannot be kept."""
    sound = job.sound
    copied = (job.facts.audio_bit_rate or 128_000) if job.recipe.sound == "copy" else 0
    spent = sound.bit_rate if sound else copied
    return int(budget * 8 * CONTAINER_SHARE / max(job.seconds, 0.1)) - spent


def _sound(job: Job) -> list[str]:
    facts, sound = job.facts, job.sound
    if job.recipe.sound == "none" or (facts.audio_index is None and facts.audio_codec is None):
        return ["-an"]
    chosen = ["-map", "0:a:0?" if facts.audio_index is None else f"0:{facts.audio_index}"]
    if sound is None:
        return [*chosen, "-c:a", "copy", "-bsf:a", _drop_before(job.skips)]
    layout = LAYOUTS.get(sound.channels)
    shaped = f":channel_layouts={layout}" if layout else ""
    skip = f"atrim=start={job.skips},asetpts=PTS-{job.skips}/TB," if job.skips else ""
    chain = (
        f"{skip}aresample={sound.sample_rate}:async=1:first_pts=0,"
        f"aformat=sample_rates={sound.sample_rate}{shaped},atrim=start_sample={AAC_PRIMING}"
    )
    encoder = ["-c:a", "aac", "-profile:a", "aac_low", "-b:a", str(sound.bit_rate)]
    return [*chosen, "-af", chain, *encoder, "-ac", str(sound.channels), "-ar", str(sound.sample_rate)]


def _drop_before(moment: float) -> str:
    """Return the bitstream filters that drop packets before `moment`, in seconds, and begin anew there."""
    shift = f",setts=ts=TS-{moment}/TB" if moment else ""
    return f"noise=amount=0:drop=lt(pts*tb\\,{moment}){shift}"
