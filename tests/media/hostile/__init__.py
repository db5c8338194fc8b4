"""Files made to do harm: each is written once, with the same bytes for the same seed.

`corpus(folder, lures)` yields their paths. What they point at are the lures: files and an address that nothing
may ever touch.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Lures:
    """What hostile files point at: a video outside the job's folder, one beside the file, and an address."""

    outside: Path
    neighbour: str
    address: str

    @property
    def all(self) -> tuple[str, ...]:
        """Return every spelling a file may use for them."""
        name = self.outside.name
        return (
            f"file://{self.outside}",
            str(self.outside),
            f"../../outside/{name}",
            self.neighbour,
            self.address,
        )


Files = Iterator[tuple[str, bytes]]  # a name that says what it is, and the bytes


def corpus(folder: Path, lures: Lures, *, mutations: int, seed: int) -> list[Path]:
    """Write every hostile file into a folder of its own under `folder` and return their paths."""
    from tests.media.hostile import boxes, ebml, mutated, others, polyglots, texts
    from tests.media.hostile.bases import bases

    whole = bases(folder / "bases")
    makers = (
        texts.files(lures),
        polyglots.files(lures, whole),
        boxes.files(lures, whole),
        ebml.files(lures, whole),
        others.files(lures, whole),
        mutated.files(whole, mutations=mutations, seed=seed),
    )
    return [_write(folder, name, data) for files in makers for name, data in files]


def _write(folder: Path, name: str, data: bytes) -> Path:
    path = folder / "jobs" / name / "original.mp4"
    path.parent.mkdir(parents=True)  # a name used twice would hide a file
    path.write_bytes(data)
    return path
