"""Class weights against numbers worked out by hand."""
import numpy as np
import torch

from training.losses import sqrt_median_frequency


def test_class_weights_by_hand():
    """Weights are sqrt(median / count); absent classes get 1, unlabelled pixels no say."""
    masks = [np.array([[0, 0, 0, 0], [0, 0, 0, 1]], np.uint8),
             np.array([[0, 0, 1, 1], [1, 2, 255, 255]], np.uint8)]
    weights = sqrt_median_frequency(iter(masks), 4)
    assert weights.dtype == torch.float32
    # 9, 4 and 1 pixels: the median is 4
    torch.testing.assert_close(weights, torch.tensor([2 / 3, 1.0, 2.0, 1.0]))
