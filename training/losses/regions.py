"""
Losses of whole classes: how well the pixels of each are covered.

All take scores (N, C, H, W) float32 and a mask (N, H, W) int64 of their size, with at least one
labelled pixel. A batch is one region: what counts is the sum over its pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import nn, Tensor
from torch.nn.functional import one_hot

from training.checks import check_fields, number
from training.losses.pixels import labelled_pixels


def _as_picture(scores: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Return the labelled pixels as one picture, (1, C, P, 1) and (1, P, 1)."""
    # so that nothing depends on how a library treats unlabelled ones
    scores, ids = labelled_pixels(scores, mask)
    return scores.T[None, :, :, None], ids[None, :, None]


class Overlap(nn.Module):
    """
    The mean over the classes that occur of one of segmentation_models.pytorch's region losses.

    :param criterion: makes the loss of a list of classes.
    :param classes: ids of the classes that count, or None for all.
    """

    def __init__(self, criterion: Callable[..., nn.Module],
                 classes: Sequence[int] | None) -> None:
        super().__init__()
        self.criterion, self.classes = criterion, classes

    def forward(self, scores: Tensor, mask: Tensor) -> Tensor:
        """Return the loss of a batch; 0 where none of the classes occurs."""
        scores, ids = _as_picture(scores, mask)
        # the library's mean counts absent classes as perfect
        present = torch.unique(ids)
        if self.classes is not None:
            present = present[torch.isin(present, present.new_tensor(self.classes))]
        if not len(present):
            return scores.sum() * 0
        return self.criterion('multiclass', classes=present)(scores, ids)


class Dice(Overlap):
    """
    1 - 2 |A and B| / (|A| + |B|) of probabilities A and truth B (Milletari et al., 2016).

    :param classes: ids of the classes that count (default: all).
    :param smooth: added to both parts of the fraction.
    """

    def __init__(self, classes: Sequence[int] | None = None, smooth: float = 0.0) -> None:
        from segmentation_models_pytorch.losses import DiceLoss

        super().__init__(partial(DiceLoss, smooth=smooth), classes)
        self.smooth = smooth
        check_fields(self, {'smooth': number(0)})


class Iou(Overlap):
    """
    1 - |A and B| / |A or B| of probabilities A and truth B, the soft Jaccard loss.

    :param classes: ids of the classes that count (default: all).
    :param smooth: added to both parts of the fraction.
    """

    def __init__(self, classes: Sequence[int] | None = None, smooth: float = 0.0) -> None:
        from segmentation_models_pytorch.losses import JaccardLoss

        super().__init__(partial(JaccardLoss, smooth=smooth), classes)
        self.smooth = smooth
        check_fields(self, {'smooth': number(0)})


class Tversky(Overlap):
    """
    As the IoU with weights on what is wrongly found and what is missed (Salehi et al., 2017).

    :param alpha: weight of what is wrongly found.
    :param beta: weight of what is missed; the same as `alpha`, 0.5 is Dice and 1 is IoU.
    :param classes: ids of the classes that count (default: all).
    :param smooth: added to both parts of the fraction.
    """

    def __init__(self, alpha: float = 0.3, beta: float = 0.7,
                 classes: Sequence[int] | None = None, smooth: float = 0.0) -> None:
        from segmentation_models_pytorch.losses import TverskyLoss

        super().__init__(partial(TverskyLoss, alpha=alpha, beta=beta, smooth=smooth), classes)
        self.alpha, self.beta, self.smooth = alpha, beta, smooth
        check_fields(self, {name: number(0) for name in ('alpha', 'beta', 'smooth')})


class LovaszSoftmax(nn.Module):
    """The convex extension of the IoU of the classes that occur (Berman et al., 2018)."""

    def __init__(self) -> None:
        from segmentation_models_pytorch.losses import LovaszLoss

        super().__init__()
        self.criterion = LovaszLoss('multiclass')

    def forward(self, scores: Tensor, mask: Tensor) -> Tensor:
        """Return the loss of a batch."""
        return self.criterion(*_as_picture(scores, mask))


class SensitivitySpecificity(nn.Module):
    """
    Squared error in and outside each class, each as its mean (Brosch et al., 2015).

    :param sensitivity: weight of the error inside; the error outside weighs the rest of 1.
    """

    def __init__(self, sensitivity: float = 0.05) -> None:
        super().__init__()
        self.sensitivity = sensitivity
        check_fields(self, {'sensitivity': number(0, 1)})

    def forward(self, scores: Tensor, mask: Tensor) -> Tensor:
        """Return the mean over all classes; an absent one has no error inside."""
        scores, ids = labelled_pixels(scores, mask)
        inside = one_hot(ids, scores.shape[1]).to(scores.dtype)
        error = (inside - scores.softmax(1)) ** 2
        missed, found = ((error * part).sum(0) / part.sum(0).clamp_min(1)
                         for part in (inside, 1 - inside))
        return (self.sensitivity * missed + (1 - self.sensitivity) * found).mean()
