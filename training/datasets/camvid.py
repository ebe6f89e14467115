"""CamVid in SegNet's layout: `SPLIT/NAME.png` beside `SPLITannot/NAME.png` of class ids."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from torch.utils.data import Dataset

from roadseg_ros.labels import UNLABELLED


class DatasetError(ValueError):
    """Data that is missing or does not fit its masks; the message names the file."""


class CamVid(Dataset):
    """
    Pictures and masks of one split; items are (image, mask).

    `image` is (H, W, 3) uint8 BGR, `mask` (H, W) uint8 with 11 as unlabelled mapped to 255.

    :param root: folder that holds the splits.
    :param split: 'train' or 'val'.
    :param drives: keep only these drives, such as ['0001TP'] (default: all).
    :param leave_out: drop these drives, to judge by them.
    :raises DatasetError: nothing found, or a picture without its mask.
    """

    UNLABELLED_ID = 11

    def __init__(self, root: str | Path, split: str, drives: Sequence[str] = (),
                 leave_out: Sequence[str] = ()) -> None:
        images, masks = Path(root) / split, Path(root) / f'{split}annot'
        self.images = [path for path in sorted(images.glob('*.png'))
                       if (not drives or path.name.startswith(tuple(drives)))
                       and not path.name.startswith(tuple(leave_out))]
        self.masks = [masks / path.name for path in self.images]
        if not self.images:
            raise DatasetError(f'no pictures {images}/*.png (drives {list(drives) or "all"}, '
                               f'without {list(leave_out)})')
        missing = [path for path in self.masks if not path.is_file()]
        if missing:
            raise DatasetError(f'{len(missing)} pictures have no mask; first: {missing[0]}')

    def __len__(self) -> int:
        """Return the number of pictures."""
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the picture and mask at an index."""
        image, mask = self.image(index), self.mask(index)
        if image.shape[:2] != mask.shape:
            raise DatasetError(f'{self.masks[index]} is {mask.shape}, its picture '
                               f'{image.shape[:2]}')
        return image, mask

    def image(self, index: int) -> np.ndarray:
        """Return the (H, W, 3) uint8 BGR picture."""
        return _read(self.images[index], cv2.IMREAD_COLOR)

    def mask(self, index: int) -> np.ndarray:
        """Return the (H, W) uint8 ids, 255 = unlabelled."""
        mask = _read(self.masks[index], cv2.IMREAD_UNCHANGED)
        if mask.ndim != 2 or mask.max() > self.UNLABELLED_ID:
            raise DatasetError(f'{self.masks[index]}: ids must be 0..{self.UNLABELLED_ID} in one '
                               f'channel, found shape {mask.shape}, highest {mask.max()}')
        mask = mask.astype(np.uint8, copy=False)
        mask[mask == self.UNLABELLED_ID] = UNLABELLED
        return mask


def _read(path: Path, flags: int) -> np.ndarray:
    """Read a picture or say which one cannot be read."""
    picture = cv2.imread(str(path), flags)
    if picture is None:
        raise DatasetError(f'cannot read {path}')
    return picture
