"""DeepLab v2, v3 and v3+ (Chen et al., 2016, 2017, 2018), and KSAC (Huang et al., 2019)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn, Tensor
from torch.nn.functional import interpolate
from torchvision.models.vgg import make_layers

from roadseg_ros.models.atrous import (
    atrous_conv,
    AtrousPyramid,
    separable_conv,
    SeparateKernels,
    SharedKernels,
)
from roadseg_ros.models.backbone import timm_encoder
from roadseg_ros.models.network import he_normal, Network, VGG16_CHANNELS, VGG16_CONVOLUTIONS

RATES_BY_STRIDE = {16: (6, 12, 18), 8: (12, 24, 36)}
DILATED_STEP = 4  # of VGG16's five; its convolutions read every second value


class DeepLabLargeFov(Network):
    """
    DeepLab v2 on VGG16 with a large field of view: fc6 is a 3x3 convolution at rate 12.

    The last two poolings keep the size, so scores leave at stride 8.

    :param num_classes: number of outputs.
    :param head_channels: width of fc6 and fc7; 1024 in the paper.
    :param rate: of fc6.
    :param channels: width of each of VGG16's five steps; ImageNet's weights need the default.
    :raises ValueError: not five widths.
    """

    input_stride = output_stride = 8

    def __init__(self, num_classes: int, head_channels: int = 1024, rate: int = 12,
                 channels: Sequence[int] = VGG16_CHANNELS) -> None:
        super().__init__(num_classes)
        self.encoder = _dilated_vgg16(channels)
        self.head = nn.Sequential(
            nn.Conv2d(channels[4], head_channels, 3, padding=rate, dilation=rate),
            nn.ReLU(inplace=True), nn.Dropout(0.5),
            nn.Conv2d(head_channels, head_channels, 1), nn.ReLU(inplace=True), nn.Dropout(0.5),
            nn.Conv2d(head_channels, num_classes, 1))

    def forward(self, image: Tensor) -> Tensor:
        """Return (N, C, H/8, W/8) scores."""
        self.check_input(image)
        scores: Tensor = self.head(self.encoder(image))
        return scores


class DeepLabV2(Network):
    """
    A dilated encoder whose scores at several rates are summed: the first atrous pyramid.

    :param num_classes: number of outputs.
    :param encoder: name of a timm model that can have output stride 8.
    :param rates: of the classifiers; ASPP-L in the paper.
    :raises ValueError: timm has no such encoder, or it cannot be dilated.
    """

    def __init__(self, num_classes: int, encoder: str = 'resnet101',
                 rates: Sequence[int] = (6, 12, 18, 24)) -> None:
        super().__init__(num_classes)
        self.encoder, channels, strides = timm_encoder(encoder, 8)
        self.input_stride = self.output_stride = strides[-1]
        self.classifiers = nn.ModuleList(
            nn.Conv2d(channels[-1], num_classes, 3, padding=rate, dilation=rate)
            for rate in rates)

    def forward(self, image: Tensor) -> Tensor:
        """Return (N, C, H/8, W/8) scores."""
        self.check_input(image)
        features = self.encoder(image)[-1]
        return torch.stack([classify(features) for classify in self.classifiers]).sum(0)


class DeepLabV3(Network):
    """
    A dilated encoder under an atrous pyramid with image pooling.

    :param num_classes: number of outputs.
    :param encoder: name of a timm model that can have the stride below.
    :param output_stride: 16 or 8.
    :param width: channels of the pyramid; 256 in the paper.
    :param multi_grid: rates of the last stage's three blocks, times the stage's own; ResNets only.
    :raises ValueError: no such encoder, stride or grid.
    """

    def __init__(self, num_classes: int, encoder: str = 'resnet50', output_stride: int = 16,
                 width: int = 256, multi_grid: Sequence[int] | None = None) -> None:
        super().__init__(num_classes)
        rates = _rates(output_stride)
        self.encoder, channels, _ = timm_encoder(encoder, output_stride)
        if multi_grid is not None:
            _set_multi_grid(self.encoder, encoder, multi_grid)
        self.input_stride = self.output_stride = output_stride
        self.pyramid = AtrousPyramid(channels[-1], width, SeparateKernels(
            atrous_conv(channels[-1], width, rate) for rate in rates), len(rates))
        self.classifier = nn.Sequential(atrous_conv(width, width, 1),
                                        nn.Conv2d(width, num_classes, 1))

    def forward(self, image: Tensor) -> Tensor:
        """Return (N, C, H/s, W/s) scores, s the output stride."""
        self.check_input(image)
        scores: Tensor = self.classifier(self.pyramid(self.encoder(image)[-1]))
        return scores


class DeepLabV3Plus(Network):
    """
    DeepLab v3 with separable convolutions and a decoder that adds the encoder's stride 4.

    :param num_classes: number of outputs.
    :param encoder: name of a timm model that can have the stride below; xception65 in the paper.
    :param output_stride: of the encoder, 16 or 8.
    :param width: channels of pyramid and decoder; 256 in the paper.
    :param low_level_width: channels that the stride 4 is reduced to; 48 in the paper.
    :raises ValueError: no such encoder or stride.
    """

    def __init__(self, num_classes: int, encoder: str = 'resnet50', output_stride: int = 16,
                 width: int = 256, low_level_width: int = 48) -> None:
        super().__init__(num_classes)
        rates = _rates(output_stride)
        self.encoder, channels, strides = timm_encoder(encoder, output_stride)
        self.input_stride, self.output_stride = output_stride, 4
        self.low_level = strides.index(4)
        self.pyramid = AtrousPyramid(channels[-1], width, self.branches(
            channels[-1], width, rates), len(rates))
        self.reduce = nn.Sequential(
            nn.Conv2d(channels[self.low_level], low_level_width, 1, bias=False),
            nn.BatchNorm2d(low_level_width), nn.ReLU(inplace=True))
        self.decoder = nn.Sequential(separable_conv(width + low_level_width, width),
                                     separable_conv(width, width))
        self.classifier = nn.Conv2d(width, num_classes, 1)

    @staticmethod
    def branches(inputs: int, outputs: int, rates: Sequence[int]) -> nn.Module:
        """Return the pyramid's convolutions."""
        return SeparateKernels(separable_conv(inputs, outputs, rate) for rate in rates)

    def forward(self, image: Tensor) -> Tensor:
        """Return (N, C, H/4, W/4) scores."""
        self.check_input(image)
        features = self.encoder(image)
        low = self.reduce(features[self.low_level])
        deep = interpolate(self.pyramid(features[-1]), size=low.shape[-2:], mode='bilinear',
                           align_corners=False)
        scores: Tensor = self.classifier(self.decoder(torch.cat((deep, low), 1)))
        return scores


