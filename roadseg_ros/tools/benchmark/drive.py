"""The frames of the benchmark: a stretch of the generated drive, there and back for ever."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
import itertools
from typing import TypeVar

import numpy as np

from roadseg_ros.scenes import Drive

SEED, RATE_HZ, FRAMES = 7, 15.0, 12
START_NS = 1_700_000_000 * 10**9

Item = TypeVar('Item')


def render(size: tuple[int, int]) -> list[np.ndarray]:
    """
    Return consecutive frames, (H, W, 3) uint8 BGR.

    :param size: (height, width), 32 pixels or more each.
    """
    drive = Drive(SEED, *size, rate_hz=RATE_HZ)
    return [drive.frame(index)[0] for index in range(FRAMES)]


def stamped(items: Sequence[Item], rate_hz: float = RATE_HZ) -> Iterator[tuple[int, Item]]:
    """
    Yield items there and back without end, each with the stamp (ns) of its turn.

    :param items: consecutive, one for each frame.
    :param rate_hz: at which the stamps go on.
    """
    turns = itertools.cycle([*items, *items[-2:0:-1]])
    for index, item in enumerate(turns):
        yield START_NS + round(index * 1e9 / rate_hz), item
