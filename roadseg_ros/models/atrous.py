"""Atrous convolutions, and pyramids of them at several rates."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn, Tensor
from torch.nn.functional import conv2d, relu


def atrous_conv(inputs: int, outputs: int, rate: int) -> nn.Sequential:
    """Return a 3x3 convolution that reads every `rate`-th value, with batch norm and ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=rate, dilation=rate, bias=False),
        nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


def separable_conv(inputs: int, outputs: int, rate: int = 1) -> nn.Sequential:
    """Return the same, by channel first and then across them (Chollet, 2017)."""
    return nn.Sequential(
        nn.Conv2d(inputs, inputs, 3, padding=rate, dilation=rate, groups=inputs, bias=False),
        nn.BatchNorm2d(inputs), nn.ReLU(inplace=True),
        nn.Conv2d(inputs, outputs, 1, bias=False),
        nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


class SharedKernels(nn.Module):
    """
    One 3x3 kernel at several rates, with a batch norm each (Huang et al., 2019).

    :param inputs: channels of the features.
    :param outputs: channels of each result.
    :param rates: of the convolutions.
    """

    def __init__(self, inputs: int, outputs: int, rates: Sequence[int]) -> None:
        super().__init__()
        self.kernel = nn.Conv2d(inputs, outputs, 3, bias=False)
        self.norms = nn.ModuleList(nn.BatchNorm2d(outputs) for _ in rates)
        self.rates = tuple(rates)

    def forward(self, features: Tensor) -> list[Tensor]:
        """Return a (N, outputs, H, W) for each rate from (N, inputs, H, W)."""
        return [relu(norm(conv2d(features, self.kernel.weight, padding=rate, dilation=rate)))
                for rate, norm in zip(self.rates, self.norms)]


class SeparateKernels(nn.ModuleList):
    """A convolution for each rate, `atrous_conv` or `separable_conv`."""

    def forward(self, features: Tensor) -> list[Tensor]:
        """Return a (N, outputs, H, W) for each of them from (N, inputs, H, W)."""
        return [branch(features) for branch in self]


class AtrousPyramid(nn.Module):
    """
    Atrous spatial pyramid pooling with image pooling (Chen et al., 2017, DeepLab v3).

    A 1x1 convolution, convolutions at several rates and the picture's mean stand side by side.

    :param inputs: channels of the features.
    :param outputs: channels of each part, and of what comes out.
    :param branches: gives the (N, outputs, H, W) of the rates.
    :param rates: how many those are.
    :param dropout: share of values dropped at the end.
    """

    def __init__(self, inputs: int, outputs: int, branches: nn.Module, rates: int,
                 dropout: float = 0.5) -> None:
        super().__init__()
        self.point = _conv1_bn_relu(inputs, outputs)
        self.branches = branches
        # without batch norm: the mean of one picture has no spread to train it by
        self.pooled = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(inputs, outputs, 1),
                                    nn.ReLU(inplace=True))
        self.project = nn.Sequential(*_conv1_bn_relu((rates + 2) * outputs, outputs),
                                     nn.Dropout(dropout))

    def forward(self, features: Tensor) -> Tensor:
        """Return (N, outputs, H, W) from (N, inputs, H, W)."""
        point = self.point(features)
        parts = [point, *self.branches(features), self.pooled(features).expand_as(point)]
        projected: Tensor = self.project(torch.cat(parts, 1))
        return projected


def _conv1_bn_relu(inputs: int, outputs: int) -> nn.Sequential:
    """Return a 1x1 convolution with batch norm and ReLU."""
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs),
                         nn.ReLU(inplace=True))
