"""Udacity's annotated drives as CrowdAI boxed them, with boxes drawn as masks."""

from __future__ import annotations

from collections.abc import Sequence
import csv
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image

from roadseg_ros.labels import load_label_space
from training.datasets.frames import DatasetError
from training.datasets.paired import PairedFiles
from training.datasets.parts import choose, SHARES

COLUMNS = 6
DRAWN = ('Car', 'Truck')
KNOWN = (*DRAWN, 'Pedestrian')
STRETCHES = 40


class Box(NamedTuple):
    """A box in pixels, its right and lower edge not in it."""

    left: int
    top: int
    right: int
    bottom: int


class CarBoxes(PairedFiles):
    """
    Frames that `labels.csv` names; boxes of cars and trucks are the class car.

    :param root: folder that holds `labels.csv` and the frames.
    :param min_box_pixels: drop boxes of a smaller area, in pixels of the frame as filed.
    :param divide: make picture and mask so many times smaller.
    :param part: draw 'train', 'val' or 'test' of the frames (default: all), by stretches of a
        fortieth of the drive: a frame's neighbours show the same cars.
    :param shares: of these parts.
    :param seed: of the draw.
    :param samples: take so many of the part (default: all).
    :raises DatasetError: nothing found, a missing frame, a line that is no box, or an argument
        that does not fit.
    """

    def __init__(self, root: str | Path, min_box_pixels: int = 0, divide: int = 1,
                 part: str | None = None, shares: Sequence[float] = SHARES, seed: int = 0,
                 samples: int | None = None) -> None:
        for name, value, low in (('min_box_pixels', min_box_pixels, 0), ('divide', divide, 1)):
            if type(value) is not int or value < low:
                raise DatasetError(f'{name} must be a whole number from {low}, not {value!r}')
        path = Path(root) / 'labels.csv'
        boxes = read_boxes(path)
        names = choose(sorted(boxes), part, shares, seed, samples,
                       _stretches(sorted(boxes)).__getitem__)
        super().__init__([(path.with_name(name), path) for name in names],
                         load_label_space('car'), f'named in {path}')
        self.boxes = [[box for box in boxes[name] if _area(box) >= min_box_pixels]
                      for name in names]
        self.divide = divide

    def image(self, index: int) -> np.ndarray:
        """Return the (H, W, 3) uint8 BGR picture, made smaller."""
        image = super().image(index)
        return cv2.resize(image, self._smaller(image.shape[:2]), interpolation=cv2.INTER_AREA)

    def mask(self, index: int) -> np.ndarray:
        """Return the (H, W) uint8 mask, 0 or 1, made smaller."""
        try:
            with Image.open(self.images[index]) as header:  # reads no pixels
                width, height = header.size
        except OSError as error:
            raise DatasetError(f'cannot read {self.images[index]}') from error
        mask = np.zeros((height, width), np.uint8)
        for box in self.boxes[index]:
            mask[max(box.top, 0):max(box.bottom, 0), max(box.left, 0):max(box.right, 0)] = 1
        return cv2.resize(mask, self._smaller(mask.shape), interpolation=cv2.INTER_NEAREST_EXACT)

    def _smaller(self, size: Sequence[int]) -> tuple[int, int]:
        """Return the (width, height) to make of a (height, width)."""
        return max(size[1] // self.divide, 1), max(size[0] // self.divide, 1)


def read_boxes(path: Path) -> dict[str, list[Box]]:
    """
    Read the boxes of cars and trucks.

    The header of CrowdAI's file says xmin, xmax, ymin, ymax, yet its columns hold xmin, ymin,
    xmax, ymax, as its description says; so they are read by their place.

    :param path: CSV of these four, the frame's file name and its label: Car, Truck, Pedestrian.
    :return: boxes by file name; frames that have other labels alone have none.
    :raises DatasetError: no such file, a line that is no box (the message names it), or columns
        in another order.
    """
    boxes: dict[str, list[Box]] = {}
    count = crossed = 0
    try:
        with path.open(newline='') as file:
            rows = csv.reader(file)
            next(rows, None)
            for row in filter(None, rows):
                box, frame, label = _parse(row, f'{path} line {rows.line_num}')
                count, crossed = count + 1, crossed + (box != _upright(box))
                boxes.setdefault(frame, []).extend([_upright(box)] if label in DRAWN else [])
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f'cannot read {path}: {error}') from error
    # now and then a box may be drawn from its other corner, but not most of them
    if 2 * crossed > count:
        raise DatasetError(f'{path}: {crossed} of {count} boxes end before they begin; the '
                           'columns must hold xmin,ymin,xmax,ymax,frame,label')
    return boxes


def _stretches(names: Sequence[str]) -> dict[str, str]:
    """Return the stretch of the drive that each frame is in; names are in order of time."""
    return {name: str(index * STRETCHES // len(names)) for index, name in enumerate(names)}


def _parse(row: Sequence[str], where: str) -> tuple[Box, str, str]:
    """Return the box, the frame and the label of a line."""
    try:
        box = Box(*map(int, row[:4]))
        frame, label = row[4:COLUMNS]
    except (TypeError, ValueError) as error:
        raise DatasetError(f'{where} is not xmin,ymin,xmax,ymax,frame,label: '
                           f'{",".join(row)}') from error
    if label not in KNOWN:
        raise DatasetError(f'{where}: unknown label {label!r}; known: {", ".join(KNOWN)}')
    return box, frame, label


def _upright(box: Box) -> Box:
    """Return a box with its upper left corner first."""
    return Box(min(box.left, box.right), min(box.top, box.bottom),
               max(box.left, box.right), max(box.top, box.bottom))


def _area(box: Box) -> int:
    """Return the area in pixels."""
    return (box.right - box.left) * (box.bottom - box.top)
