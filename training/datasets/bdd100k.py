"""BDD100K's 10k pictures with semantic segmentation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from roadseg_ros.labels import load_label_space
from training.datasets.class_map import Classes, ClassMap
from training.datasets.frames import DatasetError
from training.datasets.paired import IdMasks, Pair
from training.datasets.parts import choose, labelled_splits, SHARES

# folders of pictures and masks, and how a mask's name ends: as released now, and before 2020
LAYOUTS = (('images/10k', 'labels/sem_seg/masks', '.png'),
           ('seg/images', 'seg/labels', '_train_id.png'))


class Bdd100k(IdMasks):
    """
    Pictures with 19 training ids, drawn anew so that no video is in two parts.

    A picture is called `VIDEO-FRAME.jpg`.

    :param root: folder that holds `images/10k` and `labels/sem_seg/masks`, or `seg`.
    :param part: 'train', 'val' or 'test' of the pictures that `splits` have (default: all).
    :param shares: of these parts.
    :param seed: of the draw.
    :param samples: take so many of the part (default: all).
    :param splits: of train and val, as released; part and shares are of them together.
    :param labels: label space to map to, a name or a YAML file.
    :param classes: the names in the label space `cityscapes` that each class takes
        (default: its own).
    :param rest: the class of all other ids (default: unlabelled).
    :raises DatasetError: nothing found, a picture without its mask, or an argument that does
        not fit.
    :raises LabelSpaceError: the label space cannot be read.
    """

    def __init__(self, root: str | Path, part: str | None = None,
                 shares: Sequence[float] = SHARES, seed: int = 0, samples: int | None = None,
                 splits: Sequence[str] = ('train', 'val'), labels: str | Path = 'cityscapes',
                 classes: Classes | None = None, rest: str | None = None) -> None:
        pairs = _find(Path(root), labelled_splits(splits))
        names = load_label_space('cityscapes').names
        super().__init__(choose(pairs, part, shares, seed, samples, _video), names,
                         ClassMap(labels, classes, rest, names),
                         f'of part {part}: {len(pairs)} pictures in all')


def _find(root: Path, splits: Sequence[str]) -> list[Pair]:
    """Return the pictures and masks of the layout that is there."""
    for images, masks, suffix in LAYOUTS:
        pairs = [(path, root / masks / split / f'{path.stem}{suffix}')
                 for split in splits for path in sorted((root / images / split).glob('*.jpg'))]
        if pairs:
            return pairs
    wanted = ' or '.join(f'{root / images}/{split}/*.jpg'
                         for images, _, _ in LAYOUTS for split in splits)
    raise DatasetError(f'no pictures {wanted}')


def _video(pair: Pair) -> str:
    """Return the video that a picture is of."""
    return pair[0].stem.partition('-')[0]
