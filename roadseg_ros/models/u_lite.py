"""U-Lite: a U-Net of three steps, small enough to train from nothing."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn, Tensor
from torch.nn.functional import max_pool2d

from roadseg_ros.models.network import double_conv, Network, upsample


class ULite(Network):
    """
    Three encoder and three decoder steps with batch norm; scores at full size.

    :param num_classes: number of outputs.
    :param channels: width of each encoder step, then of the bottom.
    :raises ValueError: not four widths.
    """

    input_stride = 8
    output_stride = 1

    def __init__(self, num_classes: int, channels: Sequence[int] = (16, 32, 64, 128)) -> None:
        super().__init__(num_classes)
        if len(channels) != 4:
            raise ValueError(f'u_lite has four widths, not {len(channels)}')
        self.encoder = nn.ModuleList(
            double_conv(inputs, outputs) for inputs, outputs in zip((3, *channels), channels[:3]))
        self.bottom = double_conv(channels[2], channels[3])
        self.decoder = nn.ModuleList(
            double_conv(deep + skip, skip)
            for deep, skip in zip(channels[:0:-1], channels[-2::-1]))
        self.classifier = nn.Conv2d(channels[0], num_classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Return (N, C, H, W) scores."""
        self.check_input(image)
        features, skips = image, []
        for block in self.encoder:
            skips.append(block(features))
            features = max_pool2d(skips[-1], 2)
        features = self.bottom(features)
        for block, skip in zip(self.decoder, reversed(skips)):
            features = block(torch.cat((upsample(features), skip), 1))
        scores: Tensor = self.classifier(features)
        return scores
