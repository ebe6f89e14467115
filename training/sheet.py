"""The best and the worst pictures of a run, side by side with what was made of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from roadseg_ros.labels import LabelSpace, UNLABELLED
from roadseg_ros.overlay import blend, legend

TILE_WIDTH = 320  # pixels
BANNER = 22  # pixels above each row
ALPHA = 0.6
WRONG = (0, 0, 255)  # BGR


@dataclass(frozen=True)
class Sample:
    """
    A picture and what was made of it.

    :param name: says which one it is.
    :param image: (H, W, 3) uint8 BGR.
    :param truth: (H, W) uint8 ids, 255 = unlabelled.
    :param prediction: (H, W) uint8 ids, 255 = unlabelled.
    :param score: such as the frame's mean IoU; higher is better.
    """

    name: str
    image: np.ndarray
    truth: np.ndarray
    prediction: np.ndarray
    score: float


class BestAndWorst:
    """
    Keep the samples with the highest and the lowest scores, of any number that come by.

    :param count: how many of either.
    """

    def __init__(self, count: int = 4) -> None:
        self.count = count
        self._sorted: list[Sample] = []  # the best first; equal ones in the order they came

    def add(self, sample: Sample) -> None:
        """Look at a sample; one without a score (nan) is passed by."""
        if np.isnan(sample.score):
            return
        self._sorted.append(sample)
        self._sorted.sort(key=lambda kept: -kept.score)
        if len(self._sorted) > 2 * self.count:
            del self._sorted[self.count]

    def samples(self) -> tuple[Sample, ...]:
        """Return those kept, the best first."""
        return tuple(self._sorted)


def draw_sheet(samples: Sequence[Sample], labels: LabelSpace) -> np.ndarray:
    """
    Draw a row for each sample: picture, truth, prediction, where wrong (red), and a legend.

    :param samples: in the order of the rows, at least one.
    :param labels: the label space.
    :return: (height, 4 * 320, 3) uint8 BGR.
    """
    bgr = np.ascontiguousarray(labels.color_table[:, ::-1])
    rows = [_row(sample, bgr) for sample in samples]
    key = cv2.cvtColor(legend(labels), cv2.COLOR_RGB2BGR)
    rows.append(cv2.copyMakeBorder(key, 8, 8, 0, 4 * TILE_WIDTH - key.shape[1],
                                   cv2.BORDER_CONSTANT, value=(255, 255, 255)))
    return np.vstack(rows)


def _row(sample: Sample, bgr: np.ndarray) -> np.ndarray:
    """Return a sample's four tiles below a line of text."""
    height, width = sample.image.shape[:2]
    size = TILE_WIDTH, max(1, round(height * TILE_WIDTH / width))
    image = cv2.resize(sample.image, size, interpolation=cv2.INTER_AREA)
    truth, prediction = (cv2.resize(ids, size, interpolation=cv2.INTER_NEAREST)
                         for ids in (sample.truth, sample.prediction))
    tiles = [image, blend(image, truth, bgr, ALPHA), blend(image, prediction, bgr, ALPHA),
             _errors(image, truth, prediction)]
    banner = np.full((BANNER, 4 * TILE_WIDTH, 3), 255, np.uint8)
    cv2.putText(banner, f'{sample.score:.3f}  {sample.name}', (6, BANNER - 7),
                cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 0, 0), 1, cv2.LINE_AA)
    return np.vstack((banner, np.hstack(tiles)))


def _errors(image: np.ndarray, truth: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """Return the picture in grey, red where wrong and black where unlabelled."""
    result = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    result[truth != prediction] = WRONG
    result[truth == UNLABELLED] = 0
    return result
