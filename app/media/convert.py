"""Executes a recipe: one ffmpeg in a limited child, watched, with what it may use of the disk.

A conversion either leaves a whole file or none. Whoever asked measures it again before it counts.
"""

from __future__ import annotations

import errno
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from app.domain.recipe import Recipe
from app.domain.video_spec import VideoFacts
from app.exceptions import StorageError, VideoConversionError, VideoProcessingError, VideoValidationError
from app.logging_config import get_logger
from app.media.abilities import abilities
from app.media.child import Ended, Limits, run_watched
from app.media.command import LEAST_RATE, Job, arguments, picture_rate
from app.media.picture import needs_zscale
from app.media.sniff import SNIFF_BYTES, sniff

logger = get_logger(__name__)
OnProgress = Callable[[float, float | None], None]

MEMORY = 4 * 1024**3  # address space; 8K frames and x264's look-ahead stay below 2.5 GiB
CORES = 64  # what a child's processor seconds are counted on; the wall clock stops it much earlier
BASE_SECONDS = 120.0
DECODED_A_SECOND = 5_000_000  # pixels; a tenth of what one old core does, so only the hopeless are stopped
ENCODED_A_SECOND = 1_000_000
COPIED_A_SECOND = 1_000_000  # bytes
MIB = 1024**2
SPARE = 1.25  # a file may outgrow its budget this far: then it is measured and tried again, smaller
DAMAGED = (
    b"Invalid data found",
    b"could not find codec parameters",
    b"Error while decoding",
    b"matches no streams",
    b"Output file is empty",
    b"Picture size",
    b"Decoder (codec",
)


@dataclass(frozen=True)
class Room:
    """What of the disk a conversion may use, in bytes: `free` must stay free, `most` the file may have."""

    free: int = 0
    most: int | None = None


def convert(
    source: Path,
    recipe: Recipe,
    facts: VideoFacts,
    out: Path,
    *,
    ffmpeg: Path,
    on_progress: OnProgress,
    room: Room | None = None,
) -> None:
    """Make the rendition `recipe` describes of `source`, whose measured facts are `facts`, in `out`.

    `source` and `out` are absolute names we made. `on_progress` hears twice a second at most the share that
    is done (0 to 1) and the seconds that remain, None while nothing can be said; what it raises ends the
    conversion and passes through. `max_bytes` is kept: a file that came out larger is made once more, smaller.
    Raises VideoValidationError when the file is at fault or the budget cannot be kept, VideoConversionError when ffmpeg
    fails (details: `crashed`, whether a signal ended it), VideoProcessingError when this ffmpeg cannot be started or
    cannot do it, StorageError when the disk is full. Then `out` is not there.
    """
    job, room = Job(ffmpeg, source, out, facts, recipe), room or Room()
    _refuse_hopeless(job)
    try:
        size = _run(job, recipe.max_bytes, room, on_progress)
        if recipe.max_bytes is not None and size > recipe.max_bytes:
            _run_smaller(job, size, room, on_progress)
    except BaseException:
        out.unlink(missing_ok=True)
        raise


def _refuse_hopeless(job: Job) -> None:
    with job.source.open("rb") as file:
        sniff(file.read(SNIFF_BYTES))
    if job.seconds <= 0:
        raise VideoValidationError(
            "Nothing of the video is left between these times.",
            {"found": [job.recipe.start, job.recipe.end], "allowed": [0.0, job.facts.duration_seconds]},
        )
    budget = job.recipe.max_bytes
    if job.recipe.picture and budget is not None and picture_rate(job, budget) < LEAST_RATE:
        raise _too_large(job, round(LEAST_RATE * job.seconds / 8))
    needed = job.recipe.picture is not None and needs_zscale(job.facts)
    if needed and "zscale" in abilities(job.ffmpeg).missing:
        raise VideoProcessingError(
            "This ffmpeg cannot convert HDR colours: it lacks zscale. Use another one (FFMPEG_PATH).",
            {"reason": "no zscale"},
        )


# -- one run


def _run(job: Job, budget: int | None, room: Room, on_progress: OnProgress) -> int:
    """Run ffmpeg once and return the size of what it made."""
    watch = _Watch(job, room, on_progress)
    watch.require_room()
    command = arguments(job, budget=budget)
    ended = run_watched(command, limits=_limits(job, room), seconds=seconds_allowed(job), on_line=watch.hear)
    if ended.code != 0:
        raise _failure(job, ended, room)
    size = job.out.stat().st_size if job.out.is_file() else 0
    if not watch.done or not size:
        raise _damaged("no decodable frame")
    return size


