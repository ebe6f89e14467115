"""FCN-32s, 16s and 8s (Long, Shelhamer and Darrell, 2015) on VGG16."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn, Tensor
from torchvision.models.vgg import make_layers

from roadseg_ros.models.network import he_normal, Network, VGG16_CHANNELS, VGG16_CONVOLUTIONS

POOL3, POOL4 = 17, 24  # layers of torchvision's VGG16 up to and with each pooling


class VggFcn(Network):
    """
    VGG16 made convolutional: what the three networks share.

    Scores leave at the network's stride, and the paper's last, fixed bilinear step is the
    caller's; or at full size, through a last step that is learned.

    :param num_classes: number of outputs.
    :param head_channels: width of fc6 and fc7; 4096 in the paper.
    :param dropout: share of values dropped after fc6 and after fc7, 1 - keep probability.
    :param learned_upsampling: end in a learned transposed convolution.
    :param channels: width of each of VGG16's five steps; ImageNet's weights need the default.
    :raises ValueError: not five widths.
    """

    input_stride = 32
    stride: int  # of the scores before the last step
    pools: tuple[int, ...] = ()  # layers after which the encoder is read

    def __init__(self, num_classes: int, head_channels: int = 4096, dropout: float = 0.5,
                 learned_upsampling: bool = False,
                 channels: Sequence[int] = VGG16_CHANNELS) -> None:
        super().__init__(num_classes)
        layers = _vgg16(channels)
        cuts = (0, *self.pools, len(layers))
        self.encoder = nn.ModuleList(layers[start:end] for start, end in zip(cuts, cuts[1:]))
        self.fully_connected = nn.Sequential(
            nn.Conv2d(channels[4], head_channels, 7, padding=3), nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Conv2d(head_channels, head_channels, 1), nn.ReLU(inplace=True),
            nn.Dropout(dropout))
        self.score7 = nn.Conv2d(head_channels, num_classes, 1)
        self.enlarge = (BilinearDeconvolution(num_classes, self.stride) if learned_upsampling
                        else nn.Identity())
        self.output_stride = 1 if learned_upsampling else self.stride


class Fcn32s(VggFcn):
    """Without skips; arguments as of `VggFcn`."""

    stride = 32

    def forward(self, image: Tensor) -> Tensor:
        """Return (N, C, H/32, W/32) scores; (N, C, H, W) with `learned_upsampling`."""
        self.check_input(image)
        features = self.encoder[0](image)
        scores: Tensor = self.enlarge(self.score7(self.fully_connected(features)))
        return scores


class Fcn16s(VggFcn):
    """With the scores of pool4 summed in; arguments as of `VggFcn`."""

    stride = 16
    pools = (POOL4,)

    def __init__(self, num_classes: int, head_channels: int = 4096, dropout: float = 0.5,
                 learned_upsampling: bool = False,
                 channels: Sequence[int] = VGG16_CHANNELS) -> None:
        super().__init__(num_classes, head_channels, dropout, learned_upsampling, channels)
        self.score4 = nn.Conv2d(channels[3], num_classes, 1)
        self.up7 = BilinearDeconvolution(num_classes, 2)

    def shallow(self, image: Tensor) -> tuple[Tensor, ...]:
        """Return pool4, (N, 512, H/16, W/16)."""
        self.check_input(image)
        return (self.encoder[0](image),)

    def deep(self, shallow: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Return the scores of fc7, enlarged to (N, C, H/16, W/16)."""
        features = self.encoder[1](shallow[0])
        return (self.up7(self.score7(self.fully_connected(features))),)

    def head(self, shallow: tuple[Tensor, ...], deep: tuple[Tensor, ...]) -> Tensor:
        """Return (N, C, H/16, W/16) scores; (N, C, H, W) with `learned_upsampling`."""
        scores: Tensor = self.enlarge(deep[0] + self.score4(shallow[0]))
        return scores

    def forward(self, image: Tensor) -> Tensor:
        """Return scores as `head` does."""
        shallow = self.shallow(image)
        return self.head(shallow, self.deep(shallow))


class Fcn8s(VggFcn):
    """With the scores of pool4 and of pool3 summed in; arguments as of `VggFcn`."""

    stride = 8
    pools = (POOL3, POOL4)

    def __init__(self, num_classes: int, head_channels: int = 4096, dropout: float = 0.5,
                 learned_upsampling: bool = False,
                 channels: Sequence[int] = VGG16_CHANNELS) -> None:
        super().__init__(num_classes, head_channels, dropout, learned_upsampling, channels)
        self.score4 = nn.Conv2d(channels[3], num_classes, 1)
        self.score3 = nn.Conv2d(channels[2], num_classes, 1)
        self.up7 = BilinearDeconvolution(num_classes, 2)
        self.up4 = BilinearDeconvolution(num_classes, 2)

    def shallow(self, image: Tensor) -> tuple[Tensor, ...]:
        """Return pool3, (N, 256, H/8, W/8)."""
        self.check_input(image)
        return (self.encoder[0](image),)

    def deep(self, shallow: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Return the fused scores of pool4 and fc7 at stride 8, (N, C, H/8, W/8)."""
        pool4 = self.encoder[1](shallow[0])
        score7 = self.score7(self.fully_connected(self.encoder[2](pool4)))
        return (self.up4(self.up7(score7) + self.score4(pool4)),)

    def head(self, shallow: tuple[Tensor, ...], deep: tuple[Tensor, ...]) -> Tensor:
        """Return (N, C, H/8, W/8) scores; (N, C, H, W) with `learned_upsampling`."""
        scores: Tensor = self.enlarge(deep[0] + self.score3(shallow[0]))
        return scores

    def forward(self, image: Tensor) -> Tensor:
        """Return scores as `head` does."""
        shallow = self.shallow(image)
        return self.head(shallow, self.deep(shallow))


class BilinearDeconvolution(nn.ConvTranspose2d):
    """
    A learned enlargement that starts as bilinear interpolation, as in the paper.

    :param channels: width, in and out.
    :param factor: how many times to enlarge; even.
    """

    def __init__(self, channels: int, factor: int) -> None:
        super().__init__(channels, channels, 2 * factor, stride=factor, padding=factor // 2,
                         bias=False)
        ramp = 1 - ((torch.arange(2 * factor) + 0.5) / factor - 1).abs()
        with torch.no_grad():
            self.weight.zero_()
            self.weight[range(channels), range(channels)] = ramp[:, None] * ramp


def _vgg16(channels: Sequence[int]) -> nn.Sequential:
    """Return the convolutions and poolings of VGG16, named as torchvision does."""
    if len(channels) != len(VGG16_CONVOLUTIONS):
        raise ValueError(f'VGG16 has five widths, not {len(channels)}')
    plan: list[str | int] = []
    for width, convolutions in zip(channels, VGG16_CONVOLUTIONS):
        plan += [*[width] * convolutions, 'M']
    layers = make_layers(plan)
    he_normal(layers)
    return layers
