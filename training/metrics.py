"""
What masks are judged by beside the IoU, each streamed: one pass, memory that does not grow.

torchmetrics' Hausdorff distance keeps a table of all pairs of pixels (gigabytes for a frame of
480x360) and misplaces distances where height and width differ, and its average precision keeps
every mask; so the distances here are OpenCV's, and only numbers are kept.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import cv2
import numpy as np

from roadseg_ros.labels import UNLABELLED
from roadseg_ros.metrics import ConfusionMatrix, rounded
from training.instances import Instances

Result = dict[str, np.ndarray]


class Metric(ABC):
    """
    A measure by class.

    :param num_classes: number of classes C.
    """

    def __init__(self, num_classes: int) -> None:
        self.num_classes = num_classes

    @abstractmethod
    def update(self, truth: np.ndarray, prediction: np.ndarray, confidence: np.ndarray) -> None:
        """
        Add a mask.

        :param truth: (H, W) uint8 ids, 255 = unlabelled.
        :param prediction: (H, W) uint8 ids, 255 = unlabelled; also where the truth is.
        :param confidence: (H, W) uint8, 255 = sure.
        """

    @abstractmethod
    def result(self) -> Result:
        """Return its values by name, (C,) float64 each; nan where there is nothing to judge."""


class _MeanOfFrames(Metric):
    """The mean over the frames that have a value for a class."""

    names: tuple[str, ...]

    def __init__(self, num_classes: int) -> None:
        super().__init__(num_classes)
        self.sums = np.zeros((len(self.names), num_classes))
        self.counts = np.zeros(num_classes, np.int64)

    def add(self, index: int, values: Sequence[float]) -> None:
        """Add a frame's values for a class."""
        self.sums[:, index] += values
        self.counts[index] += 1

    def result(self) -> Result:
        """Return the means."""
        counts = np.where(self.counts, self.counts, np.nan)
        return dict(zip(self.names, self.sums / counts))


class Pixels(Metric):
    """Precision, recall and F1 of pixels."""

    def __init__(self, num_classes: int) -> None:
        super().__init__(num_classes)
        self.confusion = ConfusionMatrix(num_classes)

    def update(self, truth: np.ndarray, prediction: np.ndarray, confidence: np.ndarray) -> None:
        """Add a mask."""
        self.confusion.update(truth, prediction)

    def result(self) -> Result:
        """Return the shares, over all pixels together."""
        return {'precision': self.confusion.precision(), 'recall': self.confusion.recall(),
                'f1': self.confusion.f1()}


class Baseline(_MeanOfFrames):
    """Mean share of a frame that is a class: the IoU of saying that class everywhere."""

    names = ('baseline',)

    def update(self, truth: np.ndarray, prediction: np.ndarray, confidence: np.ndarray) -> None:
        """Add a mask; one without labels has no share."""
        counts = np.bincount(truth[truth != UNLABELLED], minlength=self.num_classes)
        if counts.any():
            for index, count in enumerate(counts):
                self.add(index, [count / counts.sum()])


class BoundaryF1(_MeanOfFrames):
    """
    F1 of borders within a tolerance (Csurka et al., 2013), the mean over frames.

    Borders lie between labelled pixels of two classes; the frame's edge is none. A border that
    only one of the two masks has scores 0.

    :param tolerance: as a share of the frame's diagonal.
    """

    names = ('boundary_f1',)

    def __init__(self, num_classes: int, tolerance: float = 0.0075) -> None:
        super().__init__(num_classes)
        self.tolerance = tolerance

    def update(self, truth: np.ndarray, prediction: np.ndarray, confidence: np.ndarray) -> None:
        """Add a mask."""
        tolerance = self.tolerance * np.hypot(*truth.shape)
        labelled = truth != UNLABELLED
        for index, inside, found in _classes(truth, prediction):
            borders = _border(inside, labelled & ~inside), _border(found, labelled & ~found)
            if any(border.any() for border in borders):
                near = [(distances <= tolerance).mean() if distances.size else 0.0
                        for distances in _distances(*borders)]
                self.add(index, [2 * near[0] * near[1] / (sum(near) or 1.0)])


