"""KITTI's benchmarks of road and of semantic segmentation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from training.datasets.cityscapes import LABEL_IDS
from training.datasets.class_map import Classes, ClassMap
from training.datasets.frames import DatasetError
from training.datasets.paired import ColorMasks, IdMasks
from training.datasets.parts import choose, SHARES

# RGB as the benchmark's devkit reads them: red is what counts, blue in it is road
ROAD_COLORS = {'background': (255, 0, 0), 'road': (255, 0, 255)}
NOT_COUNTED = (0, 0, 0)


class KittiRoad(ColorMasks):
    """
    The training pictures of KITTI Road, whose truth is public: background and road.

    :param root: folder that holds `training`.
    :param truth: 'road', or 'lane' for the car's own lane, which only `um` pictures have.
    :param part: draw 'train', 'val' or 'test' of them (default: all).
    :param shares: of these parts.
    :param seed: of the draw.
    :param samples: take so many of the part (default: all).
    :raises DatasetError: nothing found, a picture without its truth, or an argument that does
        not fit.
    """

    def __init__(self, root: str | Path, truth: str = 'road', part: str | None = None,
                 shares: Sequence[float] = SHARES, seed: int = 0,
                 samples: int | None = None) -> None:
        if truth not in ('road', 'lane'):
            raise DatasetError(f'truth must be road or lane, not {truth!r}')
        images = Path(root) / 'training' / 'image_2'
        pairs = []
        for image in sorted(images.glob('um_*.png' if truth == 'lane' else 'u*_*.png')):
            kind, _, number = image.name.partition('_')
            mask = images.with_name('gt_image_2') / f'{kind}_{truth}_{number}'
            pairs.append((image, mask))
        super().__init__(
            choose(pairs, part, shares, seed, samples, lambda pair: pair[0].name),
            list(ROAD_COLORS), list(ROAD_COLORS.values()),
            ClassMap('kitti_road', names=ROAD_COLORS), f'{images}/u*_*.png', [NOT_COUNTED])


class KittiSemantics(IdMasks):
    """
    The 200 training pictures of KITTI's semantic segmentation, in Cityscapes' labelIds.

    :param root: folder that holds `training`.
    :param labels: label space to map to, a name or a YAML file.
    :param classes: the names in `cityscapes.LABEL_IDS` that each class takes (default: its own).
    :param rest: the class of all other ids (default: unlabelled).
    :param part: draw 'train', 'val' or 'test' of them (default: all).
    :param shares: of these parts.
    :param seed: of the draw.
    :param samples: take so many of the part (default: all).
    :raises DatasetError: nothing found, a picture without its mask, or an argument that does
        not fit.
    :raises LabelSpaceError: the label space cannot be read.
    """

    def __init__(self, root: str | Path, labels: str | Path = 'cityscapes',
                 classes: Classes | None = None, rest: str | None = None,
                 part: str | None = None, shares: Sequence[float] = SHARES, seed: int = 0,
                 samples: int | None = None) -> None:
        images = Path(root) / 'training' / 'image_2'
        masks = images.with_name('semantic')
        pairs = [(path, masks / path.name) for path in sorted(images.glob('*.png'))]
        super().__init__(choose(pairs, part, shares, seed, samples, lambda pair: pair[0].name),
                         LABEL_IDS, ClassMap(labels, classes, rest, LABEL_IDS),
                         f'{images}/*.png')
