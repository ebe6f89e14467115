"""FastFCN (Wu et al., 2019)."""

from __future__ import annotations

import torch
from torch import nn, Tensor
from torch.nn.functional import interpolate

from roadseg_ros.models.atrous import atrous_conv, AtrousPyramid, separable_conv, SeparateKernels
from roadseg_ros.models.backbone import timm_encoder
from roadseg_ros.models.network import conv_bn_relu, Network

PYRAMID_RATES = (1, 2, 4, 8)
HEAD_RATES = (12, 24, 36)


class FastFcn(Network):
    """
    An encoder without dilation; joint pyramid upsampling makes up for it at stride 8.

    :param num_classes: number of outputs.
    :param encoder: name of a timm model with strides 8, 16 and 32.
    :param width: channels of each part of the upsampling; 512 in the paper.
    :param head_width: channels of the atrous pyramid above it; 256 in DeepLab v3.
    :raises ValueError: timm has no such encoder.
    """

    output_stride = 8

    def __init__(self, num_classes: int, encoder: str = 'resnet50', width: int = 512,
                 head_width: int = 256) -> None:
        super().__init__(num_classes)
        self.encoder, channels, strides = timm_encoder(encoder)
        self.input_stride = strides[-1]
        self.first = strides.index(self.output_stride)
        self.upsampling = JointPyramidUpsampling(channels[self.first:], width)
        inputs = width * len(PYRAMID_RATES)
        self.pyramid = AtrousPyramid(inputs, head_width, SeparateKernels(
            atrous_conv(inputs, head_width, rate) for rate in HEAD_RATES), len(HEAD_RATES))
        self.classifier = nn.Conv2d(head_width, num_classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Return (N, C, H/8, W/8) scores."""
        self.check_input(image)
        features = self.upsampling(self.encoder(image)[self.first:])
        scores: Tensor = self.classifier(self.pyramid(features))
        return scores


class JointPyramidUpsampling(nn.Module):
    """
    Features of several strides, enlarged to the first and read at several rates.

    :param inputs: channels of each, largest size first.
    :param width: channels that each is brought to, and of each rate's result.
    """

    def __init__(self, inputs: list[int], width: int) -> None:
        super().__init__()
        self.project = nn.ModuleList(conv_bn_relu(channels, width) for channels in inputs)
        self.branches = SeparateKernels(
            separable_conv(width * len(inputs), width, rate) for rate in PYRAMID_RATES)

    def forward(self, features: list[Tensor]) -> Tensor:
        """Return (N, 4 * width, H, W), H and W of the largest features."""
        size = features[0].shape[-2:]
        same = [interpolate(project(found), size=size, mode='bilinear', align_corners=False)
                for project, found in zip(self.project, features)]
        return torch.cat(self.branches(torch.cat(same, 1)), 1)
