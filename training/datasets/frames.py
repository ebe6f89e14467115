"""What every data set is: labelled pictures whose classes it can name."""

from __future__ import annotations

from abc import abstractmethod
from bisect import bisect_right
from collections.abc import Iterator, Sequence

import numpy as np
from torch.utils.data import ConcatDataset, Dataset

from roadseg_ros.labels import LabelSpace

Frame = tuple[np.ndarray, np.ndarray]


class DatasetError(ValueError):
    """Data that is missing or does not fit; the message names the file or the argument."""


class LabelledFrames(Dataset[Frame]):
    """
    Items are (image, mask): (H, W, 3) uint8 BGR and (H, W) uint8 ids, 255 = unlabelled.

    `labels` is the label space of the masks; `has_drives` says whether there are clips.
    """

    labels: LabelSpace
    has_drives = False

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of pictures."""

    @abstractmethod
    def mask(self, index: int) -> np.ndarray:
        """Return the (H, W) uint8 ids, 255 = unlabelled, without its picture."""

    def clip(self, index: int, frames: int) -> list[Frame]:
        """
        Return consecutive frames of a drive, the first of them the item of an index.

        :param index: of the item.
        :param frames: how many.
        :raises NotImplementedError: not `has_drives`.
        """
        raise NotImplementedError


class Joined(ConcatDataset[Frame]):
    """
    Data sets one after the other.

    :param parts: the data sets.
    """

    def __init__(self, parts: Sequence[LabelledFrames]) -> None:
        super().__init__(parts)
        self.parts = parts

    def clip(self, index: int, frames: int) -> list[Frame]:
        """Return a part's clip, see `LabelledFrames.clip`."""
        number = bisect_right(self.cumulative_sizes, index)
        start = self.cumulative_sizes[number - 1] if number else 0
        return self.parts[number].clip(index - start, frames)

    def masks(self) -> Iterator[np.ndarray]:
        """Return all masks in order, (H, W) uint8 each."""
        return (part.mask(index) for part in self.parts for index in range(len(part)))

    def require(self, labels: LabelSpace, whose: str) -> None:
        """
        Refuse data whose ids mean something else.

        :param labels: the classes that the ids must stand for, in order.
        :param whose: what has those classes, for the message.
        :raises DatasetError: a part has other classes.
        """
        for part in self.parts:
            if part.labels.names != labels.names:
                raise DatasetError(
                    f'{type(part).__name__} has the classes {", ".join(part.labels.names)}; '
                    f'{whose} has {", ".join(labels.names)}')