def _run_smaller(job: Job, found: int, room: Room, on_progress: OnProgress) -> None:
    """Run once more for a file that came out larger than its budget. Raises VideoValidationError."""
    allowed = job.recipe.max_bytes or 0
    if job.recipe.picture is None:
        raise _too_large(job, found)
    found = _run(job, int(allowed * allowed / found * 0.95), room, on_progress)
    if found > allowed:
        raise _too_large(job, found)


def seconds_allowed(job: Job) -> float:
    """Return after how many seconds a conversion is given up: from the pixels it reads and writes."""
    facts, picture = job.facts, job.recipe.picture
    copied = BASE_SECONDS + facts.size_bytes / COPIED_A_SECOND
    if picture is None:
        return copied
    until = job.recipe.start + job.seconds
    read = facts.coded_width * facts.coded_height * max(facts.frame_rate, 1.0) * until
    written = picture.width * picture.height * 60 * job.seconds
    return copied + read / DECODED_A_SECOND + written / ENCODED_A_SECOND


def _limits(job: Job, room: Room) -> Limits:
    return Limits(cpu=int(seconds_allowed(job) * CORES), memory=MEMORY, file=_most(job, room))


def _most(job: Job, room: Room) -> int:
    """Return the bytes after which the file is stopped in the making."""
    facts, recipe = job.facts, job.recipe
    rate = (recipe.picture.max_bit_rate or 0) if recipe.picture else 0
    expected = 2 * facts.size_bytes + round(job.seconds * max(rate, 20_000_000) / 8) + 64 * MIB
    budget = expected if recipe.max_bytes is None else int(recipe.max_bytes * SPARE) + MIB
    return budget if room.most is None else min(budget, room.most)


@dataclass
class _Watch:
    """Listens to ffmpeg's `-progress`, passes it on, and looks after the disk."""

    job: Job
    room: Room
    on_progress: OnProgress
    done: float = 0.0  # seconds of the result that are made
    started: float = field(default_factory=time.monotonic)

    def hear(self, line: bytes | None) -> None:
        name, _, value = (line or b"").partition(b"=")
        if name == b"out_time_us" and value.lstrip(b"-").isdigit():
            self.done = max(self.done, int(value) / 1e6)
        if line is None or name == b"progress":
            self.require_room()
            self.on_progress(*self._progress())

    def _progress(self) -> tuple[float, float | None]:
        share = min(self.done / self.job.seconds, 1.0)
        spent = time.monotonic() - self.started
        known = share > 0.01 and spent > 0.5
        return share, round(spent * (1 - share) / share, 1) if known else None

    def require_room(self) -> None:
        spent = self.room.most is not None and self.room.most <= 0
        if spent or shutil.disk_usage(self.job.out.parent).free < self.room.free:
            raise _disk_full()


# -- how it ended


def _failure(job: Job, ended: Ended, room: Room) -> Exception:
    complaint = ended.output.decode("utf-8", "replace")
    logger.warning("ffmpeg ended with %s", ended.code, extra={"complaint": complaint[-500:]})
    if b"File too large" in ended.output or ended.code == 256 - errno.EFBIG:
        most = _most(job, room)
        return _disk_full() if most == room.most or job.recipe.max_bytes is None else _too_large(job, most)
    if b"No space left on device" in ended.output or ended.code == 256 - errno.ENOSPC:
        return _disk_full()
    if ended.code is None or ended.code == -signal.SIGXCPU:
        return _failed("This video took too long to convert.", "out of time", crashed=False)
    if ended.code == 127:
        return VideoProcessingError(
            "ffmpeg could not be started. Run `flask doctor`.", {"reason": "not started"}
        )
    if ended.code < 0:
        return _failed("This video made ffmpeg crash.", f"signal {-ended.code}", crashed=True)
    if any(words in ended.output for words in DAMAGED):
        return _damaged("data that cannot be decoded")
    return _failed("This video could not be converted.", f"exit code {ended.code}", crashed=False)


def _failed(message: str, reason: str, *, crashed: bool) -> VideoConversionError:
    return VideoConversionError(message, {"crashed": crashed, "reason": reason})


def _damaged(found: str) -> VideoValidationError:
    return VideoValidationError(
        "This video cannot be converted: it is damaged or uses a codec we cannot read.",
        {"found": found, "allowed": "a video that plays from its beginning"},
    )


def _too_large(job: Job, found: int) -> VideoValidationError:
    return VideoValidationError(
        "This video cannot be made small enough. Make it shorter.",
        {"found": found, "allowed": job.recipe.max_bytes, "seconds": round(job.seconds, 3)},
    )


def _disk_full() -> StorageError:
    return StorageError("There is no room left on the disk for converting. Free some space and try again.")
