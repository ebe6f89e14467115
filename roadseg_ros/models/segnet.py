"""SegNet and SegNet-Basic (Badrinarayanan, Kendall and Cipolla, 2015)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import nn, Tensor
from torch.nn.functional import max_pool2d, pixel_shuffle

from roadseg_ros.models.network import (
    conv_bn_relu,
    Network,
    VGG16_CHANNELS,
    VGG16_CONVOLUTIONS,
)


class PoolingIndexNetwork(Network):
    """
    An encoder that notes where each maximum stood, and a decoder that puts values back there.

    Scores leave at full size.

    :param num_classes: number of outputs.
    :param encoder: its steps; each is followed by a pooling.
    :param decoder: its steps, deepest first; each follows an unpooling.
    :param shallow_steps: how many steps of each are not part of `deep`.
    """

    output_stride = 1

    def __init__(self, num_classes: int, encoder: Iterable[nn.Module],
                 decoder: Iterable[nn.Module], shallow_steps: int) -> None:
        super().__init__(num_classes)
        self.encoder = nn.ModuleList(encoder)
        self.decoder = nn.ModuleList(decoder)
        self.input_stride = 2 ** len(self.encoder)
        self.shallow_steps = shallow_steps

    def shallow(self, image: Tensor) -> tuple[Tensor, ...]:
        """Return the first steps' pooled features, then the indices of each pooling."""
        self.check_input(image)
        return _encode(self.encoder[:self.shallow_steps], image)

    def deep(self, shallow: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Return the decoder's features at the stride of the shallow ones."""
        features, *indices = _encode(self.encoder[self.shallow_steps:], shallow[0])
        return (_decode(self.decoder[:-self.shallow_steps], features, indices),)

    def head(self, shallow: tuple[Tensor, ...], deep: tuple[Tensor, ...]) -> Tensor:
        """Return (N, C, H, W) scores."""
        return _decode(self.decoder[-self.shallow_steps:], deep[0], shallow[1:])

    def forward(self, image: Tensor) -> Tensor:
        """Return (N, C, H, W) scores."""
        shallow = self.shallow(image)
        return self.head(shallow, self.deep(shallow))


class SegNet(PoolingIndexNetwork):
    """
    The 13 convolutions of VGG16 and their mirror, each with batch norm.

    :param num_classes: number of outputs.
    :param channels: width of each of VGG16's five steps; ImageNet's weights need the default.
    :raises ValueError: not five widths.
    """

    def __init__(self, num_classes: int, channels: Sequence[int] = VGG16_CHANNELS) -> None:
        if len(channels) != len(VGG16_CONVOLUTIONS):
            raise ValueError(f'segnet has five widths, not {len(channels)}')
        steps = list(zip((3, *channels), channels, VGG16_CONVOLUTIONS))
        encoder = [_convolutions([inputs, *[outputs] * count]) for inputs, outputs, count in steps]
        decoder = [_convolutions([*[outputs] * count, inputs])
                   for inputs, outputs, count in steps[:0:-1]]
        last = nn.Sequential(conv_bn_relu(channels[0], channels[0]),
                             nn.Conv2d(channels[0], num_classes, 3, padding=1))
        super().__init__(num_classes, encoder, [*decoder, last], shallow_steps=2)


class SegNetBasic(PoolingIndexNetwork):
    """
    Four 7x7 convolutions each way, the decoder's without ReLU, and a 1x1 classifier.

    :param num_classes: number of outputs.
    :param width: of every convolution.
    """

    def __init__(self, num_classes: int, width: int = 64) -> None:
        encoder = [nn.Sequential(*_conv7_bn(inputs, width), nn.ReLU(inplace=True))
                   for inputs in (3, width, width, width)]
        decoder = [nn.Sequential(*_conv7_bn(width, width)) for _ in range(4)]
        decoder[-1].append(nn.Conv2d(width, num_classes, 1))
        super().__init__(num_classes, encoder, decoder, shallow_steps=1)


def _convolutions(widths: Sequence[int]) -> nn.Sequential:
    """Return convolutions from each width to the next."""
    return nn.Sequential(*(conv_bn_relu(inputs, outputs)
                           for inputs, outputs in zip(widths, widths[1:])))


def _conv7_bn(inputs: int, outputs: int) -> tuple[nn.Module, ...]:
    """Return a 7x7 convolution with batch norm that keeps the size."""
    return (nn.Conv2d(inputs, outputs, 7, padding=3, bias=False), nn.BatchNorm2d(outputs))


def _encode(steps: Iterable[nn.Module], features: Tensor) -> tuple[Tensor, ...]:
    """Return features after steps and poolings, then the indices of each pooling."""
    taken = []
    for step in steps:
        found = step(features)
        features = max_pool2d(found, 2)
        taken.append(_pooling_indices(found))
    return (features, *taken)


def _decode(steps: Iterable[nn.Module], features: Tensor, indices: Sequence[Tensor]) -> Tensor:
    """Undo as many poolings, the last first, with a step after each."""
    for step, places in zip(steps, reversed(indices)):
        features = step(_unpool(features, places))
    return features


def _pooling_indices(features: Tensor) -> Tensor:
    """
    Return (N, C, H/2, W/2) which of its 2x2 values a pooling keeps, 0 to 3 by rows.

    The first of equals, as torch has it, but found by comparisons: OpenVINO takes twice as long
    for poolings that return indices as for all of SegNet's convolutions.
    """
    first, second, third, fourth = (features[..., row::2, column::2]
                                    for row in (0, 1) for column in (0, 1))
    below = torch.maximum(third, fourth) > torch.maximum(first, second)
    return torch.where(below, (fourth > third).to(features.dtype) + 2,
                       (second > first).to(features.dtype))


def _unpool(features: Tensor, indices: Tensor) -> Tensor:
    """Return (N, C, 2H, 2W) zeros with each value where its pooling found the maximum."""
    places = [features * (indices == place) for place in range(4)]
    return pixel_shuffle(torch.stack(places, 2).flatten(1, 2), 2)
