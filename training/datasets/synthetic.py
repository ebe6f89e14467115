"""Frames of the procedural drive, rendered as they are asked for."""

from __future__ import annotations

import numpy as np
from torch.utils.data import Dataset

from roadseg_ros.scenes import Drive


class SyntheticScenes(Dataset):
    """
    The first frame of each of many synthetic drives; items are (image, mask) like CamVid's.

    :param samples: how many.
    :param seed: sample i is of drive `seed + i`: each has its own street, light and traffic.
    :param height: pixels.
    :param width: pixels.
    """

    def __init__(self, samples: int, seed: int = 1000, height: int = 360,
                 width: int = 480) -> None:
        self.samples, self.seed = samples, seed
        self.height, self.width = height, width

    def __len__(self) -> int:
        """Return the number of frames."""
        return self.samples

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Return (H, W, 3) uint8 BGR and (H, W) uint8 ids."""
        return Drive(self.seed + index, self.height, self.width).frame(0)

    def mask(self, index: int) -> np.ndarray:
        """Return the (H, W) uint8 ids."""
        return self[index][1]
