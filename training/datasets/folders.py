"""Labelled pictures on disk: `SPLIT/NAME.png` beside `SPLITannot/NAME.png` of class ids."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from roadseg_ros.labels import UNLABELLED
from training.datasets.class_map import ClassMap
from training.datasets.frames import DatasetError
from training.datasets.paired import IdMasks, own_labels


class Folders(IdMasks):
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
        for name, value in (('drives', drives), ('leave_out', leave_out)):
            if isinstance(value, str):
                raise DatasetError(f'{name} must be a list, such as [{value}], not {value!r}')
        images, masks = Path(root) / split, Path(root) / f'{split}annot'
        pairs = [(path, masks / path.name) for path in sorted(images.glob('*.png'))
                 if (not drives or path.name.startswith(tuple(drives)))
                 and not path.name.startswith(tuple(leave_out))]
        chosen = f' of drives {list(drives)}' if drives else ''
        chosen += f' without drives {list(leave_out)}' if leave_out else ''
        classes = ClassMap(own_labels(Path(root), labels))
        names = classes.labels.names
        super().__init__(pairs, names, classes, f'{images}/*.png{chosen}', unlabelled_id)
        if 0 <= unlabelled_id < len(names):
            raise DatasetError(f'unlabelled_id {unlabelled_id} is the class '
                               f'{names[unlabelled_id]!r} of {root}')


class CamVid(Folders):
    """CamVid in SegNet's form: its 11 classes, 11 = unlabelled; arguments as `Folders`."""

    def __init__(self, root: str | Path, split: str, labels: str | Path = 'camvid',
                 unlabelled_id: int = 11, drives: Sequence[str] = (),
                 leave_out: Sequence[str] = ()) -> None:
        super().__init__(root, split, labels, unlabelled_id, drives, leave_out)
