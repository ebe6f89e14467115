"""
Losses of single pixels: cross entropy and what weighs or picks its pixels.

All take scores (N, C, H, W) float32 and a mask (N, H, W) int64 of their size, with at least one
labelled pixel.
"""

from __future__ import annotations

import torch
from torch import nn, Tensor
from torch.nn.functional import cross_entropy

from roadseg_ros.labels import UNLABELLED
from training.checks import check_fields, number


def labelled_pixels(scores: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """
    Drop pixels without a label, and with them the pictures' form.

    :param scores: (N, C, H, W).
    :param mask: (N, H, W) int64, 255 = unlabelled.
    :return: (P, C) scores and (P,) ids.
    """
    labelled = mask != UNLABELLED
    return scores.movedim(1, -1)[labelled], mask[labelled]


def pixel_losses(scores: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Return cross entropy and id of each labelled pixel, (P,) both."""
    losses = cross_entropy(scores, mask, ignore_index=UNLABELLED, reduction='none')
    labelled = mask != UNLABELLED
    return losses[labelled], mask[labelled]


def weighted_mean(losses: Tensor, weights: Tensor) -> Tensor:
    """Return the mean of (P,) losses; 0 where all weights are."""
    return (losses * weights).sum() / weights.sum().clamp_min(torch.finfo(weights.dtype).tiny)


class CrossEntropy(nn.Module):
    """
    The mean over pixels, each weighing what its class does.

    :param class_weights: (C,) float32 or None.
    """

    class_weights: Tensor | None

    def __init__(self, class_weights: Tensor | None = None) -> None:
        super().__init__()
        self.register_buffer('class_weights', class_weights, persistent=False)

    def forward(self, scores: Tensor, mask: Tensor) -> Tensor:
        """Return the loss of a batch."""
        losses, ids = pixel_losses(scores, mask)
        return weighted_mean(losses, self.weights(ids))

    def weights(self, ids: Tensor) -> Tensor:
        """Return what pixels of these ids weigh, float32."""
        if self.class_weights is None:
            return torch.ones_like(ids, dtype=torch.float32)
        return self.class_weights[ids]


class Focal(CrossEntropy):
    """
    Cross entropy times (1 - p)^gamma, p the probability of the true class (Lin et al., 2017).

    MONAI's, which takes p from the softmax as the node does; segmentation_models.pytorch's takes
    a sigmoid for each class.

    :param gamma: from 1; below, the gradient of a perfect pixel is not finite.
    :param class_weights: (C,) float32 or None.
    """

    def __init__(self, gamma: float = 2.0, class_weights: Tensor | None = None) -> None:
        from monai.losses.focal_loss import FocalLoss

        super().__init__(class_weights)
        self.gamma = gamma
        check_fields(self, {'gamma': number(1)})
        self.pixel = FocalLoss(to_onehot_y=True, use_softmax=True, gamma=gamma, reduction='none')

    def forward(self, scores: Tensor, mask: Tensor) -> Tensor:
        """Return the loss of a batch."""
        scores, ids = labelled_pixels(scores, mask)
        return weighted_mean(self.pixel(scores, ids[:, None]).sum(1), self.weights(ids))


class TopK(CrossEntropy):
    """
    Cross entropy of the hardest pixels of a batch (Wu et al., 2016, online bootstrapping).

    :param share: of the labelled pixels, above 0.
    :param class_weights: (C,) float32 or None; they weigh the pixels, they do not pick them.
    """

    def __init__(self, share: float = 0.1, class_weights: Tensor | None = None) -> None:
        super().__init__(class_weights)
        self.share = share
        check_fields(self, {'share': number(0, 1)})

    def forward(self, scores: Tensor, mask: Tensor) -> Tensor:
        """Return the loss of a batch."""
        losses, ids = pixel_losses(scores, mask)
        hardest, places = losses.topk(self.count(losses))
        return weighted_mean(hardest, self.weights(ids[places]))

    def count(self, losses: Tensor) -> int:
        """Return how many of the pixels count."""
        return max(1, round(self.share * len(losses)))


class Ohem(TopK):
    """
    Cross entropy of the pixels whose true class is not yet sure (OHEM, Shrivastava et al., 2016).

    Unlike `top_k` it counts fewer pixels the better the network is.

    :param threshold: a pixel counts whose true class has a lower probability.
    :param share: of the labelled pixels that count at least, the hardest.
    :param class_weights: (C,) float32 or None; they weigh the pixels, they do not pick them.
    """

    def __init__(self, threshold: float = 0.7, share: float = 0.0625,
                 class_weights: Tensor | None = None) -> None:
        super().__init__(share, class_weights)
        self.threshold = threshold
        check_fields(self, {'threshold': number(0, 1)})

    def count(self, losses: Tensor) -> int:
        """Return how many of the pixels count."""
        unsure = int((losses.exp() * self.threshold > 1).sum())
        return max(unsure, super().count(losses))


class IouBalanced(CrossEntropy):
    """
    Cross entropy that attends to what is already well placed (Wu et al., 2019).

    Their classification loss is a detector's: each object's cross entropy times its IoU^eta,
    scaled so that the sum stays. Neither Jadon (2020) nor Ma (2020) lists a form for masks; here
    an object is what a picture holds of a class, and its IoU the soft one of the probabilities.
    So the value is the cross entropy's, and the gradient is dealt out anew.

    :param eta: 0 = plain cross entropy.
    :param class_weights: (C,) float32 or None.
    """

    def __init__(self, eta: float = 1.5, class_weights: Tensor | None = None) -> None:
        super().__init__(class_weights)
        self.eta = eta
        check_fields(self, {'eta': number(0)})

    def forward(self, scores: Tensor, mask: Tensor) -> Tensor:
        """Return the loss of a batch."""
        losses, ids = pixel_losses(scores, mask)
        weights = self.weights(ids)
        balance = self.overlap(scores.detach(), mask)[mask != UNLABELLED] ** self.eta
        plain = weighted_mean(losses, weights)
        balanced = weighted_mean(losses, weights * balance)
        return balanced * (plain / balanced.clamp_min(1e-12)).detach()

    @staticmethod
    def overlap(scores: Tensor, mask: Tensor) -> Tensor:
        """Return the soft IoU of each pixel's class in its picture, (N, H, W)."""
        labelled = (mask != UNLABELLED)[:, None]
        ids = mask.clamp_max(scores.shape[1] - 1)[:, None]
        found = scores.softmax(1) * labelled
        truth = torch.zeros_like(found).scatter_(1, ids, 1.0) * labelled
        both = (found * truth).sum((2, 3))
        union = (found + truth).sum((2, 3)) - both
        iou = both / union.clamp_min(1e-12)
        return iou.gather(1, ids.flatten(1)).view_as(mask)
