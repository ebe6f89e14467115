"""Mixed precision: which convolutions are done in float32, and that nothing else changes."""

import pytest
import torch
from torch.nn.functional import conv2d

from training.precision import DepthwiseInFloat


@pytest.mark.parametrize('groups', [1, 2, 8])
def test_depthwise_alone_is_done_in_float32(groups):
    """Only where each channel has its own kernel are products not rounded first."""
    torch.manual_seed(0)
    weight, image = torch.randn(8, 8 // groups, 3, 3), torch.randn(2, 8, 9, 9)
    with torch.autocast('cpu', torch.bfloat16):
        rounded = conv2d(image, weight, groups=groups)
        with DepthwiseInFloat():
            found = conv2d(image, weight, groups=groups)
    exact = conv2d(image, weight, groups=groups).bfloat16()
    assert found.dtype == torch.bfloat16
    assert not torch.equal(rounded, exact)
    assert torch.equal(found, exact if groups == 8 else rounded)


def test_gradients_reach_weights_and_picture():
    """What is rounded on the way out does not break the chain."""
    torch.manual_seed(0)
    image = torch.randn(2, 8, 9, 9, requires_grad=True)
    weight = torch.randn(8, 1, 3, 3, requires_grad=True)
    with torch.autocast('cpu', torch.bfloat16), DepthwiseInFloat():
        found = conv2d(image, weight, groups=8)
    gradients = torch.autograd.grad(found.float().square().sum(), (image, weight))
    exact = torch.autograd.grad(conv2d(image, weight, groups=8).square().sum(), (image, weight))
    for one, other in zip(gradients, exact):
        assert one.dtype == torch.float32
        torch.testing.assert_close(one, other, rtol=0.02, atol=0.05 * float(other.abs().max()))


def test_without_autocast_nothing_changes():
    """A run in float32 or float64 keeps its type."""
    image, weight = torch.randn(1, 4, 5, 5).double(), torch.randn(4, 1, 3, 3).double()
    with DepthwiseInFloat():
        assert conv2d(image, weight, groups=4).dtype == torch.float64
