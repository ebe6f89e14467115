"""Deep residual U-Net (Zhang, Liu and Wang, 2018)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn, Tensor

from roadseg_ros.models.network import he_normal, Network, upsample


class ResidualUNet(Network):
    """
    A U-Net of residual units, whose encoder strides instead of pooling; scores at full size.

    :param num_classes: number of outputs.
    :param channels: width of each encoder step, then of the bridge.
    :raises ValueError: fewer than two widths.
    """

    output_stride = 1

    def __init__(self, num_classes: int, channels: Sequence[int] = (64, 128, 256, 512)) -> None:
        super().__init__(num_classes)
        if len(channels) < 2:
            raise ValueError(f'residual_unet has two widths or more, not {len(channels)}')
        first, *rest = channels
        self.first = ResidualUnit(3, first, preactivated=False)
        self.down = nn.ModuleList(
            ResidualUnit(inputs, outputs, stride=2) for inputs, outputs in zip(channels, rest))
        self.up = nn.ModuleList(ResidualUnit(deep + skip, skip)
                                for deep, skip in zip(channels[:0:-1], channels[-2::-1]))
        self.classifier = nn.Conv2d(first, num_classes, 1)
        self.input_stride = 2 ** len(rest)
        he_normal(self)

    def forward(self, image: Tensor) -> Tensor:
        """Return (N, C, H, W) scores."""
        self.check_input(image)
        features = self.first(image)
        skips = []
        for unit in self.down:
            skips.append(features)
            features = unit(features)
        for unit, skip in zip(self.up, reversed(skips)):
            features = unit(torch.cat((upsample(features), skip), 1))
        scores: Tensor = self.classifier(features)
        return scores


class ResidualUnit(nn.Module):
    """
    Two 3x3 convolutions, batch norm and ReLU before each, added to a projected input.

    :param inputs: channels in.
    :param outputs: channels out.
    :param stride: of the first convolution.
    :param preactivated: False leaves out the first batch norm and ReLU, as on the picture itself.
    """

    def __init__(self, inputs: int, outputs: int, stride: int = 1, preactivated: bool = True
                 ) -> None:
        super().__init__()
        before = [nn.BatchNorm2d(inputs), nn.ReLU()] if preactivated else []
        self.convolutions = nn.Sequential(
            *before, nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(outputs), nn.ReLU(inplace=True),
            nn.Conv2d(outputs, outputs, 3, padding=1))
        self.stride = stride
        self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, bias=False),
                                      nn.BatchNorm2d(outputs))

    def forward(self, features: Tensor) -> Tensor:
        """Return (N, outputs, H/stride, W/stride) from (N, inputs, H, W)."""
        # not a stride of the 1x1 convolution: with fewer than 16 channels oneDNN's gradient of
        # that writes outside of its memory (torch 2.12, channels_last)
        projected = self.shortcut(features[..., ::self.stride, ::self.stride])
        return self.convolutions(features) + projected
