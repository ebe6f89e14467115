"""Labelled pictures on disk: `SPLIT/NAME.png` beside `SPLITannot/NAME.png` of class ids."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from roadseg_ros.labels import load_label_space, UNLABELLED
from training.datasets.frames import DatasetError, Frame, LabelledFrames


class Folders(LabelledFrames):
    """
    Pictures and masks of one split.

    :param root: folder that holds the splits.
    :param split: name of the folder of pictures, such as 'train'.
    :param labels: label space of the masks, a name or a YAML file (default: `root/labels.yaml`).
    :param unlabelled_id: an id in the files that means unlabelled; 255 always does.
    :param drives: keep only pictures whose names start so, such as ['0001TP'] (default: all).
    :param leave_out: drop those, to judge by them.
    :raises DatasetError: nothing found, a picture without its mask, or an `unlabelled_id` that
        is a class.
    :raises LabelSpaceError: the label space cannot be read.
    """

    def __init__(self, root: str | Path, split: str, labels: str | Path | None = None,
                 unlabelled_id: int = UNLABELLED, drives: Sequence[str] = (),
                 leave_out: Sequence[str] = ()) -> None:
        images, masks = Path(root) / split, Path(root) / f'{split}annot'
        self.images = [path for path in sorted(images.glob('*.png'))
                       if (not drives or path.name.startswith(tuple(drives)))
                       and not path.name.startswith(tuple(leave_out))]
        self.masks = [masks / path.name for path in self.images]
        if not self.images:
            chosen = f' of drives {list(drives)}' if drives else ''
            chosen += f' without drives {list(leave_out)}' if leave_out else ''
            raise DatasetError(f'no pictures {images}/*.png{chosen}')
        missing = [path for path in self.masks if not path.is_file()]
        if missing:
            raise DatasetError(f'{len(missing)} pictures have no mask; first: {missing[0]}')
        self.labels = load_label_space(Path(root) / 'labels.yaml' if labels is None else labels)
        self.unlabelled_id = unlabelled_id
        if 0 <= unlabelled_id < len(self.labels):
            raise DatasetError(f'unlabelled_id {unlabelled_id} is the class '
                               f'{self.labels.names[unlabelled_id]!r} of {root}')

    def __len__(self) -> int:
        """Return the number of pictures."""
        return len(self.images)

    def __getitem__(self, index: int) -> Frame:
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
        path = self.masks[index]
        mask = _read(path, cv2.IMREAD_UNCHANGED)
        if mask.ndim != 2:
            raise DatasetError(f'{path}: ids stand in one channel, found shape {mask.shape}')
        mask[mask == self.unlabelled_id] = UNLABELLED
        foreign = mask[(mask >= len(self.labels)) & (mask != UNLABELLED)]
        if foreign.size:
            unlabelled = ' or '.join(map(str, sorted({self.unlabelled_id, UNLABELLED})))
            raise DatasetError(
                f'{path}: id {foreign.max()} is none of the {len(self.labels)} classes '
                f'{", ".join(self.labels.names)} (0..{len(self.labels) - 1}), nor unlabelled '
                f'({unlabelled})')
        return mask.astype(np.uint8, copy=False)


class CamVid(Folders):
    """CamVid in SegNet's form: its 11 classes, 11 = unlabelled; arguments as `Folders`."""

    def __init__(self, root: str | Path, split: str, labels: str | Path = 'camvid',
                 unlabelled_id: int = 11, drives: Sequence[str] = (),
                 leave_out: Sequence[str] = ()) -> None:
        super().__init__(root, split, labels, unlabelled_id, drives, leave_out)


def _read(path: Path, flags: int) -> np.ndarray:
    """Read a picture or say which one cannot be read."""
    picture = cv2.imread(str(path), flags)
    if picture is None:
        raise DatasetError(f'cannot read {path}')
    return picture
