"""Average precision of one class's connected regions, matched by IoU as COCO matches objects."""

from __future__ import annotations

import cv2
import numpy as np

THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0, 1, 101)  # where COCO reads the precision


class Instances:
    """
    Regions of one class, streamed: of each region found, its confidence and its best IoU.

    Regions of a mask are apart from each other, so at an IoU of one half or more none fits two
    of the other mask's, and to look for the best is to match each once.
    """

    def __init__(self) -> None:
        self.confidence: list[float] = []
        self.iou: list[float] = []
        self.truths = 0

    def update(self, truth: np.ndarray, prediction: np.ndarray, confidence: np.ndarray) -> None:
        """
        Compare the regions of a frame.

        :param truth: (H, W) bool, the pixels of the class.
        :param prediction: (H, W) bool.
        :param confidence: (H, W) uint8; a region's is its mean.
        """
        true_count, true_regions = cv2.connectedComponents(truth.view(np.uint8))
        count, regions = cv2.connectedComponents(prediction.view(np.uint8))
        self.truths += true_count - 1
        joint = np.bincount((regions * true_count + true_regions).ravel(),
                            minlength=count * true_count).reshape(count, true_count)
        areas, true_areas, both = joint.sum(1)[1:], joint.sum(0)[1:], joint[1:, 1:]
        iou = both / (areas[:, None] + true_areas - both)
        sure = np.bincount(regions.ravel(), confidence.ravel(), count)[1:] / areas
        self.iou.extend(iou.max(1, initial=0))
        self.confidence.extend(sure)

    def result(self) -> dict[str, float]:
        """
        Return what the matches say.

        :return: `ap`, the mean over all thresholds; `ap_50`, `precision_50`, `recall_50` at an
            IoU of 0.5, and the same at 0.75. Nan where nothing is to be found (precision: where
            nothing was found).
        """
        order = np.argsort(-np.array(self.confidence), kind='stable')
        matched = np.array(self.iou)[order, None] >= THRESHOLDS
        precisions = [_average_precision(column, self.truths) for column in matched.T]
        result = {'ap': float(np.mean(precisions))}
        for index, name in ((0, '50'), (5, '75')):
            right = int(matched[:, index].sum())
            result[f'ap_{name}'] = precisions[index]
            result[f'precision_{name}'] = right / len(matched) if len(matched) else np.nan
            result[f'recall_{name}'] = right / self.truths if self.truths else np.nan
        return result


def _average_precision(matched: np.ndarray, truths: int) -> float:
    """
    Return the mean precision at 101 recalls, each the best at that recall or above.

    :param matched: (found,) bool, the surest first.
    :param truths: number of true regions.
    """
    if not truths:
        return float('nan')
    right = matched.cumsum()
    precision = right / np.arange(1, len(matched) + 1)
    best = np.append(np.maximum.accumulate(precision[::-1])[::-1], 0)
    return float(best[np.searchsorted(right / truths, RECALLS)].mean())
