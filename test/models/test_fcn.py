"""FCN-8s: what its arguments change."""
import pytest
import torch
from torch import nn
from torch.nn.functional import interpolate

from roadseg_ros.models.fcn import BilinearDeconvolution, Fcn8s

SLIM = {'head_channels': 8, 'channels': (4, 8, 8, 8, 8)}


@pytest.mark.parametrize('factor', [2, 8])
@torch.no_grad()
def test_an_enlargement_starts_bilinear(factor):
    """Away from the border, where it sees zeros, it is interpolation."""
    scores = torch.randn(1, 3, 6, 8, generator=torch.Generator().manual_seed(0))
    found = BilinearDeconvolution(3, factor)(scores)
    wanted = interpolate(scores, scale_factor=factor, mode='bilinear', align_corners=False)
    inner = (..., slice(factor, -factor), slice(factor, -factor))
    torch.testing.assert_close(found[inner], wanted[inner])


@torch.no_grad()
def test_learned_upsampling_enlarges_the_same_scores():
    """With the same weights it is the plain network and one step more."""
    plain, learned = Fcn8s(3, **SLIM).eval(), Fcn8s(3, learned_upsampling=True, **SLIM).eval()
    assert (plain.output_stride, learned.output_stride) == (8, 1)
    learned.load_state_dict(plain.state_dict() | {'enlarge.weight': learned.enlarge.weight})
    image = torch.randn(1, 3, 32, 64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(learned(image), learned.enlarge(plain(image)))


def test_dropout_follows_fc6_and_fc7():
    """The share is that of both."""
    layers = [layer for layer in Fcn8s(3, dropout=0.75, **SLIM).modules()
              if isinstance(layer, nn.Dropout)]
    assert [layer.p for layer in layers] == [0.75, 0.75]
