"""The loss of a recipe: losses by name, their weighted sum at the size of the mask."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
import inspect
from typing import Any

import numpy as np
import torch
from torch import nn, Tensor
from torch.nn.functional import interpolate

from roadseg_ros.labels import UNLABELLED
from training.checks import number, whole
from training.losses.borders import BorderCrossEntropy, Boundary, DistancePenalised, Hausdorff
from training.losses.class_weights import CLASS_WEIGHTS
from training.losses.pixels import CrossEntropy, Focal, IouBalanced, Ohem, TopK
from training.losses.regions import Dice, Iou, LovaszSoftmax, SensitivitySpecificity, Tversky

LOSSES: dict[str, type[nn.Module]] = {
    'cross_entropy': CrossEntropy,
    'border_cross_entropy': BorderCrossEntropy,
    'focal': Focal,
    'dice': Dice,
    'tversky': Tversky,
    'iou': Iou,
    'lovasz_softmax': LovaszSoftmax,
    'boundary': Boundary,
    'hausdorff': Hausdorff,
    'top_k': TopK,
    'ohem': Ohem,
    'iou_balanced': IouBalanced,
    'sensitivity_specificity': SensitivitySpecificity,
    'distance_penalised': DistancePenalised,
}


class CombinedLoss(nn.Module):
    """
    A weighted sum of losses.

    :param losses: of scores and mask of one size.
    :param weights: one for each.
    """

    def __init__(self, losses: Sequence[nn.Module], weights: Sequence[float]) -> None:
        super().__init__()
        self.losses, self.weights = nn.ModuleList(losses), tuple(weights)

    def forward(self, scores: Tensor, mask: Tensor) -> Tensor:
        """
        Return the loss of a batch, computed in float32 also under autocast.

        :param scores: (N, C, h, w) logits; scaled up bilinearly, as the segmenter does.
        :param mask: (N, H, W) int64 ids, 255 = unlabelled.
        :return: scalar; 0 where nothing is labelled.
        """
        with torch.autocast(scores.device.type, enabled=False):
            scores = interpolate(scores.float(), size=mask.shape[-2:], mode='bilinear',
                                 align_corners=False)
            total = scores.sum() * 0  # a gradient for every weight, whatever is labelled
            if (mask != UNLABELLED).any():
                for weight, loss in zip(self.weights, self.losses):
                    total = total + weight * loss(scores, mask)
            return total


def make_loss(entries: Iterable[Mapping[str, Any]], num_classes: int,
              masks: Callable[[], Iterable[np.ndarray]]) -> CombinedLoss:
    """
    Build the loss that a recipe lists.

    :param entries: mappings with `loss` (a name in `LOSSES`), that loss's arguments, and `weight`
        (default 1). `class_weights` is a name in `CLASS_WEIGHTS` or a number for each class.
    :param num_classes: number of classes C.
    :param masks: returns the training masks, (H, W) uint8 ids; called once for each name in
        `CLASS_WEIGHTS` that occurs.
    :return: takes scores (N, C, h, w) and a mask (N, H, W) int64; returns a scalar.
    :raises ValueError: a name is unknown or an argument does not fit; the message says which.
    """
    @cache
    def by_name(name: str) -> Tensor:
        return CLASS_WEIGHTS[name](masks(), num_classes)

    losses, weights = [], []
    for entry in entries:
        arguments = dict(entry)
        name = arguments.pop('loss', None)
        if name not in LOSSES:
            raise ValueError(f'unknown loss {name!r}; known: {", ".join(LOSSES)}')
        try:
            weights.append(_checked_weight(arguments.pop('weight', 1.0)))
            losses.append(_make_one(LOSSES[name], arguments, num_classes, by_name))
        except ValueError as error:
            raise ValueError(f'loss {name}: {error}') from error
    if not losses:
        raise ValueError('a recipe needs at least one loss')
    return CombinedLoss(losses, weights)


def _make_one(kind: type[nn.Module], arguments: dict[str, Any], num_classes: int,
              by_name: Callable[[str], Tensor]) -> nn.Module:
    """Make one loss from its arguments."""
    known = inspect.signature(kind).parameters
    for name in arguments:
        if name not in known:
            raise ValueError(f'unknown argument {name!r}; known: '
                             f'{", ".join(["weight", *known])}')
    if arguments.get('classes') is not None:
        _check_classes(arguments['classes'], num_classes)
    if arguments.get('class_weights') is not None:
        arguments['class_weights'] = _class_weights(arguments['class_weights'], num_classes,
                                                    by_name)
    return kind(**arguments)


def _checked_weight(weight: Any) -> float:
    """Return the weight of a loss."""
    check = number(0)
    if not check.fits(weight):
        raise ValueError(f'weight must be {check.wanted}, not {weight!r}')
    return float(weight)


def _check_classes(classes: Any, num_classes: int) -> None:
    """Refuse what is no list of ids."""
    check = whole(0)
    if (not isinstance(classes, (list, tuple)) or not classes
            or not all(check.fits(index) and index < num_classes for index in classes)):
        raise ValueError(f'classes must be a list of ids in 0..{num_classes - 1}, '
                         f'not {classes!r}')


def _class_weights(values: Any, num_classes: int, by_name: Callable[[str], Tensor]) -> Tensor:
    """Return (C,) float32 from a name or a list of numbers."""
    if isinstance(values, str):
        if values not in CLASS_WEIGHTS:
            raise ValueError(f'unknown class_weights {values!r}; known: '
                             f'{", ".join(CLASS_WEIGHTS)}')
        return by_name(values)
    check = number(0)
    if (not isinstance(values, (list, tuple)) or len(values) != num_classes
            or not all(map(check.fits, values))):
        raise ValueError(f'class_weights must be a name ({", ".join(CLASS_WEIGHTS)}) or '
                         f'{num_classes} numbers from 0, not {values!r}')
    return torch.tensor(values, dtype=torch.float32)
