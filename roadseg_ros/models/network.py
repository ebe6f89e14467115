"""The contract every network keeps, and the parts they share."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from torch import nn, Tensor

VGG16_CHANNELS = (64, 128, 256, 512, 512)  # width of each step, and how many convolutions it has
VGG16_CONVOLUTIONS = (2, 2, 3, 3, 3)
State = tuple[Tensor, ...]  # what a recurrent network keeps of the frames before; () = nothing


class Network(nn.Module):
    """
    A segmentation network: `forward(image) -> scores`.

    `image` is float32 (N, 3, H, W), prepared as the checkpoint says, H and W multiples of
    `input_stride`; `scores` are the (N, C, H / output_stride, W / output_stride) logits.

    :param num_classes: number of outputs C.
    """

    input_stride: int
    output_stride: int
    traceable = True
    """Whether every picture is computed alike: an engine may then record that, and round it."""
    abstains = False
    """Whether scores have one channel more, the last, which wins where a pixel is no class."""
    past_alone: tuple[str, ...] = ()
    """Parts that nothing but a past reaches, so that single pictures cannot train them."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        if not 1 <= num_classes <= 255:
            raise ValueError(f'num_classes must be 1 to 255, not {num_classes}')
        self.num_classes = num_classes

    def check_input(self, image: Tensor) -> None:
        """
        Refuse sizes the network would silently misalign.

        :raises ValueError: H or W is no multiple of `input_stride`; names a size that is.
        """
        height, width = image.shape[-2:]
        stride = self.input_stride
        if height % stride or width % stride:
            up = [-(-side // stride) * stride for side in (height, width)]
            raise ValueError(
                f'{type(self).__name__} needs sides that are multiples of {stride}, '
                f'got {height}x{width}; pad to {up[0]}x{up[1]}')


@runtime_checkable
class Staged(Protocol):
    """
    A network in stages that can be run, and reused, apart.

    `forward` is their composition: `head(s, deep(s))` with `s = shallow(image)`.
    """

    def shallow(self, image: Tensor) -> tuple[Tensor, ...]:
        """Return early features from the (N, 3, H, W) image."""

    def deep(self, shallow: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Return late features from early ones; the part worth skipping."""

    def head(self, shallow: tuple[Tensor, ...], deep: tuple[Tensor, ...]) -> Tensor:
        """Return scores from both."""


@runtime_checkable
class Bordered(Protocol):
    """A network that also finds the borders between classes, and is trained on both."""

    def scores_and_borders(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return scores as `forward` does, and (N, 1, h, w) logits of being on a border."""


@runtime_checkable
class Recurrent(Protocol):
    """
    A network that sees a drive frame by frame and keeps a state between them.

    `forward` is a step without a past, so that the network also segments single pictures.
    """

    def step(self, image: Tensor, state: State = (), flow: Tensor | None = None
             ) -> tuple[Tensor, State]:
        """
        Return scores as `forward` does, and the state for the next frame.

        :param image: (N, 3, H, W), the newest frame of N drives.
        :param state: of the step before, for images of the same size; () for a first frame.
        :param flow: (N, 2, H, W) float32, from each pixel back to where it was a frame ago: x, y
            in pixels of the image. Networks that make no use of it take None.
        """


def conv_bn_relu(inputs: int, outputs: int) -> nn.Sequential:
    """Return a 3x3 convolution with batch norm and ReLU that keeps the size."""
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
                         nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


def double_conv(inputs: int, outputs: int) -> nn.Sequential:
    """Return two `conv_bn_relu`, U-Net's building block."""
    return nn.Sequential(conv_bn_relu(inputs, outputs), conv_bn_relu(outputs, outputs))


def upsample(features: Tensor, factor: int = 2) -> Tensor:
    """Return (N, C, H, W) features enlarged by bilinear interpolation."""
    return torch.nn.functional.interpolate(
        features, scale_factor=factor, mode='bilinear', align_corners=False)


def he_normal(module: nn.Module) -> None:
    """Draw convolutions as He et al. (2015) do; without batch norm others fade on the way."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity='relu')
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
