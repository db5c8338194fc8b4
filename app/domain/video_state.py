"""The states of a video. Pure.

processing --measured--> ready --bytes deleted, history kept--> archived
    |
    +--not a usable video, or its measuring kills workers--> rejected
"""

from __future__ import annotations

from typing import Literal, get_args

VideoState = Literal["processing", "ready", "rejected", "archived"]
STATES: tuple[VideoState, ...] = get_args(VideoState)

MOVES: dict[VideoState, frozenset[VideoState]] = {
    "processing": frozenset({"ready", "rejected"}),
    "ready": frozenset({"archived"}),
    "rejected": frozenset(),
    "archived": frozenset(),
}

MAX_ATTEMPTS = 3  # claims that ended with a dead worker before the video is given up


def may_move(before: VideoState, after: VideoState) -> bool:
    """May a video go from one state to the other?"""
    return after in MOVES[before]
