"""Cityscapes' fine annotations."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from training.datasets.class_map import Classes, ClassMap
from training.datasets.paired import IdMasks
from training.datasets.parts import labelled_splits

# by labelId; -1, license plate, is 255 in 8 bits and so unlabelled
LABEL_IDS = (
    'unlabeled', 'ego vehicle', 'rectification border', 'out of roi', 'static', 'dynamic',
    'ground', 'road', 'sidewalk', 'parking', 'rail track', 'building', 'wall', 'fence',
    'guard rail', 'bridge', 'tunnel', 'pole', 'polegroup', 'traffic light', 'traffic sign',
    'vegetation', 'terrain', 'sky', 'person', 'rider', 'car', 'truck', 'bus', 'caravan',
    'trailer', 'train', 'motorcycle', 'bicycle')


class Cityscapes(IdMasks):
    """
    The 3475 finely labelled pictures with public labels: 2975 of train, 500 of val.

    :param root: folder that holds `leftImg8bit` and `gtFine`.
    :param splits: of train and val.
    :param labels: label space to map to, a name or a YAML file.
    :param classes: the names in `LABEL_IDS` that each class takes (default: its own).
    :param rest: the class of all other ids (default: unlabelled).
    :raises DatasetError: nothing found, a picture without its mask, or an argument that does
        not fit.
    :raises LabelSpaceError: the label space cannot be read.
    """

    def __init__(self, root: str | Path, splits: Sequence[str] = ('train',),
                 labels: str | Path = 'cityscapes', classes: Classes | None = None,
                 rest: str | None = None) -> None:
        images, masks = Path(root) / 'leftImg8bit', Path(root) / 'gtFine'
        pairs = []
        for split in labelled_splits(splits):
            for image in sorted((images / split).glob('*/*_leftImg8bit.png')):
                stem = image.name.removesuffix('_leftImg8bit.png')
                name = f'{stem}_gtFine_labelIds.png'
                pairs.append((image, masks / split / image.parent.name / name))
        wanted = ' or '.join(f'{images}/{split}/*/*_leftImg8bit.png' for split in splits)
        super().__init__(pairs, LABEL_IDS, ClassMap(labels, classes, rest, LABEL_IDS), wanted)
