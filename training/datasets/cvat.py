"""What CVAT exports as `Segmentation mask 1.1`."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from roadseg_ros.labels import UNLABELLED
from training.datasets.class_map import Classes, ClassMap
from training.datasets.frames import DatasetError
from training.datasets.paired import ColorMasks, own_labels, read_names
from training.datasets.pascal_voc import listed

Color = tuple[int, int, int]
BACKGROUND = 'background'  # CVAT's own name of what nobody drew on


class Cvat(ColorMasks):
    """
    Pictures and colour masks of a task or project, exported with its images.

    :param root: the unpacked export: `labelmap.txt`, `JPEGImages`, `SegmentationClass` and
        `ImageSets`.
    :param split: name of a list in `ImageSets/Segmentation`.
    :param labels: label space to map to, a name or a YAML file (default: `root/labels.yaml`).
    :param classes: the names in `labelmap.txt` that each class takes (default: its own).
    :param rest: the class of all other names, such as CVAT's background (default: unlabelled).
    :raises DatasetError: nothing found, a picture without its mask, or an argument that does
        not fit.
    :raises LabelSpaceError: the label space cannot be read.
    """

    # people drew on the picture as CVAT shows it, the way its EXIF turns it
    picture_flags = cv2.IMREAD_COLOR
    masks_may_lack = True

    def __init__(self, root: str | Path, split: str = 'default',
                 labels: str | Path | None = None, classes: Classes | None = None,
                 rest: str | None = None) -> None:
        root = Path(root)
        colors = read_label_map(root / 'labelmap.txt')
        pairs, wanted = listed(root, split)
        target = ClassMap(own_labels(root, labels), classes, rest, colors)
        super().__init__(pairs, list(colors), list(colors.values()), target, wanted)

    def mask(self, index: int) -> np.ndarray:
        """Return the (H, W) uint8 ids; CVAT lists frames without a shape and writes no mask."""
        if self.masks[index].is_file():
            return super().mask(index)
        background = self.names.index(BACKGROUND) if BACKGROUND in self.names else UNLABELLED
        return np.full(self.image(index).shape[:2], self._table[background], np.uint8)


def read_label_map(path: Path) -> dict[str, Color]:
    """
    Read the colours of a label map.

    :param path: lines of `name:red,green,blue:parts:actions`; `#` begins a comment.
    :return: RGB by name, in the order of the file.
    :raises DatasetError: the file is missing, a line does not read so, or two names share a
        colour or are the same.
    """
    colors: dict[str, Color] = {}
    for line in read_names(path):
        if line.startswith('#'):
            continue
        name, _, text = line.partition(':')
        try:
            red, green, blue = map(int, text.partition(':')[0].split(','))
        except ValueError as error:
            raise DatasetError(f'{path}: {line!r} is not name:red,green,blue::') from error
        if name in colors or (red, green, blue) in colors.values():
            raise DatasetError(f'{path}: the name or the colour of {line!r} stands twice')
        colors[name] = red, green, blue
    return colors
