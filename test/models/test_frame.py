"""The fused frame module against the same steps written plainly in numpy."""
import numpy as np
import pytest
import torch
from torch import nn

from roadseg_ros.checkpoint import Preprocessing
from roadseg_ros.models.frame import FrameModule
from roadseg_ros.models.network import Network

STRIDE = 4


class Probe(Network):
    """A network of one strided convolution."""

    input_stride = output_stride = STRIDE

    def __init__(self):
        super().__init__(6)
        self.convolution = nn.Conv2d(3, 6, STRIDE, stride=STRIDE)

    def forward(self, image):
        """Return scores at a quarter of the size."""
        return self.convolution(image)


def convolve(image, weight, bias):
    """Return (C, H/4, W/4) scores of a (3, H, W) image."""
    channels, height, width = image.shape
    patches = image.reshape(channels, height // STRIDE, STRIDE, width // STRIDE, STRIDE)
    return np.einsum('chywx,kcyx->khw', patches, weight) + bias[:, None, None]


def enlarge(scores, axis, size):
    """Interpolate one axis linearly between pixel centres, the edge repeated."""
    length = scores.shape[axis]
    position = np.clip((np.arange(size) + 0.5) * length / size - 0.5, 0, length - 1)
    low = np.floor(position).astype(int)
    high = np.minimum(low + 1, length - 1)
    shape = [1] * scores.ndim
    shape[axis] = size
    part = (position - low).reshape(shape)
    return np.take(scores, low, axis) * (1 - part) + np.take(scores, high, axis) * part


@pytest.mark.parametrize('order', ['rgb', 'bgr'])
def test_equals_the_plain_reference(order):
    """Normalise, network, bilinear, argmax and softmax, one step at a time, agree with it."""
    torch.manual_seed(0)
    network = Probe().eval()
    nn.init.normal_(network.convolution.weight, std=0.3)
    mean, std = (0.1, 0.5, 0.7), (0.2, 0.3, 0.6)
    module = FrameModule(network, Preprocessing(order, 1 / 255, mean, std, 8, 12)).eval()
    frames = np.random.default_rng(0).integers(0, 256, (3, 8, 12, 3), np.uint8)
    with torch.no_grad():
        ids, confidence = (out.numpy() for out in module(torch.from_numpy(frames)))
    assert ids.shape == confidence.shape == (3, 8, 12)
    assert ids.dtype == confidence.dtype == np.uint8
    weight = network.convolution.weight.detach().double().numpy()
    bias = network.convolution.bias.detach().double().numpy()
    for index, frame in enumerate(frames):
        pixels = frame[..., ::-1] if order == 'rgb' else frame
        image = ((pixels / 255.0 - mean) / std).transpose(2, 0, 1)
        scores = enlarge(enlarge(convolve(image, weight, bias), 1, 8), 2, 12)
        odds = np.exp(scores - scores.max(0))
        probability = odds.max(0) / odds.sum(0)
        second = np.sort(scores, 0)[-2]
        clear = scores.max(0) - second > 1e-4
        assert clear.mean() > 0.99
        np.testing.assert_array_equal(ids[index][clear], scores.argmax(0)[clear])
        assert np.abs(confidence[index] - 255 * probability).max() < 0.51
    assert len(np.unique(ids)) > 3


def test_a_sure_network_gives_255_and_an_undecided_one_its_share():
    """Confidence spans the winner's probability, whatever the size of the scores."""
    network = Probe().eval()
    nn.init.zeros_(network.convolution.weight)
    module = FrameModule(network, Preprocessing('rgb', 1 / 255, (0.5,) * 3, (0.5,) * 3, 8, 8))
    frames = torch.zeros(1, 8, 8, 3, dtype=torch.uint8)
    with torch.no_grad():
        network.convolution.bias[:] = torch.tensor([0.0, 0, 0, 0, 3e4, 0])
        ids, confidence = module(frames)
        assert (ids == 4).all() and (confidence == 255).all()
        nn.init.zeros_(network.convolution.bias)
        ids, confidence = module(frames)
        assert (ids == 0).all() and (confidence == round(255 / 6)).all()
