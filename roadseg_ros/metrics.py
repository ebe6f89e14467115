"""Accuracy and steadiness of masks: the confusion matrix and what is read off it."""

from __future__ import annotations

from collections.abc import Sequence
import math
from typing import Any

import cv2
import numpy as np

from roadseg_ros.labels import UNLABELLED


class ConfusionMatrix:
    """
    Counts of (true, predicted) pixels, streamed, so a data set of any size fits.

    True pixels that are unlabelled do not count; predicted ones that are unlabelled count
    as wrong.

    :param num_classes: number of classes C.
    """

    def __init__(self, num_classes: int) -> None:
        self.matrix = np.zeros((num_classes, num_classes + 1), np.int64)

    def update(self, truth: np.ndarray, prediction: np.ndarray) -> None:
        """
        Add a mask.

        :param truth: (H, W) uint8 ids, 255 = unlabelled.
        :param prediction: (H, W) uint8 ids, 255 = unlabelled.
        :raises ValueError: sizes differ, or an id lies outside the label space.
        """
        if truth.shape != prediction.shape:
            raise ValueError(f'truth is {truth.shape}, prediction {prediction.shape}')
        classes = len(self.matrix)
        labelled = truth != UNLABELLED
        rows, columns = truth[labelled], prediction[labelled]
        for ids in (rows, columns):
            unknown = ids[(ids >= classes) & (ids != UNLABELLED)]
            if unknown.size:
                raise ValueError(f'ids must lie in 0..{classes - 1} or be {UNLABELLED}; '
                                 f'found {unknown.max()}')
        columns = np.where(columns == UNLABELLED, classes, columns)
        index = rows.astype(np.int64) * (classes + 1) + columns
        self.matrix += np.bincount(index, minlength=self.matrix.size).reshape(self.matrix.shape)

    def iou(self) -> np.ndarray:
        """Return intersection over union per class, (C,) float64; nan for absent classes."""
        return _share(self._right(), self._true() + self._predicted() - self._right())

    def precision(self) -> np.ndarray:
        """Return the share of what is said to be a class that is, (C,); nan where never said."""
        return _share(self._right(), self._predicted())

    def recall(self) -> np.ndarray:
        """Return the share of a class that is said to be it, (C,); nan for absent classes."""
        return _share(self._right(), self._true())

    def f1(self) -> np.ndarray:
        """Return the harmonic mean of precision and recall, (C,); nan for absent classes."""
        return _share(2 * self._right(), self._true() + self._predicted())

    def share(self) -> np.ndarray:
        """
        Return the share of the labelled pixels that are of each class, (C,) float64.

        It is the IoU that saying that class everywhere would reach.
        """
        return _share(self._true(), np.full(len(self.matrix), self.matrix.sum()))

    def mean_iou(self) -> float:
        """Return the mean IoU over the classes that occur; nan when none does."""
        iou = self.iou()
        return float(np.nanmean(iou)) if np.isfinite(iou).any() else float('nan')

    def frequency_weighted_iou(self) -> float:
        """Return the mean IoU with classes weighing what they cover; nan when none occurs."""
        iou, share = self.iou(), self.share()
        return float(np.nansum(iou * share)) if self.matrix.any() else float('nan')

    def pixel_accuracy(self) -> float:
        """Return the share of labelled pixels that are right; nan when there are none."""
        total = self.matrix.sum()
        return float(self._right().sum() / total) if total else float('nan')

    def summary(self, names: Sequence[str]) -> dict[str, Any]:
        """
        Return what the counts say, ready for JSON.

        :param names: of the classes in id order.
        :return: `mean_iou`, `pixel_accuracy` and `iou` by class name, rounded to four decimals;
            None where nothing occurred.
        """
        return {'mean_iou': rounded(self.mean_iou()),
                'pixel_accuracy': rounded(self.pixel_accuracy()),
                'iou': dict(zip(names, map(rounded, self.iou())))}

    def _right(self) -> np.ndarray:
        """Return the pixels of each class that are said to be it, (C,) int64."""
        return np.diag(self.matrix[:, :-1])

    def _true(self) -> np.ndarray:
        """Return the pixels of each class, (C,) int64."""
        return self.matrix.sum(1)

    def _predicted(self) -> np.ndarray:
        """Return the labelled pixels said to be of each class, (C,) int64."""
        return self.matrix[:, :-1].sum(0)


def origins_between(before: np.ndarray, now: np.ndarray) -> np.ndarray:
    """
    Return where each pixel was a frame ago, by a slower flow than any that masks are made with.

    :param before: (H, W, 3) uint8 BGR.
    :param now: the next frame, of the same size.
    :return: (H, W, 2) float32, x and y.
    """
    estimator = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    grey_before, grey_now = (cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY) for frame in (before, now))
    unknown: Any = None  # OpenCV's stubs ask for a first guess, OpenCV does not
    flow = estimator.calc(grey_now, grey_before, unknown)
    rows, columns = np.mgrid[:now.shape[0], :now.shape[1]].astype(np.float32)
    return flow + np.dstack((columns, rows))


def add_consistency(confusion: ConfusionMatrix, masks: Sequence[np.ndarray],
                    origins: Sequence[np.ndarray]) -> None:
    """
    Count each mask against the one before carried along the flow (Varghese et al., 2020).

    Its mean IoU is the temporal consistency, over all frames together. Pixels that come from
    outside the picture do not count.

    :param confusion: to add to.
    :param masks: (H, W) uint8 ids each, of consecutive frames.
    :param origins: of `origins_between`, one fewer.
    """
    unused: Any = None
    for before, now, came_from in zip(masks, masks[1:], origins):
        carried = cv2.remap(before, came_from, unused, cv2.INTER_NEAREST,
                            borderMode=cv2.BORDER_CONSTANT, borderValue=UNLABELLED)
        confusion.update(carried, now)


def rounded(value: float) -> float | None:
    """Return a number JSON can hold: four decimals, None for nan."""
    return None if math.isnan(value) else round(float(value), 4)


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Return part / whole, (C,) float64; nan where the whole is nothing."""
    result = np.full(len(whole), np.nan)
    np.divide(part, whole, out=result, where=whole > 0)
    return result
