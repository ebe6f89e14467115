"""Loss and class weights against numbers worked out by hand."""
import math

import numpy as np
import pytest
import torch

from training.losses import segmentation_cross_entropy, sqrt_median_frequency


def test_cross_entropy_by_hand():
    """Two labelled pixels, weighted; the unlabelled one does not count."""
    scores = torch.tensor([[[[0.0, math.log(3), 5.0]], [[0.0, 0.0, -5.0]]]])
    mask = torch.tensor([[[0, 1, 255]]])
    losses = math.log(2), math.log(4)
    plain = segmentation_cross_entropy(scores, mask, None)
    assert plain.item() == pytest.approx(sum(losses) / 2)
    weighted = segmentation_cross_entropy(scores, mask, torch.tensor([1.0, 3.0]))
    assert weighted.item() == pytest.approx((losses[0] + 3 * losses[1]) / 4)


def test_scores_are_enlarged_to_the_mask():
    """Scores at a lower stride are interpolated between pixel centres."""
    scores = torch.tensor([[[[0.0, 4.0]], [[0.0, 0.0]]]])
    mask = torch.zeros(1, 2, 4, dtype=torch.int64)
    wanted = np.mean([math.log(1 + math.exp(-score)) for score in (0, 1, 3, 4)])
    loss = segmentation_cross_entropy(scores, mask, None)
    assert loss.item() == pytest.approx(wanted, rel=1e-5)


def test_half_precision_scores_give_a_float32_loss():
    """The loss is summed in float32 whatever the network computed in."""
    scores = torch.zeros(1, 3, 2, 2, dtype=torch.bfloat16)
    loss = segmentation_cross_entropy(scores, torch.zeros(1, 2, 2, dtype=torch.int64), None)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(math.log(3))


def test_class_weights_by_hand():
    """Weights are sqrt(median / count); absent classes get 1, unlabelled pixels no say."""
    masks = [np.array([[0, 0, 0, 0], [0, 0, 0, 1]], np.uint8),
             np.array([[0, 0, 1, 1], [1, 2, 255, 255]], np.uint8)]
    weights = sqrt_median_frequency(iter(masks), 4)
    assert weights.dtype == torch.float32
    # 9, 4 and 1 pixels: the median is 4
    torch.testing.assert_close(weights, torch.tensor([2 / 3, 1.0, 2.0, 1.0]))
