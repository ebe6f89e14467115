"""Frames of the procedural drive, rendered as they are asked for."""

from __future__ import annotations

import numpy as np

from roadseg_ros.labels import load_label_space
from roadseg_ros.scenes import Drive
from training.datasets.frames import DatasetError, Frame, LabelledFrames


class SyntheticScenes(LabelledFrames):
    """
    The first frame, or the first few, of each of many synthetic drives, in CamVid's classes.

    :param samples: how many.
    :param seed: sample i is of drive `seed + i`: each has its own street, light and traffic.
    :param height: pixels.
    :param width: pixels.
    :raises DatasetError: an argument is no number that a drive can be made of.
    """

    has_drives = True

    def __init__(self, samples: int, seed: int = 1000, height: int = 360,
                 width: int = 480) -> None:
        lowest = {'samples': 1, 'seed': 0, 'height': 32, 'width': 32}
        for name, value in zip(lowest, (samples, seed, height, width)):
            if not isinstance(value, int) or value < lowest[name]:
                raise DatasetError(f'{name} must be a whole number from {lowest[name]}, '
                                   f'not {value!r}')
        self.labels = load_label_space('camvid')
        self.samples, self.seed = samples, seed
        self.height, self.width = height, width

    def __len__(self) -> int:
        """Return the number of frames."""
        return self.samples

    def __getitem__(self, index: int) -> Frame:
        """Return (H, W, 3) uint8 BGR and (H, W) uint8 ids."""
        return self.clip(index, 1)[0]

    def clip(self, index: int, frames: int) -> list[Frame]:
        """Return the first frames of a drive, at 15 Hz."""
        drive = Drive(self.seed + index, self.height, self.width)
        return [drive.frame(number) for number in range(frames)]

    def mask(self, index: int) -> np.ndarray:
        """Return the (H, W) uint8 ids."""
        return self[index][1]
