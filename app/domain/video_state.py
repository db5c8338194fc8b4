"""The states of a video. Pure.

processing --measured--> ready --------+
    |                                  +--kept long enough, or deleted although posts tell of it--> archived
    +--not usable, or kills workers--> rejected
"""

from __future__ import annotations

from typing import Literal, get_args

VideoState = Literal["processing", "ready", "rejected", "archived"]
STATES: tuple[VideoState, ...] = get_args(VideoState)

MOVES: dict[VideoState, frozenset[VideoState]] = {
    "processing": frozenset({"ready", "rejected", "archived"}),
    "ready": frozenset({"archived"}),
    "rejected": frozenset({"archived"}),
    "archived": frozenset(),
}


def may_move(before: VideoState, after: VideoState) -> bool:
    """May a video go from one state to the other?"""
    return after in MOVES[before]
