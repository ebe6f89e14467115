"""
Losses that know where the borders are, from maps drawn from the mask on the CPU.

All take scores (N, C, H, W) float32 and a mask (N, H, W) int64 of their size, with at least one
labelled pixel.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn, Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, interpolate

from roadseg_ros.labels import UNLABELLED
from training.checks import check_fields, number
from training.losses.distance_maps import border_map, maps_of, penalty_map
from training.losses.pixels import CrossEntropy, pixel_losses, weighted_mean


class BorderCrossEntropy(CrossEntropy):
    """
    U-Net's: pixels between things that nearly touch weigh more (Ronneberger et al., 2015, eq. 2).

    A pixel weighs what its class does plus w0 * exp(-(d1 + d2)^2 / (2 sigma^2)); the loss is the
    weighted mean.

    :param w0: most that a border adds.
    :param sigma: pixels.
    :param classes: ids whose connected regions are things; by default all, so that every border
        counts.
    :param class_weights: (C,) float32 or None.
    """

    def __init__(self, w0: float = 10.0, sigma: float = 5.0,
                 classes: Sequence[int] | None = None,
                 class_weights: Tensor | None = None) -> None:
        super().__init__(class_weights)
        self.w0, self.sigma, self.classes = w0, sigma, classes
        check_fields(self, {'w0': number(0), 'sigma': number(0.1)})

    def forward(self, scores: Tensor, mask: Tensor) -> Tensor:
        """Return the loss of a batch."""
        classes = range(scores.shape[1]) if self.classes is None else self.classes
        borders = maps_of(mask, lambda ids: border_map(ids, classes, self.sigma))
        losses, ids = pixel_losses(scores, mask)
        return weighted_mean(losses,
                             self.weights(ids) + self.w0 * borders[mask != UNLABELLED])


class DistancePenalised(CrossEntropy):
    """
    Cross entropy with pixels near a border weighing up to twice (Caliva et al., 2019).

    :param class_weights: (C,) float32 or None.
    """

    def forward(self, scores: Tensor, mask: Tensor) -> Tensor:
        """Return the loss of a batch, the weighted mean."""
        penalties = maps_of(mask, penalty_map)[mask != UNLABELLED]
        losses, ids = pixel_losses(scores, mask)
        return weighted_mean(losses, self.weights(ids) * (1 + penalties))


def border_loss(borders: Tensor, mask: Tensor) -> Tensor:
    """
    Return the loss of a network's own borders, as Gated-SCNN's (Takikawa et al., 2019).

    Borders are few: binary cross entropy in which they and the rest weigh the same.

    :param borders: (N, 1, h, w) logits.
    :param mask: (N, H, W) int64, 255 = unlabelled; a border lies where a neighbour to the right or
        below has another class, both labelled.
    :return: scalar; 0 where the masks have no border.
    """
    scores = interpolate(borders, size=mask.shape[-2:], mode='bilinear', align_corners=False)
    truth = borders_of(mask)
    found = truth.sum()
    if found == 0:
        return 0.0 * scores.sum()
    labelled = (mask != UNLABELLED).float()
    weights = torch.where(truth > 0, 0.5 / found, 0.5 / (labelled.sum() - found).clamp_min(1))
    return binary_cross_entropy_with_logits(scores.squeeze(1), truth, weights * labelled,
                                            reduction='sum')


def borders_of(mask: Tensor) -> Tensor:
    """Return (N, H, W) float32, 1 where another labelled class is to the right or below."""
    on_border = torch.zeros_like(mask, dtype=torch.bool)
    for axis in (1, 2):
        length = mask.shape[axis] - 1
        near, far = mask.narrow(axis, 0, length), mask.narrow(axis, 1, length)
        differ = (near != far) & (near != UNLABELLED) & (far != UNLABELLED)
        on_border.narrow(axis, 0, length).logical_or_(differ)
    return on_border.float()


class _OfProbabilities(nn.Module):
    """
    One of MONAI's losses of probabilities and truth by class, (N, C, H, W) each.

    Unlabelled pixels lie outside of every class, in both.
    """

    criterion: nn.Module

    def forward(self, scores: Tensor, mask: Tensor) -> Tensor:
        """Return the loss of a batch, the mean over labelled pixels and classes."""
        labelled = (mask != UNLABELLED)[:, None]
        found = scores.softmax(1) * labelled
        ids = mask.clamp_max(scores.shape[1] - 1)[:, None]
        truth = torch.zeros_like(found).scatter_(1, ids, 1.0) * labelled
        # the library divides by all pixels
        return self.criterion(found, truth) * labelled.numel() / labelled.sum()


class Boundary(_OfProbabilities):
    """
    Probability times signed distance to the class, so the value may be negative.

    Kervadec et al. (2019); MONAI's. It says nothing of classes that a picture lacks or is filled
    by: for use beside a loss of regions.
    """

    def __init__(self) -> None:
        from monai.losses.boundary_loss import BoundaryLoss

        super().__init__()
        self.criterion = BoundaryLoss()


class Hausdorff(_OfProbabilities):
    """
    Squared error times the distances to the borders of truth and prediction.

    Karimi and Salcudean (2019), by distance transforms; MONAI's. Distances are in pixels, so the
    value is large: for use with a small weight beside a loss of regions.

    :param alpha: power of the distances.
    """

    def __init__(self, alpha: float = 2.0) -> None:
        from monai.losses.hausdorff_loss import HausdorffDTLoss

        super().__init__()
        self.alpha = alpha
        check_fields(self, {'alpha': number(0)})
        self.criterion = HausdorffDTLoss(alpha=alpha, include_background=True)
