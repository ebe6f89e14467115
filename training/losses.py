"""Losses and the class weights they use."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, interpolate

from roadseg_ros.labels import UNLABELLED


def segmentation_cross_entropy(scores: Tensor, mask: Tensor, weights: Tensor | None) -> Tensor:
    """
    Cross entropy at the size of the mask.

    :param scores: (N, C, h, w) logits; scaled up bilinearly, as the segmenter does.
    :param mask: (N, H, W) int64 ids, 255 = unlabelled.
    :param weights: (C,) float32 weight of each class, or None.
    :return: scalar.
    """
    scores = interpolate(scores, size=mask.shape[-2:], mode='bilinear', align_corners=False)
    return cross_entropy(scores.float(), mask, weight=weights, ignore_index=UNLABELLED)


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


CLASS_WEIGHTS = {'sqrt_median_frequency': sqrt_median_frequency}
