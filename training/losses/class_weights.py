"""How much each class weighs, read off the training masks."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import torch
from torch import Tensor


def sqrt_median_frequency(masks: Iterable[np.ndarray], num_classes: int) -> Tensor:
    """
    Square root of median-frequency weights, a milder form of Eigen and Fergus (2015).

    Their frequency of a class counts only the pictures that hold it; this one counts all
    pictures, so classes that are in few of them weigh more here.

    :param masks: (H, W) uint8 ids.
    :param num_classes: number of classes C.
    :return: (C,) float32; classes that never occur get 1.
    """
    counts = np.zeros(256, np.float64)
    for mask in masks:
        counts += np.bincount(mask.ravel(), minlength=256)
    counts = counts[:num_classes]
    present = counts > 0
    weights = np.ones(num_classes)
    weights[present] = np.sqrt(np.median(counts[present]) / counts[present])
    return torch.tensor(weights, dtype=torch.float32)


CLASS_WEIGHTS: dict[str, Callable[[Iterable[np.ndarray], int], Tensor]] = {
    'sqrt_median_frequency': sqrt_median_frequency}
