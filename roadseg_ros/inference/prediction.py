"""What the network, or the cache in its place, says of a frame, at the network's size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Prediction:
    """
    A frame's labels before they are brought to its size.

    :param class_ids: (h, w) uint8, 255 = unlabelled.
    :param confidence: (h, w) uint8, round(255 * probability of the winner).
    :param frame_size: (height, width) of the frame.
    :param made: 'full', 'cached', 'warped' or, where there is nothing to show yet, 'none'.
    :param age_ms: of what it was made from.
    :param change: grey levels by which the frame differs from the one before after the motion.
    :param timing_ms: milliseconds per stage.
    """

    class_ids: np.ndarray
    confidence: np.ndarray
    frame_size: tuple[int, int]
    made: str = 'full'
    age_ms: float = 0.0
    change: float = 0.0
    timing_ms: Mapping[str, float] = field(default_factory=dict)
