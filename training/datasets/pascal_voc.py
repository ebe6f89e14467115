"""Pascal VOC's semantic segmentation, and masks in its form."""

from __future__ import annotations

from pathlib import Path

from roadseg_ros.labels import load_label_space
from training.datasets.class_map import Classes, ClassMap
from training.datasets.paired import ColorMasks, find_picture, Pair, read_names

VOID = (224, 224, 192)


class PascalVoc(ColorMasks):
    """
    Pictures of a split; void, the outline of things, is unlabelled.

    :param root: folder that holds `JPEGImages`, `SegmentationClass` and `ImageSets`,
        such as `VOCdevkit/VOC2012`.
    :param split: name of a list in `ImageSets/Segmentation`, such as 'train' or 'val'.
    :param labels: label space to map to, a name or a YAML file.
    :param classes: the names in the label space `pascal_voc` that each class takes
        (default: its own).
    :param rest: the class of all other ids (default: unlabelled).
    :raises DatasetError: nothing found, a picture without its mask, or an argument that does
        not fit.
    :raises LabelSpaceError: the label space cannot be read.
    """

    def __init__(self, root: str | Path, split: str, labels: str | Path = 'pascal_voc',
                 classes: Classes | None = None, rest: str | None = None) -> None:
        own = load_label_space('pascal_voc')
        pairs, wanted = listed(Path(root), split)
        super().__init__(pairs, own.names, own.colors, ClassMap(labels, classes, rest, own.names),
                         wanted, [VOID])


def listed(root: Path, split: str) -> tuple[list[Pair], str]:
    """
    Return the files that a list in `ImageSets/Segmentation` names.

    :param root: folder in the form of Pascal VOC.
    :param split: name of the list.
    :return: pictures with masks, and what was looked for.
    :raises DatasetError: no such list.
    """
    path = root / 'ImageSets' / 'Segmentation' / f'{split}.txt'
    return [(find_picture(root / 'JPEGImages', name), root / 'SegmentationClass' / f'{name}.png')
            for name in read_names(path)], f'named in {path}'