class Hausdorff(_MeanOfFrames):
    """
    Hausdorff distance of the outlines of a class and its 95th percentile, the mean over frames.

    In pixels; lower is better. Outlines run along the frame's edge too. A class that only one
    of the two masks has is as far off as the frame's diagonal is long.
    """

    names = ('hausdorff', 'hausdorff_95')

    def update(self, truth: np.ndarray, prediction: np.ndarray, confidence: np.ndarray) -> None:
        """Add a mask."""
        for index, inside, found in _classes(truth, prediction):
            if inside.any() and found.any():
                sides = list(_distances(_border(inside, ~inside, edge=True),
                                        _border(found, ~found, edge=True)))
                self.add(index, [max(side.max() for side in sides),
                                 max(float(np.percentile(side, 95)) for side in sides)])
            else:
                self.add(index, [float(np.hypot(*truth.shape))] * 2)


class InstancePrecision(Metric):
    """
    Average precision, precision and recall of connected regions taken as things.

    Memory: two numbers for each region found.
    """

    def __init__(self, num_classes: int) -> None:
        super().__init__(num_classes)
        self.instances = [Instances() for _ in range(num_classes)]

    def update(self, truth: np.ndarray, prediction: np.ndarray, confidence: np.ndarray) -> None:
        """Add a mask."""
        for index, inside, found in _classes(truth, prediction):
            self.instances[index].update(inside, found, confidence)

    def result(self) -> Result:
        """Return `instance_ap` (the mean over IoU 0.5 to 0.95) and what holds at 0.5 and 0.75."""
        results = [instances.result() for instances in self.instances]
        return {f'instance_{name}': np.array([result[name] for result in results])
                for name in results[0]}


METRICS: dict[str, type[Metric]] = {
    'pixels': Pixels,
    'baseline': Baseline,
    'boundary_f1': BoundaryF1,
    'hausdorff': Hausdorff,
    'instances': InstancePrecision,
}


class Metrics:
    """
    Measures by name.

    :param names: in `METRICS`, or 'all'.
    :param num_classes: number of classes.
    :raises ValueError: a name is unknown; the message lists the known ones.
    """

    def __init__(self, names: Iterable[str], num_classes: int) -> None:
        names = list(names)
        unknown = [name for name in names if name not in ('all', *METRICS)]
        if unknown:
            raise ValueError(f'unknown metric {unknown[0]!r}; known: all, {", ".join(METRICS)}')
        self.metrics = [kind(num_classes) for name, kind in METRICS.items()
                        if name in names or 'all' in names]

    def update(self, truth: np.ndarray, prediction: np.ndarray, confidence: np.ndarray) -> None:
        """Add a mask, (H, W) uint8 ids, and the confidence (H, W) uint8."""
        prediction = np.where(truth == UNLABELLED, np.uint8(UNLABELLED), prediction)
        for metric in self.metrics:
            metric.update(truth, prediction, confidence)

    def summary(self, names: Sequence[str]) -> dict[str, Any]:
        """
        Return all values, ready for JSON.

        :param names: of the classes in id order.
        :return: for each value the class names' values, and `mean_VALUE` over the classes that
            have one.
        """
        summary: dict[str, Any] = {}
        for metric in self.metrics:
            for name, values in metric.result().items():
                defined = values[np.isfinite(values)]
                summary[f'mean_{name}'] = rounded(defined.mean()) if defined.size else None
                summary[name] = dict(zip(names, map(rounded, values)))
        return summary


def _classes(truth: np.ndarray, prediction: np.ndarray
             ) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Return id, (H, W) bool of the truth and of the prediction, for each class in either."""
    for index in np.union1d(truth, prediction):
        if index != UNLABELLED:
            yield int(index), truth == index, prediction == index


def _border(inside: np.ndarray, outside: np.ndarray, edge: bool = False) -> np.ndarray:
    """Return the inner pixels that touch outer ones (or the frame's edge), (H, W) bool."""
    padded = cv2.copyMakeBorder(outside.view(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT,
                                value=int(edge))
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    touched = cv2.dilate(padded, cross)[1:-1, 1:-1]
    return inside & touched.astype(bool)


def _distances(first: np.ndarray, second: np.ndarray) -> Iterator[np.ndarray]:
    """Return each border's distances to the other, in pixels; inf where there is no other."""
    for border, other in ((first, second), (second, first)):
        if other.any():
            yield cv2.distanceTransform((~other).view(np.uint8), cv2.DIST_L2,
                                        cv2.DIST_MASK_PRECISE)[border]
        else:
            yield np.full(int(border.sum()), np.inf, np.float32)
