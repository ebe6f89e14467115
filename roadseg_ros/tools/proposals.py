"""Pictures with proposed masks, as LabelMe and CVAT open them and as training reads them."""

from __future__ import annotations

from collections.abc import Iterator
import json
from pathlib import Path

import cv2
import numpy as np
import yaml

from roadseg_ros.labels import LabelSpace, UNLABELLED
from roadseg_ros.tools.picture_files import encode, write_whole

Color = tuple[int, int, int]
PICTURES, MASKS, LIST = 'JPEGImages', 'SegmentationClass', 'ImageSets/Segmentation/default.txt'
BACKGROUND, BLACK = 'background', (0, 0, 0)  # CVAT's own name of what has no class
IGNORED = '__ignore__'  # LabelMe's
SMALLEST = 1e-4  # of the picture: regions below are left to what lies around them
TOLERANCE = 1.0  # pixels by which a polygon may leave the border it follows


class Proposals:
    """
    A folder to correct labels in.

    `JPEGImages` holds pictures, each with LabelMe's JSON beside it: polygons within about two
    pixels of the mask's borders, large regions first, the small ones drawn over them. The same
    pictures with `SegmentationClass`, `labelmap.txt` and `ImageSets` are CVAT's `Segmentation
    mask 1.1`, exact. `labels.yaml` is the label space, for training; `labels.txt` and
    `labels.json` are the same for the two programs.

    :param folder: exists.
    :param labels: of the masks.
    """

    def __init__(self, folder: Path, labels: LabelSpace) -> None:
        self._folder, self._labels = folder, labels
        self._colors = mask_colors(labels)
        self._names: list[str] = []

    def write_labels(self) -> None:
        """Write what is of no single picture."""
        self._folder.joinpath('labels.yaml').write_text(
            yaml.safe_dump(self._labels.to_json(), sort_keys=False, default_flow_style=None,
                           allow_unicode=True), encoding='utf-8')
        lines = ['# label:color_rgb:parts:actions']
        if BACKGROUND not in self._labels.names:
            lines.append(f'{BACKGROUND}:0,0,0::')
        lines += [f'{name}:{",".join(map(str, color))}::'
                  for name, color in zip(self._labels.names, self._colors)]
        self._folder.joinpath('labelmap.txt').write_text('\n'.join(lines) + '\n',
                                                         encoding='utf-8')
        # LabelMe's `--labels`: a name a line
        self._folder.joinpath('labels.txt').write_text(
            '\n'.join([IGNORED, *self._labels.names, '']), encoding='utf-8')
        # the tab "Raw" of CVAT's label constructor, which refuses a label without attributes
        self._folder.joinpath('labels.json').write_text(json.dumps(
            [{'name': name, 'color': f'#{bytes(color).hex()}', 'attributes': []}
             for name, color in zip(self._labels.names, self._colors)], indent=1),
            encoding='utf-8')

    def write(self, stem: str, picture: np.ndarray, class_ids: np.ndarray) -> str:
        """
        Add a picture.

        :param stem: of the frame; folders become part of the name.
        :param picture: (H, W, 3) uint8 BGR.
        :param class_ids: (H, W) uint8, the proposed mask.
        :return: its name.
        :raises OSError: it cannot be written.
        """
        name = self._free(stem.replace('/', '_'))
        table = np.zeros((256, 3), np.uint8)
        table[:len(self._colors)] = self._colors
        write_whole(self._folder / PICTURES / f'{name}.png', encode('.png', picture))
        write_whole(self._folder / MASKS / f'{name}.png',
                    encode('.png', table[class_ids][..., ::-1]))
        document = json.dumps(labelme_document(f'{name}.png', class_ids, self._labels))
        write_whole(self._folder / PICTURES / f'{name}.json',
                    np.frombuffer(document.encode(), np.uint8))
        self._names.append(name)
        listed = '\n'.join([*self._names, ''])
        write_whole(self._folder / LIST, np.frombuffer(listed.encode(), np.uint8))
        return name

    def _free(self, name: str) -> str:
        """Return a name no picture has had."""
        again, free = 0, name
        while free in self._names:
            again += 1
            free = f'{name}_{again}'
        return free


def mask_colors(labels: LabelSpace) -> list[Color]:
    """Return a colour for each class, none twice and none black: the label space's, if it can."""
    if len({*labels.colors, BLACK}) == len(labels) + 1:
        return list(labels.colors)
    return [_voc_color(number) for number in range(1, len(labels) + 1)]


def _voc_color(number: int) -> Color:
    """Return Pascal VOC's colour of a number: its bits, spread over the channels."""
    red, green, blue = (sum((number >> (3 * bit + channel) & 1) << (7 - bit) for bit in range(3))
                        for channel in range(3))
    return red, green, blue


def labelme_document(picture: str, class_ids: np.ndarray, labels: LabelSpace) -> dict[str, object]:
    """
    Return what LabelMe saves of a mask.

    :param picture: name of the file that lies beside.
    :param class_ids: (H, W) uint8, 255 = unlabelled.
    :param labels: of the mask.
    """
    shapes: list[dict[str, object]] = [
        {'label': IGNORED if class_id == UNLABELLED else labels.names[class_id],
         'points': points, 'group_id': None, 'description': '', 'shape_type': 'polygon',
         'flags': {}}
        for class_id, points in polygons(class_ids)]
    height, width = class_ids.shape
    return {'version': '5.4.1', 'flags': {}, 'shapes': shapes, 'imagePath': picture,
            'imageData': None, 'imageHeight': height, 'imageWidth': width}


def polygons(class_ids: np.ndarray) -> list[tuple[int, list[list[float]]]]:
    """
    Return a mask as polygons without holes, to be drawn one over the other.

    A region's outline also covers what lies inside it, which is smaller and comes later.

    :param class_ids: (H, W) uint8.
    :return: class id and corners (x, y) of each region that is not too small.
    """
    found = [(cv2.contourArea(outline), class_id, outline)
             for class_id in np.unique(class_ids).tolist()
             for outline in _outlines(class_ids == class_id, SMALLEST * class_ids.size)]
    drawn = []
    for _, class_id, outline in sorted(found, key=lambda region: -region[0]):
        corners = cv2.approxPolyDP(outline, TOLERANCE, closed=True).reshape(-1, 2)
        if len(corners) >= 3:
            drawn.append((class_id, corners.astype(float).tolist()))
    return drawn


def _outlines(where: np.ndarray, smallest: float) -> Iterator[np.ndarray]:
    """Yield the outer outline (N, 1, 2) int32 of each region of a (H, W) bool mask."""
    # regions by their sides: one that meets itself at a corner only would hide what it surrounds
    count, regions, statistics, _ = cv2.connectedComponentsWithStats(
        where.astype(np.uint8), connectivity=4)
    for number in range(1, count):
        left, top, width, height, area = statistics[number].tolist()
        if area < smallest:
            continue
        cut = np.s_[top:top + height, left:left + width]
        outlines, _ = cv2.findContours((regions[cut] == number).astype(np.uint8),
                                       cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        yield outlines[0] + np.array([left, top], np.int32)
