"""U-Net (Ronneberger et al., 2015) on any timm encoder."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn, Tensor

from roadseg_ros.models.backbone import check_steps, timm_encoder
from roadseg_ros.models.network import double_conv, Network, upsample


class UNet(Network):
    """
    A timm encoder with a dense 3x3 decoder; scores at the encoder's first stride.

    The decoder is dense, not separable: on processors with matrix units dense 3x3
    convolutions cost next to nothing beside the encoder's depthwise ones.

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
        inputs = [channels[-1], *decoder_channels[:-1]]
        self.decoder = nn.ModuleList(
            double_conv(deep + skip, width)
            for deep, skip, width in zip(inputs, channels[-2::-1], decoder_channels))
        self.classifier = nn.Conv2d(decoder_channels[-1], num_classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Return (N, C, H/2, W/2) scores (for encoders whose first stride is 2)."""
        self.check_input(image)
        *skips, features = self.encoder(image)
        for block, skip in zip(self.decoder, reversed(skips)):
            features = block(torch.cat((upsample(features), skip), 1))
        scores: Tensor = self.classifier(features)
        return scores
