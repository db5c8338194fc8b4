"""Sound videos cut off or with bytes changed at random, the same for the same seed."""

from __future__ import annotations

import random
from collections.abc import Mapping

from tests.media.hostile import Files

SHARES = (0.02, 0.5, 0.98)
KINDS = ("mp4", "mov", "mkv", "webm", "avi", "ts")


def files(bases: Mapping[str, bytes], *, mutations: int, seed: int) -> Files:
    """Yield every kind cut off at SHARES, and `mutations` changed files shared among the kinds."""
    for kind in KINDS:
        for share in SHARES:
            yield f"cut-{kind}-{share}", bases[kind][: int(len(bases[kind]) * share)]
    dice = random.Random(seed)
    for number in range(mutations):
        kind = KINDS[number % len(KINDS)]
        yield f"mutated-{kind}-{seed}-{number}", _mutated(bases[kind], dice)


def _mutated(data: bytes, dice: random.Random) -> bytes:
    made = bytearray(data)
    structure = dice.random() < 0.7  # most harm is done where the structure is: at both ends
    for _ in range(dice.choice((1, 2, 8, 64))):
        where = dice.randrange(len(made))
        if structure:
            where = dice.choice((where % 1500, len(made) - 1 - where % 1500)) % len(made)
        kind = dice.randrange(4)
        if kind == 0:
            made[where] ^= 1 << dice.randrange(8)
        elif kind == 1:
            made[where : where + 4] = dice.choice((b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff"))
        elif kind == 2:
            made[where : where + 8] = dice.randbytes(8)
        else:
            made[where:where] = made[where : where + dice.randrange(1, 200)]
    return bytes(made)
