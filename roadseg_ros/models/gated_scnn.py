"""Gated-SCNN (Takikawa et al., 2019)."""

from __future__ import annotations

import torch
from torch import nn, Tensor
from torch.nn.functional import conv2d, interpolate, relu

from roadseg_ros.models.atrous import atrous_conv, AtrousPyramid, separable_conv, SeparateKernels
from roadseg_ros.models.backbone import timm_encoder
from roadseg_ros.models.network import Network

RATES = (12, 24, 36)
SHAPE_WIDTHS = (64, 32, 16, 8)  # of the shape stream
LOW_LEVEL_WIDTH = 48


class GatedScnn(Network):
    """
    A dilated encoder beside a narrow stream that gates let see nothing but borders.

    The borders it finds, and those of the picture itself, join the pyramid that scores are made
    from. Two differences from the authors' network: it works at the encoder's first stride, 2,
    not at full size; and the picture's borders are the size of its Sobel gradient, which engines
    can compile, not Canny's.

    :param num_classes: number of outputs.
    :param encoder: name of a timm model that can have output stride 8.
    :param width: channels of pyramid and decoder; 256 in the paper.
    :raises ValueError: no such encoder.
    """

    sobel: Tensor

    def __init__(self, num_classes: int, encoder: str = 'resnet50', width: int = 256) -> None:
        super().__init__(num_classes)
        self.encoder, channels, strides = timm_encoder(encoder, 8)
        self.input_stride, self.output_stride = strides[-1], strides[0]
        self.low_level = strides.index(4)
        self.shape = ShapeStream(channels[0], channels[self.low_level + 1:])
        self.pyramid = AtrousPyramid(channels[-1], width, SeparateKernels(
            atrous_conv(channels[-1], width, rate) for rate in RATES), len(RATES))
        self.add_borders = atrous_conv(width + 1, width, 1)
        self.reduce = nn.Conv2d(channels[self.low_level], LOW_LEVEL_WIDTH, 1, bias=False)
        self.decoder = nn.Sequential(separable_conv(width + LOW_LEVEL_WIDTH, width),
                                     separable_conv(width, width),
                                     nn.Conv2d(width, num_classes, 1))
        ramp = torch.tensor([[1.0, 0, -1], [2, 0, -2], [1, 0, -1]]) / 8
        self.register_buffer('sobel', torch.stack([ramp, ramp.T]).unsqueeze(1), persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        """Return (N, C, H/2, W/2) scores (for encoders whose first stride is 2)."""
        return self.scores_and_borders(image)[0]

    def scores_and_borders(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return scores as `forward` does, and (N, 1, H/2, W/2) logits of class borders."""
        self.check_input(image)
        features = self.encoder(image)
        size = features[0].shape[-2:]
        borders = self.shape(features[0], features[self.low_level + 1:])
        gradient = conv2d(image.mean(1, keepdim=True), self.sobel, padding=1)
        steps = _resized(gradient.abs().sum(1, keepdim=True), size)
        found = self.shape.with_gradient(torch.cat((borders.sigmoid(), steps), 1)).sigmoid()
        low = self.reduce(features[self.low_level])
        deep = self.pyramid(features[-1])
        deep = self.add_borders(torch.cat((deep, _resized(found, deep.shape[-2:])), 1))
        scores = self.decoder(torch.cat((_resized(deep, low.shape[-2:]), low), 1))
        return _resized(scores, size), borders


class ShapeStream(nn.Module):
    """
    Residual blocks, each followed by a gate that deeper features open.

    :param inputs: channels of the first features.
    :param guides: channels of the deeper ones.
    """

    def __init__(self, inputs: int, guides: list[int]) -> None:
        super().__init__()
        self.enter = nn.Conv2d(inputs, SHAPE_WIDTHS[0], 1)
        pairs = list(zip(SHAPE_WIDTHS, SHAPE_WIDTHS[1:]))[:len(guides)]
        self.blocks = nn.ModuleList(ResidualBlock(width) for width, _ in pairs)
        self.narrow = nn.ModuleList(nn.Conv2d(*pair, 1) for pair in pairs)
        self.look = nn.ModuleList(nn.Conv2d(guide, 1, 1) for guide in guides)
        self.gates = nn.ModuleList(Gate(width) for _, width in pairs)
        self.borders = nn.Conv2d(pairs[-1][1], 1, 1)
        self.with_gradient = nn.Conv2d(2, 1, 1)

    def forward(self, features: Tensor, guides: list[Tensor]) -> Tensor:
        """Return (N, 1, H, W) logits from (N, inputs, H, W) and deeper features."""
        found = self.enter(features)
        for block, narrow, look, gate, guide in zip(
                self.blocks, self.narrow, self.look, self.gates, guides):
            found = gate(narrow(block(found)), _resized(look(guide), found.shape[-2:]))
        borders: Tensor = self.borders(found)
        return borders


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with batch norm, added to their input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(
            atrous_conv(width, width, 1), nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width))

    def forward(self, features: Tensor) -> Tensor:
        """Return features of the same shape."""
        return relu(features + self.convolutions(features))


class Gate(nn.Module):
    """Let pass where both streams say so; a residual, as in the paper."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.opening = nn.Sequential(
            nn.BatchNorm2d(width + 1), nn.Conv2d(width + 1, width + 1, 1), nn.ReLU(inplace=True),
            nn.Conv2d(width + 1, 1, 1), nn.BatchNorm2d(1), nn.Sigmoid())
        self.weigh = nn.Conv2d(width, width, 1)

    def forward(self, features: Tensor, guide: Tensor) -> Tensor:
        """Return (N, width, H, W) features; the guide is (N, 1, H, W)."""
        opening = self.opening(torch.cat((features, guide), 1))
        passed: Tensor = self.weigh(features * (opening + 1))
        return passed


def _resized(features: Tensor, size: torch.Size) -> Tensor:
    """Return features of another height and width."""
    return interpolate(features, size=size, mode='bilinear', align_corners=False)
