"""Data sets by the name a recipe gives them; items are (BGR picture, mask of ids)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from training.datasets.bdd100k import Bdd100k
from training.datasets.boxes import CarBoxes
from training.datasets.cityscapes import Cityscapes
from training.datasets.coco import Coco
from training.datasets.cvat import Cvat
from training.datasets.folders import CamVid, Folders
from training.datasets.frames import DatasetError, Joined, LabelledFrames
from training.datasets.kitti import KittiRoad, KittiSemantics
from training.datasets.labelme import LabelMe
from training.datasets.pascal_voc import PascalVoc
from training.datasets.synthetic import SyntheticScenes

DATASETS: dict[str, type[LabelledFrames]] = {
    'camvid': CamVid,
    'folders': Folders,
    'synthetic': SyntheticScenes,
    'bdd100k': Bdd100k,
    'car_boxes': CarBoxes,
    'cityscapes': Cityscapes,
    'coco': Coco,
    'cvat': Cvat,
    'kitti_road': KittiRoad,
    'kitti_semantics': KittiSemantics,
    'labelme': LabelMe,
    'pascal_voc': PascalVoc,
}


def make_dataset(entries: Iterable[Mapping[str, Any]]) -> Joined:
    """
    Join the data sets a recipe lists.

    :param entries: mappings with `dataset` and that data set's arguments.
    :raises DatasetError: unknown name, arguments that do not fit, or data that is missing.
    """
    return Joined([_make_one(dict(entry)) for entry in entries])


def _make_one(entry: dict[str, Any]) -> LabelledFrames:
    """Make one data set from its mapping."""
    name = entry.pop('dataset', None)
    if name not in DATASETS:
        raise DatasetError(f'unknown dataset {name!r}; known: {", ".join(DATASETS)}')
    try:
        return DATASETS[name](**entry)
    except (TypeError, DatasetError) as error:
        raise DatasetError(f'dataset {name}: {error}') from error