class Ksac(DeepLabV3Plus):
    """DeepLab v3+ whose pyramid has one kernel, shared by all rates; arguments as there."""

    @staticmethod
    def branches(inputs: int, outputs: int, rates: Sequence[int]) -> nn.Module:
        """Return the pyramid's convolutions."""
        return SharedKernels(inputs, outputs, rates)


def _rates(output_stride: int) -> Sequence[int]:
    """Return the pyramid's rates at an output stride."""
    if output_stride not in RATES_BY_STRIDE:
        raise ValueError(f'output_stride must be 16 or 8, not {output_stride!r}')
    return RATES_BY_STRIDE[output_stride]


def _set_multi_grid(encoder: Any, name: str, grid: Sequence[int]) -> None:
    """Multiply the rates of the last blocks of a ResNet."""
    blocks = getattr(encoder, 'layer4', ())
    if len(blocks) != len(grid):
        raise ValueError(f'multi_grid {tuple(grid)} wants a last stage of {len(grid)} blocks, '
                         f'{name} has {len(blocks)}')
    for block, times in zip(blocks, grid):
        for layer in block.modules():
            if isinstance(layer, nn.Conv2d) and layer.kernel_size == (3, 3):
                rate = layer.dilation[0] * times
                layer.dilation = layer.padding = (rate, rate)


def _dilated_vgg16(channels: Sequence[int]) -> nn.Sequential:
    """Return VGG16's convolutions, with the strides of the last two poolings taken out."""
    if len(channels) != len(VGG16_CONVOLUTIONS):
        raise ValueError(f'VGG16 has five widths, not {len(channels)}')
    layers: list[nn.Module] = []
    inputs = 3
    for step, (width, convolutions) in enumerate(zip(channels, VGG16_CONVOLUTIONS)):
        block = make_layers([width] * convolutions)
        block[0] = nn.Conv2d(inputs, width, 3, padding=1)
        for layer in block:
            if step == DILATED_STEP and isinstance(layer, nn.Conv2d):
                layer.dilation = layer.padding = (2, 2)
        layers += [*block, nn.MaxPool2d(3, 1 if step >= DILATED_STEP - 1 else 2, 1)]
        inputs = width
    network = nn.Sequential(*layers)
    he_normal(network)
    return network
