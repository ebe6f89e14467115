"""SwiftNet (Orsic et al., 2019) on any timm encoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn, Tensor
from torch.nn.functional import adaptive_avg_pool2d, interpolate, relu

from roadseg_ros.models.backbone import check_steps, timm_encoder
from roadseg_ros.models.network import conv_bn_relu, Network, upsample

POOLING_GRIDS = (1, 2, 4, 8)


class SwiftNet(Network):
    """
    A timm encoder, pyramid pooling, and a decoder of one 3x3 convolution a step.

    Each step halves the stride: what comes from below is projected to the step's width before it
    is enlarged, the encoder's features are added, one convolution blends them: half the
    multiply-adds of `UNet` on the same encoder (2.7 G against 5.2 G at 480x384), whose decoder
    convolves twice over concatenated features.

    Beside the paper the steps narrow towards the picture and go down to the encoder's first
    stride, since poles and signs are a few pixels wide; its authors stop at stride 4.

    :param num_classes: number of outputs.
    :param encoder: name of a timm model with `features_only` support.
    :param decoder_channels: width of each decoder step, deepest first; one fewer than the
        encoder has strides.
    :raises ValueError: timm has no such encoder, or the number of decoder steps does not fit.
    """

    def __init__(self, num_classes: int, encoder: str = 'tf_efficientnet_lite0',
                 decoder_channels: Sequence[int] = (128, 96, 64, 32)) -> None:
        super().__init__(num_classes)
        self.encoder, channels, strides = timm_encoder(encoder)
        check_steps(encoder, strides, len(decoder_channels))
        self.input_stride = strides[-1]
        self.output_stride = strides[0]
        deep = decoder_channels[0]
        self.context = PyramidPooling(channels[-1], deep)
        inputs = [deep, *decoder_channels[:-1]]
        self.lower = nn.ModuleList(_projection(*step) for step in zip(inputs, decoder_channels))
        self.skips = nn.ModuleList(
            _projection(*step) for step in zip(channels[-2::-1], decoder_channels))
        self.blend = nn.ModuleList(conv_bn_relu(width, width) for width in decoder_channels)
        self.classifier = nn.Conv2d(decoder_channels[-1], num_classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Return (N, C, H/2, W/2) scores (for encoders whose first stride is 2)."""
        self.check_input(image)
        *early, features = self.encoder(image)
        features = self.context(features)
        steps: Any = zip(self.lower, self.skips, self.blend, reversed(early))
        for lower, skip, blend, found in steps:
            features = blend(relu(upsample(lower(features)) + skip(found)))
        scores: Tensor = self.classifier(features)
        return scores


class PyramidPooling(nn.Module):
    """
    Features beside their means over coarse grids (Zhao et al., 2017), as narrow as SwiftNet's.

    :param inputs: channels of the features.
    :param outputs: channels of what comes out, of the same height and width.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        part = max(1, outputs // len(POOLING_GRIDS))
        self.reduce = _projection(inputs, outputs)
        # without batch norm: the mean of one picture has no spread to train it by
        self.parts = nn.ModuleList(nn.Conv2d(outputs, part, 1) for _ in POOLING_GRIDS)
        self.fuse = _projection(outputs + part * len(POOLING_GRIDS), outputs)

    def forward(self, features: Tensor) -> Tensor:
        """Return (N, outputs, H, W) from (N, inputs, H, W)."""
        features = relu(self.reduce(features))
        size = features.shape[-2:]
        pooled = [interpolate(relu(part(adaptive_avg_pool2d(features, grid))), size=size,
                              mode='bilinear', align_corners=False)
                  for grid, part in zip(POOLING_GRIDS, self.parts)]
        return relu(self.fuse(torch.cat((features, *pooled), 1)))


def _projection(inputs: int, outputs: int) -> nn.Sequential:
    """Return a 1x1 convolution with batch norm."""
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs))
